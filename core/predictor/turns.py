"""A bounded queue in front of a device: first come, first served, full means refused."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import BusyError

_FIRST_GUESS_S = 2.0


class Turns:
    """Hands out one turn at a time, in the order of asking.

    Parameters
    ----------
    size
        How many may wait beside the one whose turn it is.
    clock
        Seconds, monotonic.
    """

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._usual_s = _FIRST_GUESS_S

    @property
    def waiting(self) -> int:
        """How many wait, beside the one whose turn it is."""
        with self._changed:
            return max(0, len(self._line) - 1)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn and hold it.

        Raises
        ------
        BusyError
            The queue is full.
        """
        ticket = object()
        with self._changed:
            if len(self._line) > self._size:
                raise BusyError(
                    f"{self._size} scans are waiting already",
                    "Send it again in a moment.",
                    retry_after_s=max(1, round(len(self._line) * self._usual_s)),
                )
            self._line.append(ticket)
            try:
                self._changed.wait_for(lambda: self._line[0] is ticket)
            except BaseException:
                self._leave(ticket)
                raise
        started = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._usual_s += 0.2 * (self._clock() - started - self._usual_s)
                self._leave(ticket)

    def _leave(self, ticket: object) -> None:
        self._line.remove(ticket)
        self._changed.notify_all()
