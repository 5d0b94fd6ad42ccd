"""How many requests a client may make: a bucket of tokens for each, refilled at a steady rate."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from core import limits


class Rates:
    """Counts requests by client. Kept in memory, for a bounded number of clients.

    Parameters
    ----------
    per_minute
        Requests that a client may make in the long run; 0 counts nothing.
    burst
        Requests that it may make at once after a pause.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        # By client: tokens left, and when they were counted. The one seen last stands last.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> int:
        """Take a token of a client: 0, or the seconds until there is one (at least 1)."""
        if not self._per_s:
            return 0
        with self._lock:
            now = self._clock()
            left, at = self._left.get(client, (float(self._burst), now))
            left = min(self._burst, left + (now - at) * self._per_s)
            is_let = left >= 1
            self._left[client] = (left - 1 if is_let else left, now)
            self._left.move_to_end(client)
            while len(self._left) > limits.MAX_ADDRESSES:
                self._left.popitem(last=False)
            return 0 if is_let else max(1, math.ceil((1 - left) / self._per_s))
