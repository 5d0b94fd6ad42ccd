"""The loaded predictors of a process, one for each device in use."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from loguru import logger

from core.errors import ComputeError, HippoViewError, ModelError
from core.model import Model, load_model
from core.predictor.turns import Turns
from core.segmentation import Segmentation
from core.volume import Volume

if TYPE_CHECKING:
    from core.predictor.torch_backend import TorchBackend

_WARM_SHAPE = (35, 50, 35)


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
    model_dir
        Folder of the model version that serves.
    device
        What ``auto`` requests get and what is loaded first: ``auto``, ``cpu`` or ``cuda``.
    queue_size
        Scans that may wait for one device.
    """

    def __init__(self, model_dir: Path, device: str, queue_size: int) -> None:
        self._model_dir = model_dir
        self._device = device
        self._queue_size = queue_size
        self._lock = threading.Lock()
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

    def load(self) -> None:
        """Load the default device's predictor; a failure is kept in `failure` and logged."""
        try:
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
                self._loaded[device] = self._make(device)
            return self._loaded[device]

    def _make(self, device: str) -> Predictor:
        # PyTorch and nnU-Net take seconds to import; whoever needs no network is spared.
        from core.predictor.torch_backend import TorchBackend, best_device

        if device == "auto":
            device = best_device()
        if device in self._loaded:
            return self._loaded[device]
        start = time.perf_counter()
        model = load_model(self._model_dir)
        predictor = Predictor(model, TorchBackend(model, device), self._queue_size)
        predictor.warm_up()
        self._loaded[device] = predictor
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
