"""When a task that comes back again and again is due."""

import time
from collections.abc import Callable


class Due:
    """Says when a task is due, by seconds that only grow; one thread asks.

    Parameters
    ----------
    every_s
        Seconds from one time to the next.
    clock
        Seconds, monotonic.
    first_after_s
        Seconds until it is due for the first time.

    >>> seconds = iter([0.0, 0.0, 9.0, 10.0])
    >>> task = Due(10.0, lambda: next(seconds))
    >>> task.is_now(), task.is_now(), task.is_now()
    (True, False, True)
    """

    def __init__(
        self, every_s: float, clock: Callable[[], float] = time.monotonic,
        first_after_s: float = 0.0,
    ) -> None:  # fmt: skip
        self._every_s = every_s
        self._clock = clock
        self._at = clock() + first_after_s

    def is_now(self) -> bool:
        """Whether it is due; then it is not again for `every_s`, whatever comes of it."""
        now = self._clock()
        if now < self._at:
            return False
        self._at = now + self._every_s
        return True
