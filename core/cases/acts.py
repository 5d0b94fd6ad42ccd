"""Changes of cases: each takes effect in the storage first, then in the database.

The order makes every change complete or undone, whichever step fails and whenever the process is
killed; see `core.cases.records`. No file is read or written within a transaction, and two
processes on one bucket or one database cannot overwrite each other's changes: a record replaces
exactly the one that was read, or the write fails.
"""

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from core.cases.lines import Lines
from core.cases.records import (
    DAMAGED,
    IMAGE,
    REMOVED,
    Record,
    damaged_record,
    file_of,
    folder_of,
    is_behind,
    is_removed,
    origin_key,
    record_key,
    record_of,
    record_of_row,
    unknown_case,
)
from core.errors import ChangedError, HippoViewError, NotFoundError, StorageError
from core.people.audit import mark, recording
from core.people.audit import record as record_line
from core.people.permission import Guard
from core.people.roles import Act
from core.state.database import reading
from core.state.failures import changed_file
from core.state.storage import Storage
from core.state.tables import CASES
from core.wording import counted

# When a case was deleted that is removed without having been.
_LONG_AGO = "1970-01-01T00:00:00.000+00:00"
# How often a change is tried when another process was faster.
_TRIES = 5


class Acts:
    """Creates, changes and removes cases, in storage and database."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self.engine = engine
        self.storage = storage
        self.lines = Lines(engine)
        self.guard = Guard(engine)
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, _CaseLock] = weakref.WeakValueDictionary()
        # Cases whose last change ended without a clear result: their rows may be outdated.
        self._doubtful: set[str] = set()
        # Ids whose creation failed here: a record read meanwhile must not be imported.
        self._given_up: set[str] = set()
        # Cases that were removed for good by this process.
        self.removed: set[str] = set()

    def admit(self, case_id: str, act: Act) -> None:
        """Refuse what whoever acts may not do with a case; asked before it is changed.

        Raises
        ------
        AccessError, ForbiddenError
        NotFoundError
            It is a case that whoever acts does not see.
        """
        who = self.guard.require(act)
        if who.role != "reader":
            return  # sees all: whether the case exists is said where it is changed
        query = select(CASES.c.owners).where(CASES.c.id == case_id, CASES.c.deleted_at.is_(None))
        with reading(self.engine) as connection:
            owners = connection.scalar(query)
        if owners is None or not self.guard.sees(owners, case_id):
            raise unknown_case()

    def create(
        self, record: Record, files: Mapping[str, bytes], apart: Mapping[str, bytes] | None = None
    ) -> None:
        """Create a case under a free id, or leave nothing behind.

        Parameters
        ----------
        record
        files
            By name within the case's folder.
        apart
            Files outside of it, by key.

        Raises
        ------
        ChangedError
            The id is taken. The case that has it was not touched.
        StorageError
        """
        record = self.lines.noted("upload", "", None, dict(record))
        case_id = record["id"]
        written: list[str] = []  # by this call, and by nobody else
        with self._locked(case_id):
            try:
                keyed = {f"{folder_of(case_id)}/{name}": file for name, file in files.items()}
                for key, content in {**keyed, **(apart or {})}.items():
                    self.storage.replace(key, content, None)
                    written.append(key)
                self._put(record_key(case_id), file_of(record), None)
                written.append(record_key(case_id))
                self._update_row(record)
            except _UnknownOutcomeError:
                self._doubt(case_id)  # complete, it is imported later; else removed after a day
                raise
            except BaseException:
                self._give_up(case_id, written)
                raise

    def update_record(
        self,
        case_id: str,
        edit: Callable[[Record], Mapping[str, Any]],
        also: Callable[[Connection], None] = lambda connection: None,
        *,
        act: str,
        note: str = "",
    ) -> Record:
        """Change a case's record, then its row, with a line in the trail.

        Parameters
        ----------
        case_id
        edit
            Returns the changed fields for the current record, or raises. Called again if another
            process was faster.
        also
            Further writes in the same database transaction.
        act, note
            What the line says; see `core.people.audit.record`.

        Returns
        -------
        Record
            As it is after the change.

        Raises
        ------
        ChangedError
            Another process was faster, again and again. Nothing has changed.
        NotFoundError
        StorageError
            Nothing has changed; or, where the connection or the database failed, the row is
            updated from the record later.
        """
        with self._locked(case_id):
            for _ in range(_TRIES):
                record, content = self._current(case_id)
                try:
                    edited = edit(record)
                except HippoViewError:
                    self.update_rows([record])  # so that the page shows what the refusal is about
                    raise
                changed = {**record, **edited, "revision": record["revision"] + 1}
                changed = self.lines.noted(act, note, record, changed)
                try:
                    self._put(record_key(case_id), file_of(changed), content)
                except ChangedError:
                    continue
                except _UnknownOutcomeError:
                    self._doubt(case_id)
                    raise
                self._update_row(changed, also)
                return changed
        raise changed_file()

    def remove(
        self, case_id: str, at: str, expired: Callable[[Record], bool], *, note: str = ""
    ) -> bool:
        """Remove a case for good: its files first, its record and its row last.

        Parameters
        ----------
        case_id
        at
            Now, ISO 8601.
        expired
            Whether a record is old enough.
        note
            Why, for the trail.

        Returns
        -------
        bool
            False if it was restored meanwhile.

        Raises
        ------
        StorageError, ChangedError
            It is not gone yet: call again.
        """
        folder = folder_of(case_id)
        record: Record | None = None
        with self._locked(case_id):
            try:
                record, content = self._current(case_id, removed=True)
            except NotFoundError:
                pass
            except StorageError as error:
                if error.code != DAMAGED:  # then its row decides that it has expired
                    raise
            else:
                if REMOVED not in record:
                    if not expired(record):
                        self._update_row(record)
                        return False
                    # From here on nobody restores it; a killed removal is continued.
                    mark = {**record, REMOVED: at, "revision": record["revision"] + 1}
                    self._put(record_key(case_id), file_of(mark), content)
                    # So that its row is found if only that is left.
                    gone = {"deleted_at": record["deleted_at"] or _LONG_AGO}
                    with self.engine.begin() as connection:
                        update = CASES.update().where(CASES.c.id == case_id)
                        connection.execute(update.values(**gone, revision=mark["revision"]))
                for key in self.storage.keys(folder):
                    if key != record_key(case_id):
                        self.storage.delete(key)
            self.storage.delete(origin_key(case_id))
            self.storage.delete_folder(folder)
            self._remove_row(case_id, before=self.lines.fingerprint(record), note=note)
        self.removed.add(case_id)
        return True

    def refresh(self, case_id: str) -> bool:
        """Update a case's row from its record in the storage; returns whether the case exists.

        Raises
        ------
        StorageError
        """
        with self._locked(case_id):
            try:
                content = self.storage.read(record_key(case_id))
            except NotFoundError:
                self._settled(case_id)
                return False
            record = record_of(self.storage, case_id, content)
            try:
                is_new = self.update_rows([record])
            except SQLAlchemyError as error:
                raise damaged_record() from error
            if is_new:
                self._check_kept(case_id)
            self._settled(case_id)
        return REMOVED not in record

    def update_rows(self, records: list[Record]) -> int:
        """Update rows from records that were read, all in one transaction.

        Returns
        -------
        int
            How many cases were new to the database.
        """
        new = 0
        with recording(self.engine, needed=False) as connection:
            for record in records:
                if REMOVED in record or record["id"] in self._given_up:
                    continue
                new += self.lines.put_row(connection, record, is_own=False)
            if new:
                record_line(connection, "import", note=counted(new, "case"))
        return new

    def doubtful(self) -> set[str]:
        """Cases whose rows may be older than their records."""
        with self._guard:
            return set(self._doubtful)

    def _current(self, case_id: str, *, removed: bool = False) -> tuple[Record, bytes | None]:
        """A case's newest record, and the bytes of its file; None if the file is lost."""
        with reading(self.engine) as connection:
            row = record_of_row(connection, case_id)
        try:
            content = self.storage.read(record_key(case_id))
        except NotFoundError:
            if row is None or f"{folder_of(case_id)}/{IMAGE}" not in self.storage.keys(
                folder_of(case_id)
            ):
                raise unknown_case() from None
            return row, None
        record = record_of(self.storage, case_id, content)
        if REMOVED in record and not removed:
            raise unknown_case()
        if row is not None and is_behind(record, row):
            record = row
        return record, content

    def _put(self, key: str, content: bytes, old: bytes | None) -> None:
        """Replace a file. If the storage fails, check whether the file was written nevertheless.

        Raises
        ------
        ChangedError, StorageError
            Nothing was written.
        _UnknownOutcomeError
            It is not known whether the file was written.
        """
        try:
            self.storage.replace(key, content, old)
        except StorageError as error:
            try:
                arrived = self.storage.read(key) == content
            except NotFoundError:
                arrived = False
            except StorageError:
                raise _UnknownOutcomeError(error.message, error.hint, code=error.code) from error
            if not arrived:
                raise

    def _give_up(self, case_id: str, written: list[str]) -> None:
        """Delete the files of a failed creation, the record first: no record without its files."""
        if record_key(case_id) in written:
            with self._guard:
                self._given_up.add(case_id)
        try:
            for key in reversed(written):
                self.storage.delete(key)
                if key == record_key(case_id):
                    self._remove_row(case_id, note="it could not be kept")
        except HippoViewError as error:
            # Complete, it is imported later; without its record it is removed after a day.
            with self._guard:
                self._given_up.discard(case_id)
            self._doubt(case_id)
            logger.warning("What was left of a case could not be removed: {}", error.code)
        else:
            self._settled(case_id)

    def _update_row(
        self, record: Record, also: Callable[[Connection], None] = lambda connection: None
    ) -> None:
        """Update the row from a record that was just written."""
        self._doubt(record["id"])
        with recording(self.engine, needed=False) as connection:
            is_new = self.lines.put_row(connection, record, is_own=True)
            also(connection)
        if is_new and record["revision"] > 1:
            self._check_kept(record["id"])
        self._settled(record["id"])

    def _check_kept(self, case_id: str) -> None:
        """Take a row that was inserted back if another process has removed its case for good."""
        if is_removed(self.storage, case_id):  # its own row went before this one came
            self._remove_row(case_id, note="it was removed while it was changed")
            self._settled(case_id)
            raise unknown_case()

    def _remove_row(self, case_id: str, *, before: str = "", note: str = "") -> None:
        """Remove a case's row, and all that goes with it."""
        with recording(self.engine, needed=False) as connection:
            gone = connection.execute(CASES.delete().where(CASES.c.id == case_id)).rowcount
            if gone or before:
                what = mark(self.engine, "case", case_id)
                record_line(connection, "remove", what, before=before, note=note)

    def _doubt(self, case_id: str) -> None:
        with self._guard:
            self._doubtful.add(case_id)

    def _settled(self, case_id: str) -> None:
        with self._guard:
            self._doubtful.discard(case_id)

    @contextmanager
    def _locked(self, case_id: str) -> Iterator[None]:
        """One change at a time of a case, among the threads of this process."""
        with self._guard:
            lock = self._locks.get(case_id)
            if lock is None:
                lock = self._locks[case_id] = _CaseLock()
        with lock.lock:
            yield


class _UnknownOutcomeError(StorageError):
    """The storage failed, and it is not known whether the file was written."""


class _CaseLock:
    """A lock that goes once nobody holds or awaits it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
