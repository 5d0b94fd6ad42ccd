"""Reserves numbers of model versions, writes their records, and cleans up after killed processes.

A number belongs to whoever made ``models/<number>/taken.json`` in the storage, which outlives the
database. A row in the database says which process that is, so that the next start can tell a
registration that goes on from one that was killed.
"""

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger
from sqlalchemy import Engine, Row, func, select
from sqlalchemy.exc import IntegrityError

from core import limits
from core.errors import ChangedError, ConflictError, HippoViewError, ModelError, NotFoundError
from core.state import processes
from core.state.database import reading, timestamp
from core.state.fields import check_columns, object_of
from core.state.storage import Storage
from core.state.tables import REGISTRATIONS, VERSIONS

FOLDER = "models"
RECORD_NAME = "version.json"
_NOTE = "taken.json"
# In the place of a record: the training that is about to write it; empty if it may not any more.
_ABOUT_TO = "about_to_be_of"
# Columns of VERSIONS that a record has.
RECORDED = [c.name for c in VERSIONS.columns if c is not VERSIONS.c.record_behind]
# Those that hold an object as JSON.
_OBJECTS = {"card", "metrics", "lineage"}


@dataclass(frozen=True)
class Reserved:
    """A number that this process reserved, and the token that proves it."""

    number: int
    token: str


class Registrations:
    """The registrations that are under way or were interrupted."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._engine = engine
        self._storage = storage
        # Of two removals of one number, the slower might remove a newer registration of it.
        self._removing = threading.Lock()

    def reserve(self) -> Reserved:
        """Take the next number that no database and no folder of the storage has.

        Raises
        ------
        StorageError
        """
        token = uuid.uuid4().hex
        note = json.dumps({"token": token, "at": timestamp()}).encode()
        above = max(numbers(self._storage), default=0)
        while True:
            reserved = Reserved(self._row(above, token), token)
            try:
                self._storage.replace(_key(reserved.number, _NOTE), note, None)
            except ConflictError:  # taken by a server with another database
                self.forget(reserved.number, token)
                above = reserved.number
            except BaseException:
                self.give_up(reserved)
                raise
            else:
                return reserved

    def forget(self, number: int, token: str) -> None:
        """Delete the row of a registration that has ended."""
        with self._engine.begin() as connection:
            connection.execute(_one(REGISTRATIONS.delete(), number, token))

    def give_up(self, reserved: Reserved) -> None:
        """Remove what a failed registration wrote; if that fails too, the next one tries again."""
        number, token = reserved.number, reserved.token
        try:
            with self._removing:
                self._remove(number, token)
                self.forget(number, token)
        except HippoViewError as error:
            logger.warning("Version {} is removed later: {}", number, error.message)
            try:
                with self._engine.begin() as connection:
                    connection.execute(
                        _one(REGISTRATIONS.update(), number, token).values(given_up=1)
                    )
            except HippoViewError:  # then its process has to end first
                return

    def under_way(self) -> set[int]:
        """Numbers of all registrations that have a row."""
        with reading(self._engine) as connection:
            return set(connection.scalars(select(REGISTRATIONS.c.number)))

    def settle(
        self, finish: Callable[[int, dict[str, Any]], None], job_uid: str | None = None
    ) -> None:
        """Finish what was killed after its last file, and remove what was killed before.

        Parameters
        ----------
        finish
            Takes a number and the record of its row into the database.
        job_uid
            A training that this process has taken over: see `_take_over`.
        """
        if self.under_way():
            with self._removing:
                self._settle(finish)
        for number in self.under_way() if job_uid else ():
            self._take_over(number, str(job_uid), finish)

    def _take_over(
        self, number: int, job_uid: str, finish: Callable[[int, dict[str, Any]], None]
    ) -> None:
        """Take the version that an earlier start of a training wrote, or see that it never does.

        That start may be another machine's, asleep for now. See `complete`.
        """
        key = _key(number, RECORD_NAME)
        try:
            content = self._storage.read(key)
            if json.loads(content).get(_ABOUT_TO) == job_uid:
                self._storage.replace(key, json.dumps({_ABOUT_TO: ""}).encode(), content)
                return
        except (NotFoundError, ValueError):
            return
        except ChangedError:  # it was written in this moment
            pass
        record = self.record(number)
        if record is not None and json.loads(record["lineage"]).get("job_uid") == job_uid:
            finish(number, record)

    def _settle(self, finish: Callable[[int, dict[str, Any]], None]) -> None:
        with reading(self._engine) as connection:
            rows = connection.execute(select(REGISTRATIONS)).all()
        for row in rows:
            if not row.given_up and not _has_ended(row):
                continue
            try:
                record = None if row.given_up else self.record(row.number)
                if record is not None and self._is_ours(row.number, row.token):
                    finish(row.number, record)
                    logger.info("Model version {} was registered by a process that ended then",
                                row.number)  # fmt: skip
                else:
                    self._remove(row.number, row.token)
                self.forget(row.number, row.token)
            except HippoViewError as error:
                logger.warning("What is left of version {} stays for now: {}", row.number,
                               error.message)  # fmt: skip

    def record(self, number: int) -> dict[str, Any] | None:
        """The record of a version in the storage; none if its registration never came so far.

        Raises
        ------
        ModelError
            It is there and is none.
        StorageError
        """
        try:
            content = object_of(self._storage.read(_key(number, RECORD_NAME)))
            if _ABOUT_TO in content:
                return None
            check_columns(content, VERSIONS.columns)
            for name in _OBJECTS & content.keys():
                object_of(content[name])
        except NotFoundError:
            return None
        except ValueError as error:
            raise ModelError(f"The record of model version {number} cannot be read") from error
        if content.get("number") != number or not content.keys() >= set(RECORDED):
            raise ModelError(f"The record of model version {number} is not one of it")
        return content

    def complete(
        self,
        reserved: Reserved,
        record: Mapping[str, Any],
        check_still_ours: Callable[[], None] | None,
    ) -> None:
        """Write a version's record; of a training, unless another process has the training now.

        Then it first says that it is about to, then looks whether the training is still its own.
        Whoever takes a training over does the same two things in the other order: so one of them
        sees the other, and the record can be written only in the place of what was said.

        Raises
        ------
        ConflictError
            The training is another process's. There is no such version.
        StorageError
        """
        if check_still_ours is None:
            self.write_record(record)
            return
        key = _key(reserved.number, RECORD_NAME)
        job_uid = json.loads(record["lineage"])["job_uid"]
        said = json.dumps({_ABOUT_TO: job_uid, "token": reserved.token}).encode()
        self._storage.replace(key, said, None)
        check_still_ours()
        self._storage.replace(key, json.dumps(dict(record)).encode(), said)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write a version's record to the storage.

        Raises
        ------
        StorageError
        """
        self._storage.write(_key(record["number"], RECORD_NAME), json.dumps(dict(record)).encode())

    def write_records_behind(self) -> None:
        """Write the records of versions that changed since their record was written.

        Raises
        ------
        StorageError
            Those that are left are written by the next call.
        """
        while True:
            with reading(self._engine) as connection:
                result = connection.execute(select(VERSIONS).where(VERSIONS.c.record_behind == 1))
                behind = result.first()
            if behind is None:
                return
            self.write_record({name: getattr(behind, name) for name in RECORDED})
            this = VERSIONS.update().where(VERSIONS.c.number == behind.number)
            with self._engine.begin() as connection:
                same = this.where(VERSIONS.c.metrics == behind.metrics)
                # If it changed while it was written, another process may have written the newer
                # record before this older one: it is written once more.
                if not connection.execute(same.values(record_behind=0)).rowcount:
                    connection.execute(this.values(record_behind=1))

    def remove_stray(self, number: int) -> None:
        """Remove a folder without a record that a lost database may have known, once it is old."""
        prefix = f"{FOLDER}/{number}"
        ages_s = self._storage.ages_s(prefix).values()
        if min(ages_s, default=0.0) > 3600 * limits.STRAY_HOURS:
            self._storage.delete_folder(prefix)
            logger.info("The files of a version that was never registered were removed: {}", number)

    def _row(self, above: int, token: str) -> int:
        """The next number, with a row that says who takes it."""
        while True:
            with reading(self._engine) as connection:
                highest = [connection.scalar(select(func.max(t.c.number)))
                         for t in (VERSIONS, REGISTRATIONS)]  # fmt: skip
            number = 1 + max(above, *(int(n or 0) for n in highest))
            row = {"number": number, "token": token, "at": timestamp(), **processes.this_process()}
            try:
                with self._engine.begin() as connection:
                    connection.execute(REGISTRATIONS.insert().values(**row))
            except IntegrityError:  # someone else took it just now
                continue
            return number

    def _remove(self, number: int, token: str) -> None:
        """Delete a version's folder if it is the one that this token took."""
        if not self._is_ours(number, token):
            return
        first, last = _key(number, RECORD_NAME), _key(number, _NOTE)
        # Broken off anywhere, what is left is no version, and still known to be ours.
        self._storage.delete(first)
        for key in self._storage.keys(f"{FOLDER}/{number}"):
            if key != last:
                self._storage.delete(key)
        self._storage.delete(last)

    def _is_ours(self, number: int, token: str) -> bool:
        try:
            note = json.loads(self._storage.read(_key(number, _NOTE)))
        except (NotFoundError, ValueError):
            return False
        return bool(note.get("token") == token)


def numbers(storage: Storage) -> list[int]:
    """Numbers of the versions that a storage has a folder of, whatever is in it."""
    return sorted(int(name) for name in storage.folders(FOLDER) if name.isdecimal())


def _key(number: int, name: str) -> str:
    return f"{FOLDER}/{number}/{name}"


def _one(statement: Any, number: int, token: str) -> Any:
    return statement.where(REGISTRATIONS.c.number == number, REGISTRATIONS.c.token == token)


def _has_ended(row: Row[Any]) -> bool:
    """Whether its process is gone; of another machine, whether it had time enough."""
    if processes.is_here(row):
        return not processes.is_alive(row)
    return bool(row.at < timestamp(-3600 * limits.STRAY_HOURS))
