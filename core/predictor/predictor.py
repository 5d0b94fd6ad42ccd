"""One model with one backend: it segments volumes, one after the other."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from core.errors import ComputeError, GoneError, InputError
from core.image.volume import Volume
from core.models.folder import Model, load_model
from core.predictor import heads, window
from core.predictor.localiser import GRID
from core.predictor.networks import Network, backend_for, networks_of
from core.predictor.preprocess import prepare, probabilities, restore
from core.predictor.queue import FairQueue
from core.predictor.recipe import Recipe, recipe_of
from core.predictor.segmentation import Segmentation
from core.settings import ROOT, Settings

# One scan is read or measured while the network works on another.
_WIDTH = 2
_WARM_SHAPE = (35, 50, 35)
LOCALISER_DIR = ROOT / "models" / "localiser-4mm"


@dataclass(frozen=True)
class InferenceOptions:
    """How a predictor computes; the settings of the same names.

    Attributes
    ----------
    device, backend, precision, mirroring : str
    """

    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    mirroring: str = "auto"

    @classmethod
    def from_settings(cls, settings: Settings) -> "InferenceOptions":
        """The options that the settings ask for."""
        return cls(settings.device, settings.backend, settings.precision, settings.mirroring)


class Predictor:
    """One model with one backend, loaded and warmed, with the queue in front of it.

    The network runs on one thread of its own: PyTorch keeps a team of threads for every
    thread that calls it, so that calls from many would cost memory and speed.

    Attributes
    ----------
    model : Model
    network : Network
    mirroring : str
        ``off``, ``auto`` or ``full``.
    remark : str
        Why it is not the backend or the precision that was asked for; else empty.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        network: Network,
        mirroring: str,
        queue_size: int,
        remark: str = "",
        localiser: Network | None = None,
    ) -> None:
        self.model = model
        self._localiser = localiser
        self.network = network
        self.mirroring = mirroring
        self.remark = remark
        self._recipe = recipe
        self._mirrors = window.mirrors_of(recipe.mirror_axes, mirroring)
        self._queue = FairQueue(queue_size, _WIDTH, time.monotonic)
        self._runner = ThreadPoolExecutor(1, thread_name_prefix=f"network-{network.backend}")

    @property
    def waiting(self) -> int:
        """Scans that wait for their turn."""
        return self._queue.waiting

    @property
    def passes(self) -> int:
        """How many mirrored predictions of each patch, of each network, are averaged."""
        return len(self._mirrors)

    def as_dict(self) -> dict[str, str]:
        """How it computes."""
        return {
            "device": self.network.device,
            "backend": self.network.backend,
            "precision": self.network.precision,
            "mirroring": self.mirroring,
            "remark": self.remark,
        }

    @contextmanager
    def slot(
        self,
        user: str = "",
        on_place: Callable[[int], None] = lambda place: None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Iterator[None]:
        """Wait in the queue; inside, the caller may hold a volume and segment it.

        See `core.predictor.queue.FairQueue.slot`.

        Raises
        ------
        BusyError, GoneError
        """
        with self._queue.slot(user, on_place, gone):
            yield

    def segment(
        self,
        volume: Volume,
        gone: Callable[[], bool] = lambda: False,
        centres_mm: dict[str, Any] | None = None,
    ) -> Segmentation:
        """Segment a crop or a whole head; the caller holds a turn.

        Parameters
        ----------
        gone
            Asked before each patch whether nobody waits for the outcome any more.
        centres_mm
            Of a head: by side, where a person says that a hippocampus is.

        Raises
        ------
        InputError
            Nothing like a hippocampus was found in a head.
        ComputeError
            The network failed on it. The next volume is not affected.
        GoneError
        """
        timings_s: dict[str, float] = {}
        head = None
        try:
            if volume.is_head:
                labels, head = heads.segment(volume, _Eyes(self, timings_s, gone), centres_mm)
            else:
                labels = self._labels(volume.unit, volume.spacing_mm, timings_s, gone)
        except (GoneError, InputError):
            raise
        except Exception as error:  # whatever a backend raises, the server and the batch go on
            logger.opt(exception=error).error("The network failed on a scan")
            raise ComputeError(
                "The network failed on this scan",
                "Try again; if it fails again, the server may be short of memory.",
            ) from error
        return Segmentation(
            labels, volume, self.model, self.network.device, self.network.backend,
            self.network.precision, self.mirroring, timings_s, head,
        )  # fmt: skip

    def heat(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The localiser's output, shape (6, *GRID); see `core.predictor.localiser`."""
        localiser = self._localiser
        if localiser is None:
            raise RuntimeError("this predictor has no localiser")
        output: NDArray[np.float32] = self._runner.submit(localiser.logits, image[None]).result()[0]
        return output

    def probabilities(
        self, crop: NDArray[np.float32], *, quick: bool, gone: Callable[[], bool]
    ) -> NDArray[np.float32]:
        """Of background and labels in an upright crop of 1 mm, shape (3, X, Y, Z).

        Parameters
        ----------
        crop
            From 0 to 1, as `core.image.volume.unit_range` makes it.
        quick
            Without mirrored predictions.
        """
        if gone():
            raise GoneError("Nobody waits for this scan any more")
        prepared = prepare(crop, (1.0, 1.0, 1.0), self._recipe)
        mirrors = self._mirrors[:1] if quick else self._mirrors
        work = partial(
            window.predict, prepared.data, self.network, self._recipe.patch, mirrors, lambda: None
        )
        return probabilities(self._runner.submit(work).result(), prepared, self._recipe)

    def warm_up(self) -> None:
        """Run once on noise, so that the first scan is as fast as the tenth."""
        noise = np.random.default_rng(0).random(_WARM_SHAPE, np.float32)
        with self.slot():
            self._labels(noise, (1.0, 1.0, 1.0), {}, lambda: False)
            self.heat(np.zeros(GRID, np.float32))

    def close(self) -> None:
        """End the network's thread once it is idle."""
        self._runner.shutdown(wait=True)

    def _labels(
        self,
        data: NDArray[np.float32],
        spacing_mm: tuple[float, float, float],
        timings_s: dict[str, float],
        gone: Callable[[], bool],
    ) -> NDArray[np.uint8]:
        def work() -> NDArray[np.float32]:
            began.append(time.perf_counter())
            return window.predict(
                prepared.data, self.network, self._recipe.patch, self._mirrors, stop_if_gone
            )

        def stop_if_gone() -> None:
            if gone():
                raise GoneError("Nobody waits for this scan any more")

        began: list[float] = []
        marks = [time.perf_counter()]
        prepared = prepare(data, spacing_mm, self._recipe)
        marks.append(time.perf_counter())
        logits = self._runner.submit(work).result()
        marks.append(time.perf_counter())
        labels = restore(logits, prepared, self._recipe)
        timings_s["prepare"] = marks[1] - marks[0]
        timings_s["network_wait"] = began[0] - marks[1]
        timings_s["network"] = marks[2] - began[0]
        timings_s["restore"] = time.perf_counter() - marks[2]
        return labels


@dataclass(frozen=True)
class _Eyes:
    """What `core.predictor.heads` sees with, timed, and given up once nobody waits."""

    predictor: Predictor
    timings_s: dict[str, float]
    gone: Callable[[], bool]

    def heat(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._timed("locate"):
            return self.predictor.heat(image)

    def probabilities(self, crop: NDArray[np.float32], *, quick: bool) -> NDArray[np.float32]:
        with self._timed("centre" if quick else "network"):
            return self.predictor.probabilities(crop, quick=quick, gone=self.gone)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.timings_s[step] = self.timings_s.get(step, 0.0) + time.perf_counter() - began


def loaded(
    model: Model, options: InferenceOptions, backend: str = "", queue_size: int = 1
) -> Predictor:
    """A predictor, not yet warmed.

    Parameters
    ----------
    backend
        Another than that of ``auto`` requests.

    Raises
    ------
    DeviceError, ModelError
    """
    backend = backend or backend_for(options.device, options.backend)
    recipe = recipe_of(model)
    passes = len(window.mirrors_of(recipe.mirror_axes, options.mirroring))
    network, remark = networks_of(
        model, recipe, backend, options.precision, passes, may_fall_back=options.backend != backend
    )
    finder = load_model(LOCALISER_DIR)
    localiser, _ = networks_of(
        finder, recipe_of(finder), backend, "float32", 1, may_fall_back=options.backend != backend
    )
    return Predictor(model, recipe, network, options.mirroring, queue_size, remark, localiser)
