"""Limits how often passwords may be tried, before any of them is hashed."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core import limits
from core.errors import AccessError
from core.wording import counted

_WINDOW_S = 60.0
_BUSY_S = 5
_IPV6_PREFIX = 64
_LONGEST_NAME = 64


class TooManyTriesError(AccessError):
    """Too many wrong passwords; sign-in pauses for this client."""

    code = "too_many_tries"

    def __init__(self, message: str, hint: str, retry_after_s: int) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class Tries:
    """Counts passwords being checked, and wrong ones of the last minute by client.

    Kept in memory: a restart forgets them, and setting the clock changes nothing.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(limits.HASHES_AT_ONCE)
        self._in_line = 0
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    @contextmanager
    def attempt(self, who: str) -> Iterator[Callable[[], None]]:
        """Hold an attempt for as long as the block lasts: two at a time, the others wait.

        Yields
        ------
        callable
            To be called if the password is right. Until then it counts as wrong, so that
            simultaneous attempts cannot all pass before the first is counted.

        Raises
        ------
        TooManyTriesError
            Before anything was computed. This attempt is not counted, so that a pause ends.
        """
        mine = self._count(who)
        try:
            with self._hashing:
                yield lambda: self._forget(who, mine)
        finally:
            with self._lock:
                self._in_line -= 1

    def _count(self, who: str) -> float:
        with self._lock:
            now = self._clock()
            recent = [at for at in self._wrong.get(who, []) if at > now - _WINDOW_S]
            if len(recent) >= limits.MAX_WRONG_PASSWORDS:
                wait_s = math.ceil(recent[0] + _WINDOW_S - now)
                raise TooManyTriesError(
                    "Too many wrong passwords were tried from here",
                    f"Wait {counted(wait_s, 'second')} and try again.",
                    wait_s,
                )
            if self._in_line >= limits.MAX_HASHES_WAITING:
                raise TooManyTriesError(
                    "Too many passwords are being tried at once",
                    f"Wait {_BUSY_S} seconds and try again.",
                    _BUSY_S,
                )
            self._in_line += 1
            self._wrong[who] = [*recent, now]
            self._wrong.move_to_end(who)
            while len(self._wrong) > limits.MAX_ADDRESSES:
                self._wrong.popitem(last=False)  # whose last try is the longest ago
            return now

    def _forget(self, who: str, at: float) -> None:
        with self._lock:
            left = self._wrong.get(who, [])
            if at in left:
                left.remove(at)
            if not left:
                self._wrong.pop(who, None)


def who_has(address: str) -> str:
    """The client behind an address: for IPv6 a whole /64, since one machine may use all of it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:_LONGEST_NAME]
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False))
