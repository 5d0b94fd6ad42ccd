"""Limits how often passwords may be tried, before any of them is hashed."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import AccessError
from core.limits import MAX_ADDRESSES
from core.people import limits
from core.people.passwords import HASHING
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
    """Counts passwords being checked, and wrong ones of the last minute by client and account.

    A client that guesses pauses. An account that is guessed at from many addresses makes each of
    them pause sooner, and nobody else: whoever comes from elsewhere has a try.

    Kept in memory: a restart forgets them, and setting the clock changes nothing.

    Parameters
    ----------
    clock
        Seconds that only grow.
    at_once
        Held while one is checked.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic,
        at_once: threading.Semaphore = HASHING,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._at_once = at_once
        self._lock = threading.Lock()
        self._in_line = 0
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    @contextmanager
    def attempt(
        self, who: str, account: str = "", *, is_known: bool = False
    ) -> Iterator[Callable[[], None]]:
        """Hold an attempt for as long as the block lasts: one at a time, the others wait.

        Parameters
        ----------
        who
            The client; see `who_has`.
        account
            The name that it gives.
        is_known
            Whether it is a browser in which this account has signed in before.

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
        keys = (f"from {who}", f"for {account[:_LONGEST_NAME]}")
        mine = self._count(*keys, is_known=is_known)
        try:
            with self._at_once:
                yield lambda: self._forget(keys, mine)
        finally:
            with self._lock:
                self._in_line -= 1

    def _count(self, client: str, account: str, *, is_known: bool) -> float:
        with self._lock:
            now = self._clock()
            recent = {
                key: [at for at in self._wrong.get(key, []) if at > now - _WINDOW_S]
                for key in (client, account)
            }
            is_attacked = len(recent[account]) >= limits.MAX_WRONG_FOR_ACCOUNT and not is_known
            most = limits.WRONG_UNDER_ATTACK if is_attacked else limits.MAX_WRONG_PASSWORDS
            if len(recent[client]) >= most:
                wait_s = math.ceil(recent[client][0] + _WINDOW_S - now)
                raise TooManyTriesError(
                    "Too many sign-ins failed from here",
                    f"Wait {counted(wait_s, 'second')} and try again.",
                    wait_s,
                )
            places = limits.MAX_HASHES_WAITING + limits.MORE_FOR_KNOWN * is_known
            if self._in_line >= places:
                raise TooManyTriesError(
                    "Too many people sign in at once",
                    f"Wait {_BUSY_S} seconds and try again.",
                    _BUSY_S,
                )
            self._in_line += 1
            for key, at_before in recent.items():
                self._wrong[key] = [*at_before, now]
                self._wrong.move_to_end(key)
            while len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)  # whose last try is the longest ago
            return now

    def _forget(self, keys: tuple[str, ...], at: float) -> None:
        with self._lock:
            for key in keys:
                left = self._wrong.get(key, [])
                if at in left:
                    left.remove(at)
                if not left:
                    self._wrong.pop(key, None)


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
