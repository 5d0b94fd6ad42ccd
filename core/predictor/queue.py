"""A bounded queue in front of a device, first come, first served, fair between users."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.errors import BusyError, GoneError
from core.wording import counted

_FIRST_GUESS_S = 1.0
# How often a waiting caller is asked whether it is still there.
_LOOK_S = 0.5
# What a restart takes, s.
_RESTART_S = 15


@dataclass(frozen=True, order=True)
class _Ticket:
    """A caller in the queue, ordered by round, then by arrival."""

    round: int
    number: int
    user: str = field(compare=False)


class FairQueue:
    """Hands out slots of a device in a fair order.

    Each user has one scan per round; the scans of a round go in the order of arrival. So a user
    with one scan waits for one scan of each other user, not for all fifty of theirs.

    Parameters
    ----------
    size
        How many callers may wait.
    width
        How many slots there are: callers that run at the same time.
    clock
        Seconds, monotonic.
    """

    def __init__(self, size: int, width: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._width = width
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._running: list[_Ticket] = []
        self._round = 0
        self._count = 0
        self._usual_s = _FIRST_GUESS_S
        self._has_ended = False

    def end(self) -> None:
        """Send away who waits and who comes; who holds a slot goes on."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot to become free."""
        with self._changed:
            return self._waiting_without_slot()

    def check(self) -> None:
        """Raise `BusyError` if the queue is full: before a caller spends anything on a scan."""
        with self._changed:
            self._check()

    @contextmanager
    def slot(
        self,
        user: str = "",
        on_place: Callable[[int], None] = lambda place: None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Iterator[None]:
        """Wait for a slot and hold it for as long as the block lasts.

        Parameters
        ----------
        user
            The queue is fair between users.
        on_place
            Called with the place in the queue, from 1, at once and every half a second. If it
            raises, the place is given up.
        gone
            Called every half a second: whether nobody waits for the result any more.

        Raises
        ------
        BusyError
            The queue is full.
        GoneError
            ``gone`` returned True.
        """
        ticket = self._queue_up(user)
        self._wait(ticket, on_place, gone)
        started = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._usual_s += 0.2 * (self._clock() - started - self._usual_s)
                self._running.remove(ticket)
                self._changed.notify_all()

    def _waiting_without_slot(self) -> int:
        # The next caller may not have woken up yet: a free slot is as good as taken.
        free = self._width - len(self._running)
        return max(0, len(self._waiting) - free)

    def _check(self) -> None:
        if self._has_ended:
            raise _stopping()
        if self._waiting_without_slot() >= self._size:
            after_s = (len(self._waiting) + len(self._running)) * self._usual_s / self._width
            raise BusyError(
                f"{counted(self._size, 'scan is', 'scans are')} waiting already",
                "Send it again in a moment.",
                retry_after_s=max(1, round(after_s)),
            )

    def _queue_up(self, user: str) -> _Ticket:
        with self._changed:
            self._check()
            own = [t.round for t in (*self._waiting, *self._running) if t.user == user]
            self._count += 1
            ticket = _Ticket(max(own, default=self._round - 1) + 1, self._count, user)
            self._waiting.append(ticket)
            self._waiting.sort()
            return ticket

    def _wait(
        self, ticket: _Ticket, on_place: Callable[[int], None], gone: Callable[[], bool]
    ) -> None:
        try:
            while True:
                with self._changed:
                    if self._has_ended:
                        raise _stopping()
                    if self._is_next(ticket):
                        self._waiting.remove(ticket)
                        self._running.append(ticket)
                        self._round = ticket.round
                        self._changed.notify_all()
                        return
                    place = self._waiting.index(ticket) + 1
                # Outside the lock: the page and the network connection take their time.
                on_place(place)
                if gone():
                    raise GoneError("Nobody waits for this scan any more")
                with self._changed:
                    if not (self._has_ended or self._is_next(ticket)):
                        self._changed.wait(_LOOK_S)
        except BaseException:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()
            raise

    def _is_next(self, ticket: _Ticket) -> bool:
        return len(self._running) < self._width and self._waiting[0] == ticket


def _stopping() -> BusyError:
    return BusyError(
        "The server is being stopped", "Send it again in a moment.", retry_after_s=_RESTART_S
    )
