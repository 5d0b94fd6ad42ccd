"""The loaded predictors of a process, one for each device in use."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import numpy as np
from loguru import logger

from core.errors import ComputeError, HippoViewError, ModelError
from core.model import Model
from core.predictor.turns import Turns
from core.segmentation import Segmentation
from core.volume import Volume

if TYPE_CHECKING:
    from core.predictor.torch_backend import TorchBackend

_WARM_SHAPE = (35, 50, 35)
OpenModel = Callable[[], AbstractContextManager[Model]]


class Predictor:
    """One model on one device, loaded and warmed, with the queue in front of it.

    The network runs on one thread of its own: PyTorch keeps a team of threads for every
    thread that calls it, so that calls from many would cost memory and speed.
    """

    def __init__(self, model: Model, backend: "TorchBackend", queue_size: int) -> None:
        self.model = model
        self._backend = backend
        self._turns = Turns(queue_size, time.monotonic)
        self._runner = ThreadPoolExecutor(1, thread_name_prefix=f"network-{self.device}")

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return str(self._backend.device.type)

    @property
    def backend(self) -> str:
        """What computes: ``torch``."""
        return self._backend.name

    @property
    def waiting(self) -> int:
        """Scans that wait for their turn."""
        return self._turns.waiting

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait in the queue; inside, this caller alone may read a volume and segment it.

        Raises
        ------
        BusyError
            The queue is full.
        """
        with self._turns.take():
            yield

    def segment(self, volume: Volume) -> Segmentation:
        """Segment a volume; the caller holds the turn.

        Raises
        ------
        ComputeError
            The network failed on it. The next volume is not affected.
        """
        timings_s: dict[str, float] = {}
        work = self._runner.submit(
            self._backend.segment, volume.data, volume.spacing_mm, timings_s.__setitem__
        )
        try:
            labels = work.result()
        except Exception as error:  # whatever PyTorch raises, the server and the batch go on
            logger.opt(exception=error).error("The network failed on a scan")
            raise ComputeError(
                "The network failed on this scan",
                "Try again; if it fails again, the server may be short of memory.",
            ) from error
        return Segmentation(labels, volume, self.model, self.device, self.backend, timings_s)

    def warm_up(self) -> None:
        """Run once on noise, so that the first scan is as fast as the tenth."""
        noise = np.random.default_rng(0).random(_WARM_SHAPE, np.float32)
        with self.turn():
            self._runner.submit(
                self._backend.segment, noise, (1.0, 1.0, 1.0), lambda step, seconds: None
            ).result()

    def close(self) -> None:
        """End the network's thread once it is idle."""
        self._runner.shutdown(wait=True)


class Predictors:
    """Makes a predictor for a device when it is first asked for, and keeps it.

    Parameters
    ----------
    open_model
        Opens the model version that serves, verified.
    device
        What ``auto`` requests get and what is loaded first: ``auto``, ``cpu`` or ``cuda``.
    queue_size
        Scans that may wait for one device.
    """

    def __init__(self, open_model: OpenModel, device: str, queue_size: int) -> None:
        self._open_model = open_model
        self._device = device
        self._queue_size = queue_size
        self._lock = threading.Lock()
        self._swapping = threading.Lock()
        self._loaded: dict[str, Predictor] = {}
        self._serving: Predictor | None = None
        self._failure: HippoViewError | None = None

    @property
    def serving(self) -> Predictor | None:
        """The predictor of the default device, once it is loaded and warmed."""
        return self._serving

    @property
    def failure(self) -> HippoViewError | None:
        """Why no model can serve, if loading it failed."""
        return self._failure

    def check(self) -> None:
        """Raise `failure` if there is one."""
        if self._failure is not None:
            # It is raised again and again: without this each time would hold its caller's data.
            raise self._failure.with_traceback(None)

    def load(self, before: Callable[[], None] = lambda: None) -> None:
        """Load the default device's predictor; a failure is kept in `failure` and logged.

        Parameters
        ----------
        before
            Called first; its failure counts as well.
        """
        try:
            before()
            self._serving = self.on("auto")
        except HippoViewError as error:
            self._failure = error
            logger.error("No model can serve: {}", error.message)
        except Exception as error:  # noqa: BLE001 - a broken installation must be seen
            self._failure = ModelError(
                "The model could not be loaded", "The server's log says why. Install it again."
            )
            logger.opt(exception=error).error("No model can serve")

    def on(self, device: str) -> Predictor:
        """The predictor of a device, loaded and warmed. The first call takes seconds.

        Parameters
        ----------
        device
            ``auto``, ``cpu`` or ``cuda``.

        Raises
        ------
        DeviceError, ModelError
        """
        if device == "auto":
            device = self._device
        with self._lock:
            if device not in self._loaded:
                known = self._loaded.get(_resolved(device))
                self._keep(device, known or self._make(self._open_model, device))
            return self._loaded[device]

    def swap(self, open_model: OpenModel, commit: Callable[[], None]) -> None:
        """Serve with another model version from now on.

        It is loaded and warmed beside the one that serves, which goes on meanwhile; scans
        that are being segmented or wait end with the version that they began with.

        Parameters
        ----------
        open_model
            Opens the new version.
        commit
            Called once the new version works, before it serves. If it raises, nothing changes.

        Raises
        ------
        DeviceError, ModelError
            The new version cannot serve; the old one does.
        """
        with self._swapping:
            with self._lock:
                devices = {p.device for p in self._loaded.values()} or {self._device}
            made = [self._make(open_model, device) for device in devices]
            commit()
            with self._lock:
                # The old ones are not closed: scans may be in them. Their thread ends when the
                # last scan lets go of them.
                self._loaded.clear()
                self._open_model = open_model
                for predictor in made:
                    self._keep(predictor.device, predictor)
                self._keep(self._device, self._loaded[_resolved(self._device)])
                self._serving = self._loaded[self._device]
                self._failure = None

    def _keep(self, device: str, predictor: Predictor) -> None:
        self._loaded[device] = predictor
        self._loaded[predictor.device] = predictor

    def _make(self, open_model: OpenModel, device: str) -> Predictor:
        # PyTorch and nnU-Net take seconds to import; whoever needs no network is spared.
        from core.predictor.torch_backend import TorchBackend

        start = time.perf_counter()
        with open_model() as model:
            predictor = Predictor(model, TorchBackend(model, _resolved(device)), self._queue_size)
        predictor.warm_up()
        logger.info(
            "Model {} loaded on {} and warmed in {:.1f} s",
            model.version, predictor.device, time.perf_counter() - start,
        )  # fmt: skip
        return predictor

    def close(self) -> None:
        """End all threads."""
        with self._lock:
            for predictor in set(self._loaded.values()):
                predictor.close()
            self._loaded.clear()
            self._serving = None


def _resolved(device: str) -> str:
    """``cpu`` or ``cuda``."""
    if device != "auto":
        return device
    from core.predictor.torch_backend import best_device

    return best_device()
