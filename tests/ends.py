"""Something that happens at the n-th step of a storage: a failure, or the end of the process."""

import os
import signal
import time
from collections.abc import Callable

from tests.faulty import outage

_CHILD_PATIENCE_S = 60


class Steps:
    """A hook of `tests.faulty.FaultyStorage` that counts its calls and does something at one."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.at, self.act, self.count = at, act, 0

    def __call__(self, call: str, key: str, when: str) -> None:
        self.count += 1
        if self.count == self.at:
            self.act()


def fail() -> None:
    """Refuse, as a storage does that cannot be reached."""
    raise outage()


def die() -> None:
    """End this process as a power failure does."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(_CHILD_PATIENCE_S)  # other threads may run for a moment, this one must not


def in_child(work: Callable[[], None]) -> int:
    """Do something in a process of its own; its exit status, -9 if it was killed.

    What it needs must be opened in it: connections do not outlive a fork.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(_CHILD_PATIENCE_S)
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
