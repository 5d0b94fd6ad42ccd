"""Which model version serves, and which did: keeps database and storage in agreement.

The storage's list (`core.models.service_log`) is authoritative, the database follows it, and the
predictor in memory follows the database (`core.predictor.service.Predictors.follow`).
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from loguru import logger
from sqlalchemy import Connection, Engine, select

from core import limits
from core.errors import ConflictError, NotFoundError, StorageError
from core.models.service_log import Note, Promotion, ServiceLog
from core.people.acting import Actor, actor
from core.people.audit import record, recording
from core.state.database import reading, timestamp
from core.state.storage import Storage
from core.state.tables import PROMOTIONS, VERSIONS

# How often a change is tried when someone else changed what serves between reading and writing.
_TRIES = 5


class InService:
    """The history of versions in service.

    Parameters
    ----------
    engine, storage
    import_versions
        Imports versions of the storage that the database lacks.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        import_versions: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._looked_at = clock()
        self._import_versions = import_versions
        self._log = ServiceLog(storage)
        self._changing = threading.Lock()
        # The storage's list as it was read last, whether its versions are known here or not.
        self._newest, self._stored = 0, list[Promotion]()
        self._in_doubt = False

    def begin(self, first: Sequence[Promotion]) -> None:
        """Make database and storage agree; where both are empty, begin with ``first``.

        Raises
        ------
        ConflictError, StorageError
        """
        with self._changing:
            if self._settled():
                return
            if self._stored:  # of others, and no record of theirs can be read: it stays theirs
                self._copy_to_database(first)
                return
            with suppress(ConflictError):  # another process, which starts as well, was faster
                self._log.write(self._newest + 1, first)
            self._settled()

    def settle(self) -> None:
        """Make the database follow the storage: after a change that was interrupted here, and now
        and then, since another process may have been killed between the two.

        Raises
        ------
        ConflictError, StorageError
            Not now; a later call tries again.
        """
        is_due = self._clock() - self._looked_at >= limits.SERVICE_LOOK_EVERY_S
        if self._in_doubt or is_due:
            self._looked_at = self._clock()
            with self._changing:
                self._settled()
                self._in_doubt = False

    def put(
        self,
        number: int,
        action: Literal["promoted", "rolled back"],
        note: Note,
        over: int | None = None,
    ) -> None:
        """Put a version into service; see `core.models.registry.Registry.promote`."""
        with self._changing:
            history = self._settled()
            if number not in self._known():
                raise no_version(number)
            if self._stored and self._stored[-1].number == number:
                raise ConflictError(f"Version {number} is in service already")
            if action == "rolled back" and previous_of(history) != number:
                raise ConflictError(
                    f"Version {number} is not the one that served before this one",
                    "Look at the Models page again.",
                )
            if over is not None and history[-1].number != over:
                raise ConflictError(
                    f"Version {history[-1].number} went into service meanwhile, and version "
                    f"{number} was compared with version {over}",
                    "Look at the Models page again.",
                )
            changed = [*self._stored, Promotion(timestamp(), number, action, note)]
            # From here on until the end a failure leaves it open what the storage holds.
            self._in_doubt = True
            self._log.write(self._newest + 1, changed)
            try:
                self._copy_to_database(self._known_of(changed), by=actor())
            except StorageError as error:
                raise StorageError(
                    f"Version {number} goes into service a little later: {error.message}",
                    "The storage has it, and the server follows by itself. Look at the Models page "
                    "in a minute.",
                ) from error
            self._in_doubt = False
        logger.info("Model version {} was {} into service", number, action)

    def _settled(self) -> list[Promotion]:
        """Make storage and database agree, and return the history.

        The storage's list is authoritative; the database has the entries of the versions that it
        knows. Only where the storage's list ends earlier (a new or a restored storage), the
        database's further entries are added to it.
        """
        for _ in range(_TRIES):
            self._newest, self._stored = self._log.read()
            if {entry.number for entry in self._stored} - self._known():
                self._import_versions()  # of a server with another database
            stored_known = self._known_of(self._stored)
            with reading(self._engine) as connection:
                in_database = listed(connection)
            begins_so = in_database[: len(stored_known)] == stored_known
            ends_unknown = self._stored[-1:] != stored_known[-1:]
            if in_database == stored_known or (begins_so and ends_unknown):
                return in_database
            if not begins_so:
                if in_database:
                    logger.info("What serves was changed by another process or before a failure")
                self._copy_to_database(stored_known)
                return stored_known
            longer = [*self._stored, *in_database[len(stored_known) :]]
            try:
                self._log.write(self._newest + 1, longer)
            except ConflictError:  # it was made longer just now, by another
                continue
            self._newest, self._stored = self._newest + 1, longer
            return in_database
        raise ConflictError(
            "Someone else changes what is in service all the time", "Try again in a minute."
        )

    def _known(self) -> set[int]:
        with reading(self._engine) as connection:
            return set(connection.scalars(select(VERSIONS.c.number)))

    def _known_of(self, history: Sequence[Promotion]) -> list[Promotion]:
        """The entries of versions that the database knows."""
        numbers = self._known()
        return [entry for entry in history if entry.number in numbers]

    def _copy_to_database(self, history: Sequence[Promotion], by: Actor | None = None) -> None:
        """Copy the storage's list to the database, unless the database's is longer by now.

        Parameters
        ----------
        history
        by
            Who has just made its last entry; None where the list is only followed.
        """
        with recording(self._engine, needed=False) as connection:
            before = listed(connection)
            if before[: len(history)] == list(history):
                return
            connection.execute(PROMOTIONS.delete())
            for number, entry in enumerate(history, start=1):
                note = vars(entry.note) | {"objections": json.dumps(entry.note.objections)}
                values = {"at": entry.at, "number": entry.number, "action": entry.action} | note
                connection.execute(PROMOTIONS.insert().values(id=number, **values))
            for entry in history:
                if entry not in before:
                    _record(connection, entry, by if entry == history[-1] else None)


def _record(connection: Connection, entry: Promotion, by: Actor | None) -> None:
    """Write the trail's line of an entry; see `InService._copy_to_database`."""
    act = "override" if entry.note.objections else "promote"
    query = select(VERSIONS.c.sha256).where(VERSIONS.c.number == entry.number)
    note = entry.action if by else f"{entry.action} {entry.at}, taken in later"
    record(
        connection, "roll back" if entry.action == "rolled back" else act,
        f"version {entry.number}", after=connection.scalar(query) or "", note=note,
        by=by or Actor("", entry.note.by, "server"),
    )  # fmt: skip


def listed(connection: Connection) -> list[Promotion]:
    """What was put into service, the oldest first."""
    rows = connection.execute(select(PROMOTIONS).order_by(PROMOTIONS.c.id))
    return [
        Promotion(
            row.at, row.number, row.action,
            Note(row.by, row.reason, tuple(json.loads(row.objections))),
        )
        for row in rows
    ]  # fmt: skip


def previous_of(history: Sequence[Promotion]) -> int | None:
    """The version that served before the current one, as a roll back would choose it.

    Promotions are pushed on a stack; a roll back pops down to its version. Entries may be missing:
    another server's versions that are not known here.
    """
    pile: list[int] = []
    for entry in history:
        if entry.action == "rolled back" and entry.number in pile:
            while pile[-1] != entry.number:
                pile.pop()
        elif pile[-1:] != [entry.number]:
            pile.append(entry.number)
    return pile[-2] if len(pile) > 1 else None


def as_it_was(stages: Mapping[int, str]) -> list[Promotion]:
    """The history as far as the records of an earlier version tell it.

    A failure may have left two versions in service, or none: then the newest that served counts.
    """
    retired = sorted(number for number, stage in stages.items() if stage == "retired")
    serving = sorted(number for number, stage in stages.items() if stage == "serving")
    if len(serving) != 1 and stages:
        logger.warning("The storage named {} versions in service: the newest counts", len(serving))
    return [Promotion(timestamp(), number, "adopted") for number in (*retired, *serving)]


def no_version(number: int) -> NotFoundError:
    """The error for a number that no version has."""
    return NotFoundError(f"There is no model version {number}", "See the Models page.")
