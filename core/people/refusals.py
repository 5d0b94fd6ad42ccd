"""Refusals in the trail: whoever tries what is not theirs leaves a line, and never many.

A refusal changes nothing, so its line need not come first: it is noted in memory, which never
waits, and written within a second or two by the server's background work (`tick`), all of them in
one transaction. Who goes on trying is counted, and said ever more seldom: after a minute, after two
more, at last once an hour. So nobody grows the trail or keeps the server busy by being refused.
"""

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from loguru import logger
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from core.errors import HippoViewError
from core.people.acting import Actor, actor
from core.people.audit import mark, record, recording
from core.people.limits import (
    MAX_REFUSED_STRANGERS,
    REFUSED_AGAIN_S,
    REFUSED_LONGEST_S,
    REFUSED_STRANGERS_WITHIN_S,
)
from core.people.tries import who_has
from core.wording import counted

# Account, address of those who have not signed in, and what was refused.
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Noted:
    """What somebody was refused, since the last line about it.

    Attributes
    ----------
    case_id : str
        Of the first case, where it is about cases.
    count : int
        How often; 0 once it is written.
    due_at, pause_s : float
        When its line is written, and how long the next one waits after that.
    """

    by: Actor
    case_id: str
    count: int
    due_at: float
    pause_s: float


class Refusals:
    """The refusals of an installation that have no line yet.

    Parameters
    ----------
    engine
    clock
        Seconds that only grow.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = weakref.ref(engine)
        self.clock = clock
        self._lock = threading.Lock()
        self._noted: dict[_Key, _Noted] = {}
        self._strangers: deque[float] = deque()

    def note(self, why: str, *, case_id: str = "", by: Actor | None = None) -> None:
        """Note that somebody was refused; it does not wait and never raises.

        Parameters
        ----------
        why
            What was refused, in words of ours: of few kinds, since each kind has a line.
        case_id
            The case that it is about.
        by
            Who was refused; by default who acts.
        """
        who = by or actor()
        with self._lock:
            key = self._key(who, why)
            if not key[0] and not key[1]:
                who = replace(who, address="")
            before = self._noted.get(key)
            if before is None:
                noted = _Noted(who, case_id, 1, self.clock(), REFUSED_AGAIN_S)
            elif before.count:
                noted = replace(before, count=before.count + 1)
            else:
                noted = replace(before, by=who, case_id=case_id, count=1)
            self._noted[key] = noted

    def _key(self, who: Actor, why: str) -> _Key:
        if who.role != "nobody":
            return who.id, "", why
        key = who.id, who_has(who.address), why
        if key in self._noted:
            return key
        now = self.clock()
        while self._strangers and self._strangers[0] <= now - REFUSED_STRANGERS_WITHIN_S:
            self._strangers.popleft()
        if len(self._strangers) >= MAX_REFUSED_STRANGERS:
            return "", "", why  # all further ones together
        self._strangers.append(now)
        return key

    def tick(self) -> None:
        """Write the lines that are due.

        Raises
        ------
        StorageError
            They are kept, and written later.
        """
        now = self.clock()
        with self._lock:
            over = [key for key, noted in self._noted.items() if noted.due_at <= now]
            due = {}
            for key in over:
                noted = self._noted.pop(key)
                if noted.count:  # else nothing has come since: a next one is a first one again
                    due[key] = noted
                    later = now + noted.pause_s
                    pause_s = min(2 * noted.pause_s, REFUSED_LONGEST_S)
                    self._noted[key] = replace(noted, count=0, due_at=later, pause_s=pause_s)
        self._write(due)

    def close(self) -> None:
        """Write all that has no line yet, due or not, as the server ends. Never raises."""
        with self._lock:
            left = {key: noted for key, noted in self._noted.items() if noted.count}
            self._noted.clear()
        try:
            self._write(left)
        except (HippoViewError, SQLAlchemyError):
            logger.error("Refusals are in no trail: {}", counted(len(left), "line"))

    def _write(self, due: dict[_Key, _Noted]) -> None:
        engine = self._engine()
        if not due or engine is None:
            return
        try:
            with recording(engine) as connection:
                for (_, _, why), noted in due.items():
                    what = mark(engine, "case", noted.case_id) if noted.case_id else ""
                    note = why if noted.count == 1 else f"{why}: {noted.count} times"
                    record(connection, "refused", what, note=note, by=noted.by)
        except BaseException:
            with self._lock:  # counted again, so that none is lost
                again_at = self.clock() + REFUSED_AGAIN_S
                for key, noted in due.items():
                    since = self._noted.get(key)
                    count = noted.count + (since.count if since else 0)
                    self._noted[key] = replace(noted, count=count, due_at=again_at)
            raise


_REFUSALS: weakref.WeakKeyDictionary[Engine, Refusals] = weakref.WeakKeyDictionary()
_MAKING = threading.Lock()


def refusals_of(engine: Engine) -> Refusals:
    """The refusals of the installation of a database."""
    with _MAKING:
        refusals = _REFUSALS.get(engine)
        if refusals is None:
            refusals = _REFUSALS[engine] = Refusals(engine)
        return refusals
