"""How a server ends: what runs is finished, what waits is sent away, and no one is waited for."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from loguru import logger

# Service managers and Cloud Run kill after 10 to 90 s; what is left needs a few seconds more.
_PATIENCE_S = 20


def when_told_to_stop(act: Callable[[], None]) -> None:
    """Do something as soon as the server is told to stop, before it waits for what runs.

    To be called on the main thread, by a server that has begun: its own handler comes after ours.

    Parameters
    ----------
    act
        Called on a thread of its own, since a lock may be held where the signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():  # a test's server
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        theirs = signal.getsignal(number)
        if not callable(theirs):
            continue
        server = getattr(theirs, "__self__", None)
        if isinstance(server, uvicorn.Server):
            # Else a connection on which nothing comes is waited for without end.
            server.config.timeout_graceful_shutdown = _PATIENCE_S

        def handle(
            number: int, frame: FrameType | None, theirs: Callable[..., object] = theirs
        ) -> None:
            threading.Thread(target=_do, args=(act,), name="stopping").start()
            theirs(number, frame)

        signal.signal(number, handle)


def _do(act: Callable[[], None]) -> None:
    logger.info("Told to stop: scans that run are finished, those that wait are sent away")
    act()
