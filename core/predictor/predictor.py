"""A loaded model with its queue: segments one volume after the other."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from loguru import logger

from core.errors import ComputeError, GoneError, InputError
from core.image.volume import Volume
from core.models.folder import Model, load_model
from core.predictor import window
from core.predictor.engine import CROP_SPACING_MM, Engine, ScanRun
from core.predictor.expectation import calibration_of
from core.predictor.localiser import GRID
from core.predictor.networks import Network, backend_for, networks_of
from core.predictor.queue import FairQueue
from core.predictor.recipe import recipe_of
from core.predictor.segment import segment
from core.predictor.segmentation import Segmentation
from core.predictor.signals import CROP, Signals, is_empty
from core.settings import ROOT, Settings

# Scans in work at a time: one is read or measured while the network works on the other.
_SLOTS = 2
_WARM_SHAPE = (35, 50, 35)
LOCALISER_DIR = ROOT / "models" / "localiser-4mm"


@dataclass(frozen=True)
class InferenceOptions:
    """How a predictor computes; see the settings of the same names.

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

    Attributes
    ----------
    model : Model
    engine : Engine
    mirroring : str
        ``off``, ``auto`` or ``full``.
    remark : str
        Why backend or precision are not the requested ones; else empty.
    not_calibrated : str
        Why nothing is expected of the masks' overlap with an expert's; else empty.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        mirroring: str,
        queue_size: int,
        remark: str = "",
    ) -> None:
        self.model = model
        self.engine = engine
        self.mirroring = mirroring
        self.remark = remark
        self._calibration, self.not_calibrated = calibration_of(model, mirroring)
        self._queue = FairQueue(queue_size, _SLOTS, time.monotonic)

    @property
    def network(self) -> Network:
        """The model's network; it says what it computes on and in."""
        return self.engine.network

    @property
    def waiting(self) -> int:
        """How many scans wait for a slot."""
        return self._queue.waiting

    @property
    def passes(self) -> int:
        """How many mirrored predictions of each patch, of each network, are averaged."""
        return len(self.engine.mirrors)

    def as_dict(self) -> dict[str, str]:
        """How it computes, for the API and the pages."""
        return {
            "device": self.network.device,
            "backend": self.network.backend,
            "precision": self.network.precision,
            "mirroring": self.mirroring,
            "remark": self.remark,
        }

    def check_queue(self) -> None:
        """Raise `BusyError` if the queue is full, before anything is spent on a scan."""
        self._queue.check()

    def end_queue(self) -> None:
        """Take no further scan; those that hold a slot go on."""
        self._queue.end()

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
        """Segment a crop or a whole head; the caller holds a slot.

        Parameters
        ----------
        gone
            Called before each run of a network: whether nobody waits for the result any more.
        centres_mm
            Of a head: by side, where a person says that a hippocampus is.

        Raises
        ------
        InputError
            Nothing like a hippocampus was found in a head.
        ComputeError
            The network failed on it; the next volume is not affected.
        GoneError
        """
        run = ScanRun(gone)
        try:
            labels, head = segment(volume, self.engine, run, centres_mm)
        except (GoneError, InputError):
            raise
        except Exception as error:  # whatever a backend raises, the server and the batch go on
            logger.opt(exception=error).error("The network failed on a scan")
            raise ComputeError(
                "The network failed on this scan",
                "Try again; if it fails again, the server may be short of memory.",
            ) from error
        expected = self._expected(run.of_masks)
        if head is not None:
            head = replace(head, sides={
                name: replace(side, expected=expected.get(name))
                for name, side in head.sides.items()
            })  # fmt: skip
        return Segmentation(
            labels, volume, self.model, self.network.device, self.network.backend,
            self.network.precision, self.mirroring, run.timings_s, head, run.of_masks,
            expected.get(CROP), self.not_calibrated,
        )  # fmt: skip

    def _expected(self, of_masks: dict[str, Signals]) -> dict[str, dict[str, Any]]:
        """By mask what is expected of it; of an empty one nothing is."""
        if self._calibration is None:
            return {}
        return {
            name: self._calibration.expect(signals).as_dict()
            for name, signals in of_masks.items()
            if not is_empty(signals)
        }

    def warm_up(self) -> None:
        """Run once on noise, so that the first scan is as fast as the tenth."""
        noise = np.random.default_rng(0).random(_WARM_SHAPE, np.float32)
        with self.slot():
            self.engine.labels(noise, CROP_SPACING_MM, ScanRun())
            self.engine.localiser_heat(np.zeros(GRID, np.float32), ScanRun())

    def close(self) -> None:
        """End the engine's thread once it is idle."""
        self.engine.close()


def loaded(
    model: Model, options: InferenceOptions, backend: str = "", queue_size: int = 1
) -> Predictor:
    """Load a predictor; it is not warmed up yet.

    Parameters
    ----------
    backend
        Overrides the backend of the options.

    Raises
    ------
    DeviceError, ModelError
    """
    backend = backend or backend_for(options.device, options.backend)
    may_fall_back = options.backend != backend
    recipe, localiser_model = recipe_of(model), load_model(LOCALISER_DIR)
    mirrors = window.mirrors_of(recipe.mirror_axes, options.mirroring)
    network, remark = networks_of(
        model, recipe, backend, options.precision, len(mirrors), may_fall_back=may_fall_back
    )
    localiser, _ = networks_of(
        localiser_model, recipe_of(localiser_model), backend, "float32", 1,
        may_fall_back=may_fall_back,
    )  # fmt: skip
    engine = Engine(recipe, network, localiser, mirrors)
    return Predictor(model, engine, options.mirroring, queue_size, remark)
