"""Upkeep of all cases while the server runs: import, repair, remove for good.

The cases of a bucket are imported after the start, in the background; a case that is requested
by its id before its turn is imported at once (`core.cases.store.Cases.get`).
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from loguru import logger
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from core import limits
from core.cases.acts import Acts
from core.cases.ending import retire
from core.cases.records import (
    DAMAGED,
    FOLDER,
    IMAGE,
    ORIGINS,
    RECORD,
    REMOVED,
    Record,
    folder_of,
    is_behind,
    is_whole,
    mask_keys,
    record_key,
    record_of,
    record_of_row,
    refresh_words,
    stale_words,
)
from core.errors import HippoViewError, NotFoundError, StorageError
from core.state.database import reading
from core.state.storage import read_many
from core.state.tables import CASES
from core.wording import counted

# Records that go into the database in one transaction.
_AT_ONCE = 64


@dataclass(frozen=True)
class Progress:
    """How many cases of the storage have been imported since the start.

    Attributes
    ----------
    done, total : int
        Cases of the storage; the total is 0 until it is known.
    finished : bool
        Whether all have been imported once.
    failure : str
        Why the import stopped, in words; it is tried again.
    damaged : int
        Cases of the last pass that were skipped because their records cannot be read.
    """

    done: int = 0
    total: int = 0
    finished: bool = False
    failure: str = ""
    damaged: int = 0


@dataclass(frozen=True)
class Trash:
    """Result of the last removal of deleted cases.

    Attributes
    ----------
    overdue : int
        Cases that should be gone and are still there.
    failure : str
        Why, in words; it is tried again.
    """

    overdue: int = 0
    failure: str = ""


@dataclass
class _Due:
    """When a task is due next, by a monotonic clock; later after each failure."""

    every_s: float
    retry_s: tuple[float, float]
    at: float = 0.0
    failures: int = 0

    def done(self, now: float) -> None:
        self.at, self.failures = now + self.every_s, 0

    def failed(self, now: float) -> None:
        first, longest = self.retry_s
        self.at = now + min(first * 2**self.failures, longest)
        self.failures += 1


class Caretaker:
    """Looks after the cases of one installation.

    Parameters
    ----------
    acts
    now, clock
        The time of day, in UTC; and seconds that never jump.
    """

    def __init__(
        self,
        acts: Acts,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._acts = acts
        self._engine = acts.engine
        self._storage = acts.storage
        self._now = now
        self._clock = clock
        self._pass = _Due(limits.CARE_EVERY_S, limits.CARE_RETRY_S)
        self._removal = _Due(limits.PURGE_EVERY_S, limits.CARE_RETRY_S)
        self._settling = _Due(0.0, limits.SETTLE_RETRY_S)
        self._turn = threading.Lock()
        self.retention_days = 0  # after the last review; 0: cases stay until somebody deletes them
        self.progress = Progress()
        self.trash = Trash()

    def tick(self) -> None:
        """Do what is due. Never raises: a failure is logged and tried again later."""
        for due, work in (
            (self._pass, self._import_due),
            (self._removal, self._purge_due),
            (self._settling, self._refresh_doubtful),
        ):
            if self._clock() < due.at:
                continue
            try:
                work()
            except HippoViewError as error:
                due.failed(self._clock())
                logger.warning("Cases could not be looked after: {}. {}", error.message, error.hint)
            else:
                due.done(self._clock())

    def import_from_storage(self) -> int:
        """Make the database agree with the storage.

        Cases that the database lacks are imported, so that a new server on the same bucket, or one
        whose database was lost, has its cases. Rows that a killed process left older than their
        records are updated; records that are lost or older than their rows are written again;
        files that no record names are removed once they are a day old.

        Returns
        -------
        int
            How many cases were new to the database.

        Raises
        ------
        StorageError
            The import stopped where `progress` says; call again.
        """
        with self._turn:
            try:
                return self._import_all()
            except HippoViewError as error:
                self._tell(failure=error.message)
                raise

    def purge_deleted(self) -> int:
        """Remove for good the cases deleted `limits.TRASH_DAYS` days ago; returns how many.

        A case that cannot be removed is counted in `trash` and does not stop the others.
        """
        removed, failures = 0, list[str]()
        for case_id in self._expired():
            removed_now, failure = self._purge_one(case_id)
            removed += removed_now
            failures += failure
        self.trash = Trash(len(failures), failures[0] if failures else "")
        if removed:
            logger.info("{} deleted cases were removed for good", removed)
        return removed

    def purge_strays(self) -> int:
        """Remove folders that never got a record and are a day old; returns how many."""
        case_ids = self._case_ids()
        self._purge_stray_origins(case_ids)
        return self._remove_strays(_by_case(self._storage.ages_s(FOLDER)), case_ids)

    def _case_ids(self) -> set[str]:
        with reading(self._engine) as connection:
            return set(connection.scalars(select(CASES.c.id)))

    def _purge_stray_origins(self, case_ids: set[str]) -> None:
        """Remove origins (`core.cases.origins`) whose cases never got a record or are gone."""
        for key, age_s in self._storage.ages_s(ORIGINS).items():
            case_id = key.rsplit("/", 1)[-1]
            if not _is_stray(age_s) or case_id in case_ids:
                continue
            if f"{FOLDER}/{case_id}/{RECORD}" not in self._storage.keys(f"{FOLDER}/{case_id}"):
                self._storage.delete(key)

    def _import_due(self) -> None:
        taken_in = self.import_from_storage()
        if taken_in:
            logger.info("Taken in from the storage: {}", counted(taken_in, "case"))

    def _purge_due(self) -> None:
        retire(self._acts, self._now(), self.retention_days)
        self.purge_deleted()
        self._purge_stray_origins(self._case_ids())
        if self.trash.failure:
            raise StorageError(
                f"{self.trash.overdue} deleted cases could not be removed for good: "
                f"{self.trash.failure}",
                "It is tried again.",
            )

    def _refresh_doubtful(self) -> None:
        """Update the rows of cases whose last change ended without a clear result."""
        failures = list[HippoViewError]()
        for case_id in self._acts.doubtful():
            try:
                self._acts.refresh(case_id)
            except HippoViewError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _expired(self) -> list[str]:
        query = select(CASES.c.id).where(CASES.c.deleted_at < self._expired_at())
        with reading(self._engine) as connection:
            return list(connection.scalars(query))

    def _expired_at(self) -> str:
        return _timestamp(self._now() - timedelta(days=limits.TRASH_DAYS))

    def _purge_one(self, case_id: str) -> tuple[bool, list[str]]:
        """Remove a case for good; returns whether it is gone, and otherwise why not."""
        before = self._expired_at()
        try:
            gone = self._acts.remove(
                case_id,
                _timestamp(self._now()),
                lambda record: (record["deleted_at"] or before) < before,
            )
        except HippoViewError as error:
            return False, [error.message]
        return gone, []

    def _import_all(self) -> int:
        with reading(self._engine) as connection:
            stale = stale_words(connection)
        if stale:
            with self._engine.begin() as connection:
                refresh_words(connection)
        with reading(self._engine) as connection:
            revisions = {row.id: row.revision for row in connection.execute(_REVISIONS)}
        ages = _by_case(self._storage.ages_s(FOLDER))
        keyed = {
            record_key(case_id): case_id for case_id, files in ages.items()
            if record_key(case_id) in files
        }  # fmt: skip
        self._tell(done=0, total=len(keyed), failure="", damaged=0)
        broken = sum(not is_whole(case_id, ages[case_id]) for case_id in keyed.values())
        if broken:  # imported all the same: their measures and reviews are there
            logger.warning(
                "Scans or masks of {} are missing from the storage", counted(broken, "case")
            )
        new, waiting = 0, list[Record]()
        for done, (key, content) in enumerate(read_many(self._storage, keyed), 1):
            record = self._read(keyed[key], content, ages[keyed[key]])
            if record is not None:
                waiting.append(record)
            if len(waiting) == _AT_ONCE or done == len(keyed):
                new += self._reconcile(waiting, revisions, ages)
                waiting = []
                self._tell(done=done)
                if done % (16 * _AT_ONCE) == 0:
                    logger.info("Cases of the storage taken in: {} of {}", done, len(keyed))
        for case_id in revisions.keys() - set(keyed.values()):
            if f"{folder_of(case_id)}/{IMAGE}" in ages.get(case_id, ()):
                self._rewrite_record(case_id)
        self._remove_strays(ages, set(revisions))
        self._tell(finished=True)
        return new

    def _read(self, case_id: str, content: bytes | None, files: dict[str, float]) -> Record | None:
        """Parse a record; None if it is gone or damaged."""
        if content is None:
            return None
        try:
            return record_of(self._storage, case_id, content, files)
        except StorageError as error:
            if error.code != DAMAGED:
                raise
            self._leave_alone(case_id)
            return None

    def _reconcile(
        self, records: list[Record], revisions: dict[str, int], ages: dict[str, dict[str, float]]
    ) -> int:
        """Update rows that are older than their records, and records older than their rows."""
        newer = []
        for record in records:
            case_id = record["id"]
            files = ages.get(case_id, {})
            if REMOVED in record:  # a removal was killed half way
                self._purge_one(case_id)
            elif record["revision"] > revisions.get(case_id, -1):
                newer.append(record)
            elif revisions[case_id] > record["revision"] or not record["revision"]:
                with reading(self._engine) as connection:
                    row = record_of_row(connection, case_id)
                if row is not None and (
                    is_behind(record, row) or record["mask_version"] > row["mask_version"]
                ):
                    self._rewrite_record(case_id)
                    continue  # masks that only its row names are no strays
            for key in files.keys() - mask_keys(record):
                if "/masks/" in key and _is_stray(files[key]) and record["revision"]:
                    self._storage.delete(key)
        return self._insert(newer)

    def _insert(self, records: list[Record]) -> int:
        try:
            return self._acts.update_rows(records)
        except SQLAlchemyError:
            if len(records) == 1:
                self._leave_alone(records[0]["id"])
                return 0
        return sum(self._insert([record]) for record in records)

    def _leave_alone(self, case_id: str) -> None:
        self._tell(damaged=self.progress.damaged + 1)
        logger.warning("{}: it was left alone, its record is damaged or another case's", case_id)

    def _rewrite_record(self, case_id: str) -> None:
        """Write a record anew from its row."""
        try:
            self._acts.update_record(case_id, lambda record: {}, act="repair")
        except NotFoundError:
            return
        logger.info("{}: its record was written again", case_id)

    def _remove_strays(self, ages: dict[str, dict[str, float]], case_ids: set[str]) -> int:
        strays = [
            case_id for case_id, files in ages.items()
            if record_key(case_id) not in files and case_id not in case_ids
            and all(_is_stray(age_s) for age_s in files.values())
        ]  # fmt: skip
        for case_id in strays:
            self._storage.delete_folder(folder_of(case_id))
        return len(strays)

    def _tell(self, **values: Any) -> None:
        self.progress = replace(self.progress, **values)


_REVISIONS = select(CASES.c.id, CASES.c.revision)


def _by_case(ages: dict[str, float]) -> dict[str, dict[str, float]]:
    """Files of each case with their ages."""
    cases: dict[str, dict[str, float]] = defaultdict(dict)
    for key, age_s in ages.items():
        parts = key.split("/")
        if len(parts) > 2:
            cases[parts[1]][key] = age_s
    return dict(cases)


def _is_stray(age_s: float) -> bool:
    """Whether nobody can be at work any more on a file of this age."""
    return age_s > 3600 * limits.STRAY_HOURS


def _timestamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
