"""The trail's lines of cases: each act is in the case's record, and its line follows with the row.

An act on a case is done once its record is in the storage (`core.cases.acts`), so the record says
who did it. Whatever brings the row up to date writes the line in the same transaction: the act
itself, or after a kill the next start.
"""

import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, get_args

from loguru import logger
from sqlalchemy import Connection, Engine, select

from core.cases.records import Record, update_row
from core.errors import StorageError
from core.people.acting import Actor, Role, actor
from core.people.audit import ACTS as AUDITED
from core.people.audit import fingerprint, mark, record, record_alone, trail_end
from core.state.database import reading, timestamp
from core.state.fields import check_shape
from core.state.tables import CASES

# Field of a record: its last acts, the oldest first.
ACTS = "acts"
# A server whose database is behind by more of them says so in its own words.
_MOST_ACTS = 20
_SHAPE = {
    "revision": int, "act": frozenset(AUDITED), "note": str, "at": str, "trail": str, "who": str,
    "name": str, "role": frozenset(get_args(Role)), "address": str, "before": str, "after": str,
}  # fmt: skip
# A page draws a case again and again: one line within so many seconds, of so many looks.
_VIEW_AGAIN_S = 600.0
_MOST_VIEWS = 10_000
_BY_OTHERS = "by a program that keeps no trail"


class Lines:
    """Writes the lines of cases.

    Parameters
    ----------
    engine
    covered
        Until when the storage has copies of a trail, by its id; empty for one that has none. What
        a new database takes in from then or before has its lines there.
    """

    def __init__(self, engine: Engine, covered: Callable[[str], str] = lambda trail: "") -> None:
        self.engine = engine
        self.covered = covered
        self._guard = threading.Lock()
        self._views: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def viewed(self, case_id: str) -> None:
        """Say that whoever acts looks at a case: a line, and none again for some minutes.

        A line that cannot be written keeps nobody from reading; the log says so.
        """
        who = actor()
        if who.role == "server":
            return
        seen, now = (who.id, who.address, case_id), time.monotonic()
        with self._guard:
            if self._views.get(seen, -math.inf) > now - _VIEW_AGAIN_S:
                return
            self._views[seen] = now
            self._views.move_to_end(seen)
            while len(self._views) > _MOST_VIEWS:
                self._views.popitem(last=False)
        try:
            record_alone(self.engine, "view", mark(self.engine, "case", case_id))
        except StorageError as error:
            logger.error("A look at a case is in no trail: {}", error.message)

    def exported(self, case_id: str, what: str) -> None:
        """Say that whoever acts takes something of a case out, before it is handed over.

        Raises
        ------
        StorageError
            Then nothing may leave.
        """
        record_alone(self.engine, "export", mark(self.engine, "case", case_id), note=what)

    def noted(self, act: str, note: str, before: Record | None, after: Record) -> Record:
        """A changed record with who made which change, for the line that follows."""
        somebody = actor()
        with reading(self.engine) as connection:
            head = trail_end(connection)
        told = {
            "revision": after["revision"], "act": act, "note": note, "at": timestamp(),
            "trail": head.trail if head else "", "who": somebody.id, "name": somebody.name,
            "role": somebody.role, "address": somebody.address,
            "before": self.fingerprint(before), "after": self.fingerprint(after),
        }  # fmt: skip
        return {**after, ACTS: [*acts_of(after), told][-_MOST_ACTS:]}

    def fingerprint(self, record: Record | None) -> str:
        """A keyed hash of a record without its acts; empty for none."""
        if record is None:
            return ""
        content = {name: record[name] for name in sorted(record) if name != ACTS}
        return fingerprint(self.engine, json.dumps(content).encode())

    def put_row(self, connection: Connection, record: Record, *, is_own: bool) -> bool:
        """Insert or update a case's row from its record, with the lines of the acts that it lacked.

        Parameters
        ----------
        connection
            Of `core.people.audit.recording`.
        record
        is_own
            Whether this process has just written the record. Else the lines say when it was done.

        Returns
        -------
        bool
            Whether the case was new to the database.
        """
        query = select(CASES.c.revision).where(CASES.c.id == record["id"])
        revision = connection.scalar(query)
        before = -1 if revision is None else int(revision)
        outcome = update_row(connection, record)
        if outcome:
            self._write(connection, record, before, is_own=is_own)
        return outcome == "new"

    def _write(self, connection: Connection, case: Record, before: int, *, is_own: bool) -> None:
        what = mark(self.engine, "case", case["id"])
        acts = [told for told in acts_of(case) if told["revision"] > before]
        is_told = bool(acts)
        if before < 0 and not is_own:  # of another database, or of this one before it was lost
            acts = [told for told in acts if told["at"] > self.covered(told["trail"])]
        for told in acts:
            by = Actor(told["who"], told["name"], told["role"], address=told["address"])
            done = "" if is_own else f"done {told['at']}, taken in later"
            record(
                connection, told["act"], what, before=told["before"], after=told["after"],
                note="; ".join(filter(None, (told["note"], done))), by=by,
            )  # fmt: skip
        if not is_told and before >= 0:
            record(connection, "import", what, after=self.fingerprint(case), note=_BY_OTHERS)


def acts_of(record: Record) -> list[dict[str, Any]]:
    """The acts that a record tells of, the oldest first; without those that cannot be read."""
    acts = record.get(ACTS)
    return [told for told in acts if _is_read(told)] if isinstance(acts, list) else []


def _is_read(told: object) -> bool:
    try:
        check_shape(told, _SHAPE)
    except ValueError:
        return False
    return True
