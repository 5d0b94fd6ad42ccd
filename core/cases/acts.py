"""Acts on cases: each is done once it stands in the storage, and the database follows.

The order makes every act whole or undone, whichever step fails and whenever the process is
killed; see `core.cases.records`. Nothing is sent or fetched within a transaction, and two
processes on one bucket or one database cannot overwrite each other's acts: a record replaces
the one that was read, or its writer is told.
"""

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from core.cases.records import (
    DAMAGED,
    IMAGE,
    REMOVED,
    Record,
    damaged_record,
    file_of,
    folder_of,
    record_key,
    record_of,
    record_of_row,
    unknown_case,
    update_row,
)
from core.errors import ChangedError, HippoViewError, NotFoundError, StorageError
from core.state.database import CASES, reading
from core.state.storage import Storage, changed_file

# Times that an act is tried again after another process was faster.
_TRIES = 5


class Acts:
    """What changes cases, in storage and database."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self.engine = engine
        self.storage = storage
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, _CaseLock] = weakref.WeakValueDictionary()
        # Cases whose last act did not come to a clear end: their rows may be behind.
        self._doubtful: set[str] = set()
        # Ids that were given up here: whoever has read their record meanwhile must forget it.
        self._given_up: set[str] = set()

    def create(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Begin a case under an id that nobody has, or leave nothing behind.

        Parameters
        ----------
        record
        files
            By name within the case's folder.

        Raises
        ------
        ChangedError
            The id is taken. Nothing of its owner's was touched.
        StorageError
        """
        case_id = record["id"]
        written: list[str] = []  # by this call, and by nobody else
        with self._locked(case_id):
            try:
                for name, content in files.items():
                    key = f"{folder_of(case_id)}/{name}"
                    self.storage.replace(key, content, None)
                    written.append(key)
                self._put(record_key(case_id), file_of(record), None)
                written.append(record_key(case_id))
                self._update_row(record)
            except _UnknownOutcomeError:
                self._doubt(case_id)  # whole, it is taken in; else it is swept away after a day
                raise
            except BaseException:
                self._give_up(case_id, written)
                raise

    def update_record(
        self,
        case_id: str,
        edit: Callable[[Record], Mapping[str, Any]],
        also: Callable[[Connection], None] = lambda connection: None,
    ) -> Record:
        """Change a case's record, then its row.

        Parameters
        ----------
        case_id
        edit
            Given the record as it is, what changes in it; or raises. It is asked again if another
            process was faster.
        also
            What goes into the database together with the row.

        Returns
        -------
        Record
            As it is now.

        Raises
        ------
        ChangedError
            Another process was faster, again and again. Nothing has changed.
        NotFoundError
        StorageError
            Nothing has changed; or, where the connection or the database failed, whether it has
            is found out from the record later.
        """
        with self._locked(case_id):
            for _ in range(_TRIES):
                record, content = self._current(case_id)
                try:
                    edited = edit(record)
                except HippoViewError:
                    self.update_rows([record])  # so that whoever is refused sees why
                    raise
                changed = {**record, **edited, "revision": record["revision"] + 1}
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

    def remove(self, case_id: str, at: str, expired: Callable[[Record], bool]) -> bool:
        """Remove a case for good: its files first, its record and its row last.

        Parameters
        ----------
        case_id
        at
            Now, ISO 8601.
        expired
            Whether a record is old enough.

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
        with self._locked(case_id):
            try:
                record, content = self._current(case_id, removed=True)
            except NotFoundError:
                pass
            except StorageError as error:
                if error.code != DAMAGED:  # its row alone says that it has expired
                    raise
            else:
                if REMOVED not in record:
                    if not expired(record):
                        self._update_row(record)
                        return False
                    # From here on nobody restores it, and whoever finds it goes on.
                    mark = {**record, REMOVED: at, "revision": record["revision"] + 1}
                    self._put(record_key(case_id), file_of(mark), content)
                for key in self.storage.keys(folder):
                    if key != record_key(case_id):
                        self.storage.delete(key)
            self.storage.delete_folder(folder)
            with self.engine.begin() as connection:
                connection.execute(CASES.delete().where(CASES.c.id == case_id))
        return True

    def refresh(self, case_id: str) -> bool:
        """Bring a case's row up to its record in the storage; whether there is such a case.

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
                self.update_rows([record])
            except SQLAlchemyError as error:
                raise damaged_record() from error
            self._settled(case_id)
        return REMOVED not in record

    def update_rows(self, records: list[Record]) -> int:
        """Bring rows up to records that were read, all or none.

        Returns
        -------
        int
            How many cases were new to the database.
        """
        new = 0
        with self.engine.begin() as connection:
            for record in records:
                if REMOVED in record or record["id"] in self._given_up:
                    continue
                new += update_row(connection, record) == "new"
        return new

    def doubtful(self) -> set[str]:
        """Cases whose rows may be behind their records."""
        with self._guard:
            return set(self._doubtful)

    def _current(self, case_id: str, *, removed: bool = False) -> tuple[Record, bytes | None]:
        """A case's record with what is in its file now; None if the file is lost."""
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
        """Replace a file. Where the storage fails, look whether it did so nevertheless.

        Raises
        ------
        ChangedError, StorageError
            Nothing was written.
        _UnknownOutcomeError
            Nobody knows.
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
        """Delete what a call wrote, the record first: never a record without its files."""
        if record_key(case_id) in written:
            with self._guard:
                self._given_up.add(case_id)
        try:
            for key in reversed(written):
                self.storage.delete(key)
                if key == record_key(case_id):
                    with self.engine.begin() as connection:
                        connection.execute(CASES.delete().where(CASES.c.id == case_id))
        except HippoViewError as error:
            # Whole, it is taken in; without its record, it is swept away after a day.
            with self._guard:
                self._given_up.discard(case_id)
            self._doubt(case_id)
            logger.warning("What was left of a case could not be removed: {}", error.code)
        else:
            self._settled(case_id)

    def _update_row(
        self, record: Record, also: Callable[[Connection], None] = lambda connection: None
    ) -> None:
        """Bring the row up to a record that was written."""
        self._doubt(record["id"])
        with self.engine.begin() as connection:
            update_row(connection, record)
            also(connection)
        self._settled(record["id"])

    def _doubt(self, case_id: str) -> None:
        with self._guard:
            self._doubtful.add(case_id)

    def _settled(self, case_id: str) -> None:
        with self._guard:
            self._doubtful.discard(case_id)

    @contextmanager
    def _locked(self, case_id: str) -> Iterator[None]:
        """One act at a time on a case, of the threads of this process."""
        with self._guard:
            lock = self._locks.get(case_id)
            if lock is None:
                lock = self._locks[case_id] = _CaseLock()
        with lock.lock:
            yield


class _UnknownOutcomeError(StorageError):
    """The storage failed, and did not say either whether it had done what was asked."""


class _CaseLock:
    """A lock that goes once nobody holds or awaits it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def is_behind(record: Record, row: Record) -> bool:
    """Whether a record lacks what its row has.

    Older programs counted no revisions and wrote the row first; only of a database from a backup,
    or of a second one, a row has fewer masks.
    """
    if record["revision"] == row["revision"] == 0:
        if record["mask_version"] > row["mask_version"]:
            return False
        return any(record.get(name, value) != value for name, value in row.items())
    return bool(row["revision"] > record["revision"])
