"""The loaded predictors of a process, one for each backend in use."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from loguru import logger

from core.errors import HippoViewError, ModelError
from core.models.folder import Model
from core.predictor.networks import backend_for
from core.predictor.predictor import InferenceOptions, Predictor, loaded

OpenModel = Callable[[], AbstractContextManager[Model]]
OpenVersion = Callable[[int], AbstractContextManager[Model]]


class Predictors:
    """Loads the predictor of a backend when it is first used, and keeps it.

    Parameters
    ----------
    open_model
        Opens the model version that serves, verified.
    options
        How to compute; requests with the device ``auto`` get its device and backend.
    queue_size
        Scans that may wait for one backend.
    """

    def __init__(self, open_model: OpenModel, options: InferenceOptions, queue_size: int) -> None:
        self._open_model = open_model
        self._options = options
        self._queue_size = queue_size
        self._lock = threading.Lock()
        self._swapping = threading.Lock()
        self._loaded: dict[str, Predictor] = {}
        self._serving: Predictor | None = None
        self._failure: HippoViewError | None = None
        self._is_ending = False

    @property
    def serving(self) -> Predictor | None:
        """The predictor of ``auto`` requests, once it is loaded and warmed."""
        return self._serving

    @property
    def failure(self) -> HippoViewError | None:
        """Why no model can serve, if loading it failed."""
        return self._failure

    def check(self) -> None:
        """Raise `failure` if there is one."""
        if self._failure is not None:
            # It is raised again and again: each traceback would keep its caller's data alive.
            raise self._failure.with_traceback(None)

    def load(self, before: Callable[[], None] = lambda: None) -> None:
        """Load the predictor of ``auto`` requests; a failure is kept in `failure` and logged.

        Parameters
        ----------
        before
            Called first; if it fails, that is a failure as well.
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
        backend = self._backend_for(device)
        with self._lock:
            if backend not in self._loaded:
                self._loaded[backend] = self._make(self._open_model, backend)
                self._end_queues_if_ending()
            return self._loaded[backend]

    def swap(self, open_model: OpenModel, commit: Callable[[], None]) -> None:
        """Serve with another model version from now on.

        It is loaded and warmed while the current one goes on serving; scans that are being
        segmented or wait finish with the version that they began with.

        Parameters
        ----------
        open_model
            Opens the new version.
        commit
            Called when the new version is warmed, before it serves. If it raises, nothing changes.

        Raises
        ------
        DeviceError, ModelError
            The new version cannot serve; the old one does.
        """
        with self._swapping:
            self._swap(open_model, commit)

    def follow(self, number: Callable[[], int], open_version: OpenVersion) -> bool:
        """Switch to the version that should serve, if it is not the one that does.

        So a version that another process put into service is adopted, and one whose promotion was
        interrupted; and after a failed start, loading is tried again.

        Parameters
        ----------
        number
            Returns the number of the version that should serve.
        open_version
            Opens one.

        Returns
        -------
        bool
            Whether anything was done.

        Raises
        ------
        HippoViewError
            The version cannot serve; the current one goes on.
        """
        # At the start a version is being loaded; during a swap the swap decides.
        if self._serving is None and self._failure is None:
            return False
        if not self._swapping.acquire(blocking=False):
            return False
        try:
            number_in_service = number()
            if self._serving is not None and self._serving.model.version == str(number_in_service):
                return False
            self._swap(partial(open_version, number_in_service), lambda: None)
        finally:
            self._swapping.release()
        return True

    def _swap(self, open_model: OpenModel, commit: Callable[[], None]) -> None:
        with self._lock:
            backends = set(self._loaded) | {self._backend_for("auto")}
        new_predictors = {backend: self._make(open_model, backend) for backend in backends}
        commit()
        with self._lock:
            # The old ones are not closed: they may still segment scans. Their threads end with
            # the last reference to them.
            self._loaded = new_predictors
            self._open_model = open_model
            self._serving = new_predictors[self._backend_for("auto")]
            self._failure = None
            self._end_queues_if_ending()

    def _backend_for(self, device: str) -> str:
        return backend_for(
            self._options.device if device == "auto" else device, self._options.backend
        )

    def _make(self, open_model: OpenModel, backend: str) -> Predictor:
        return warmed(open_model, self._options, backend, self._queue_size)

    def end_queues(self) -> None:
        """Send away the scans that wait, and further ones, with a word when to come again."""
        with self._lock:
            self._is_ending = True  # also for those that are being loaded
            self._end_queues_if_ending()

    def _end_queues_if_ending(self) -> None:
        if self._is_ending:
            for predictor in self._loaded.values():
                predictor.end_queue()

    def close(self) -> None:
        """End all threads."""
        with self._lock:
            for predictor in self._loaded.values():
                predictor.close()
            self._loaded.clear()
            self._serving = None


def warmed(
    open_model: OpenModel, options: InferenceOptions, backend: str = "", queue_size: int = 1
) -> Predictor:
    """Load a predictor and warm it up.

    Parameters
    ----------
    backend
        Overrides the backend of the options.

    Raises
    ------
    DeviceError, ModelError
    """
    start = time.perf_counter()
    with open_model() as model:
        predictor = loaded(model, options, backend, queue_size)
    predictor.warm_up()
    logger.info(
        "Model {} loaded and warmed in {:.1f} s: {}, {}, mirroring {}",
        model.version, time.perf_counter() - start, predictor.network.backend,
        predictor.network.precision, predictor.mirroring,
    )  # fmt: skip
    return predictor
