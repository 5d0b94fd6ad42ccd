"""Copies of the trail in the storage, signed: they outlive the database, and tell on it.

``trail/ID/000000001.json`` has the first 500 lines of the trail of an id, and so on. A server whose
database was lost begins another trail, and says so in its first line and in the log; the lines of
before stay here.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple

from loguru import logger
from sqlalchemy import Connection, Engine, func, select

from core.due import Due
from core.errors import HippoViewError, StorageError
from core.people.acting import SERVER, acting_as
from core.people.audit import (
    COLUMNS,
    Line,
    TrailEnd,
    begin,
    chain_at,
    record,
    recording,
    trail_end,
    trail_of,
)
from core.people.audit_checkpoint import Checkpoint, DamagedCheckpointError
from core.state.database import is_shared, reading
from core.state.fields import check_shape, object_of
from core.state.storage import Storage, read_many
from core.state.tables import TRAIL

FOLDER = "trail"
_AT_ONCE = 500
# Seconds between two copies: so much of the trail is lost with a database and its disk.
_EVERY_S = 10.0
_SHAPE = {"lines": [[int, *[str] * (len(COLUMNS) - 1)]], "signature": str}
_AGREES = ""


class DamagedArchiveError(StorageError):
    """A copy of the trail cannot be read, or was not signed with this installation's key."""


class Archive:
    """The copies of the trails of an installation.

    Parameters
    ----------
    engine, storage
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, engine: Engine, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._due = Due(_EVERY_S, clock)
        self._copied: dict[str, TrailEnd] = {}
        self._covered: dict[str, str] = {}

    def open(self) -> None:
        """Begin a trail in a new database; say where one ends otherwise than it should.

        Raises
        ------
        StorageError
        """
        with reading(self._engine) as connection:
            head = trail_end(connection)
            why = self._why_begun() if head is None else self._why_unfit(connection, head)
        if head is not None and why == _AGREES:
            return
        checkpoint = trail_of(self._engine).checkpoint
        has_ended = checkpoint.path.exists()
        with acting_as(SERVER), recording(self._engine, needed=False) as connection:
            if head is None and trail_end(connection) is None:
                begin(connection, why)
            elif head is not None:
                record(connection, "begin", note=why)
            now = trail_end(connection)
        if has_ended:
            checkpoint.set_aside()
        if now is not None:
            checkpoint.advance(now.trail, now.number, now.chain)
        if head is not None or why != _NEW:
            logger.warning("The trail: {}. See python -m core audit verify", why)

    def tick(self) -> None:
        """Copy what is new, if it is due. Never raises."""
        if self._due.is_now():
            self._copy_or_say()

    def copy(self) -> None:
        """Copy the lines that are new since the last time.

        Raises
        ------
        StorageError
            The storage fails; or the trail is not the one that was copied before, whose copies
            are left as they are.
        """
        with reading(self._engine) as connection:
            head = trail_end(connection)
            if head is None:
                return
            folder = folder_of(connection, head)
            copied = self._copied.get(folder) or self._last_copied(folder)
            if copied is not None and copied.number == head.number and copied.chain == head.chain:
                self._copied[folder] = copied
                return
            if copied is not None and chain_at(connection, copied.number) != copied.chain:
                raise StorageError(
                    "The trail is not the one that was copied before",
                    "Run: python -m core audit verify",
                )
            first = _first_of(copied.number + 1 if copied else 1)
            rows = connection.execute(
                select(TRAIL).where(TRAIL.c.number >= first).order_by(TRAIL.c.number)
            ).all()
        for start in range(0, len(rows), _AT_ONCE):
            part = [Line(*row) for row in rows[start : start + _AT_ONCE]]
            self._storage.write(_key(folder, part[0].number), self._file_of(part))
        self._copied[folder] = TrailEnd(head.trail, rows[-1].number, rows[-1].chain)

    def close(self) -> None:
        """Copy what is new, whether it is due or not. Never raises."""
        self._copy_or_say()

    def covered(self, trail: str) -> str:
        """When the last line that the storage has of a trail was written; empty for none."""
        if trail not in self._covered:
            ends = [self._last_line(n) for n in self.trails() if trail and n.startswith(trail)]
            self._covered[trail] = max((line.at for line in ends if line), default="")
        return self._covered[trail]

    def trails(self) -> list[str]:
        """Names of the trails in the storage: an id, and the line where it was found changed."""
        return self._storage.folders(FOLDER)

    def lines_of(self, name: str) -> list[Line]:
        """The lines of a trail, the oldest first.

        Raises
        ------
        DamagedArchiveError, StorageError
        """
        keys = self._storage.keys(f"{FOLDER}/{name}")
        return [
            line
            for _, content in read_many(self._storage, keys)
            for line in self._lines_in(content or b"")
        ]

    def _copy_or_say(self) -> None:
        try:
            self.copy()
        except HippoViewError as error:
            logger.warning("The trail could not be copied to the storage: {}", error.message)

    def _why_begun(self) -> str:
        """Why a database has no trail yet, in words."""
        told = [f"{name} with {len(self._safe(name))} lines" for name in self.trails()]
        try:
            ended = trail_of(self._engine).checkpoint.read()
        except DamagedCheckpointError:
            told.append("a checkpoint that cannot be read")
        else:
            told += [f"{ended.trail} as of line {ended.number}"] if ended else []
        if not told:
            return _NEW
        return f"the database of before is gone; earlier trails: {', '.join(told[-4:])}"

    def _safe(self, name: str) -> Sequence[Line]:
        try:
            return self.lines_of(name)
        except DamagedArchiveError:
            return ()

    def _why_unfit(self, connection: Connection, head: TrailEnd) -> str:
        """What the trail of a database lacks, in words; `_AGREES` if it is as it should be."""
        try:
            told = trail_of(self._engine).checkpoint.read()
        except DamagedCheckpointError as error:
            return error.message
        if told is None and not is_shared(self._engine):
            return "the checkpoint is gone"
        if told is not None and told.trail != head.trail:
            return f"the database is another: the checkpoint is of trail {told.trail}"
        if told is not None and not self._has(told):
            return _unlike(f"the checkpoint of line {told.number}", told, head)
        folder = folder_of(connection, head)
        copied = self._last_copied(folder)
        if copied is not None and not self._has(copied):
            return _unlike(f"the storage's copy, which has {copied.number} lines", copied, head)
        return _AGREES

    def _has(self, told: Checkpoint | TrailEnd) -> bool:
        """Whether the database has the line that a checkpoint or a copy ends with.

        The database is read after these: another server may write while this one starts.
        """
        with reading(self._engine) as connection:
            return chain_at(connection, told.number) == told.chain

    def _last_copied(self, folder: str) -> TrailEnd | None:
        last = self._last_line(folder)
        return None if last is None else TrailEnd(folder, last.number, last.chain)

    def _last_line(self, folder: str) -> Line | None:
        keys = self._storage.keys(f"{FOLDER}/{folder}")
        return self._lines_in(self._storage.read(keys[-1]))[-1] if keys else None

    def _lines_in(self, content: bytes) -> list[Line]:
        try:
            held = object_of(content)
            check_shape(held, _SHAPE)
        except ValueError as error:
            raise DamagedArchiveError(
                "A copy of the trail in the storage is damaged", "Restore it from a backup."
            ) from error
        copied = [Line(*values) for values in held["lines"]]
        if not copied or not hmac.compare_digest(held["signature"], self._signature(copied)):
            raise DamagedArchiveError(
                "A copy of the trail in the storage is not signed with this installation's key",
                "Set HIPPOVIEW_AUDIT_KEY to the key of before; else somebody else wrote it.",
            )
        return copied

    def _file_of(self, part: Sequence[Line]) -> bytes:
        content = {"lines": [astuple(line) for line in part], "signature": self._signature(part)}
        return json.dumps(content).encode()

    def _signature(self, part: Sequence[Line]) -> str:
        told = json.dumps([astuple(line) for line in part]).encode()
        key = trail_of(self._engine).derived("archive")
        return hmac.digest(key, told, hashlib.sha256).hex()


_NEW = "a new installation"


def folder_of(connection: Connection, head: TrailEnd) -> str:
    """Under which name a trail is copied: anew where its database was found changed."""
    query = select(func.max(TRAIL.c.number)).where(TRAIL.c.act == "begin", TRAIL.c.number > 1)
    changed = connection.scalar(query)
    return head.trail if changed is None else f"{head.trail}-{changed}"


def _unlike(what: str, told: Checkpoint | TrailEnd, head: TrailEnd) -> str:
    how = "ends earlier than" if head.number < told.number else "differs from"
    return f"the database {how} {what}"


def _first_of(number: int) -> int:
    """The first line in the file of a line."""
    return (number - 1) // _AT_ONCE * _AT_ONCE + 1


def _key(folder: str, first: int) -> str:
    return f"{FOLDER}/{folder}/{first:09}.json"
