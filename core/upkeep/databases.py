"""A copy of the database as it was at one moment, while others write; and back from it.

The copy is a SQLite, whichever database it is of: so a backup of either can be restored into
either.
"""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from core.errors import ConflictError, InputError, StorageError
from core.settings import Settings
from core.state.copying import check_empty, fill
from core.state.database import DATABASE_NAME, connect, has_others, is_shared, looker, reading
from core.state.encryption import NO_KEYS
from core.state.later_steps import STEPS
from core.state.storage import write_whole
from core.state.tables import CASES, ENCRYPTION_KEYS, JOBS, MIGRATIONS, TRAIL


def copy(engine: Engine, folder: Path) -> str:
    """Copy the database as it is now into an empty folder; returns the kind of database that it is.

    Writers go on: what they commit meanwhile is not in it.

    Raises
    ------
    OSError, StorageError
    InputError
        What is in the copy is damaged.
    """
    target = folder / DATABASE_NAME
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with _on_the_copys_disk():
        if is_shared(engine):
            _copy_rows(engine, folder)
        else:
            _copy_file(engine, target)
        with closing(sqlite3.connect(target)) as copied:
            copied.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            _check(copied)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return str(engine.dialect.name)


def _copy_file(engine: Engine, target: Path) -> None:
    source = engine.raw_connection()
    try:
        with closing(sqlite3.connect(target)) as copied:
            inner = source.driver_connection
            if not isinstance(inner, sqlite3.Connection):
                raise TypeError("this database is no SQLite")
            inner.backup(copied)  # in one piece: one read transaction, one moment
    finally:
        source.close()


def _copy_rows(engine: Engine, folder: Path) -> None:
    copied = connect(folder, NO_KEYS, agree=False, url="")
    try:
        with reading(engine) as source, copied.begin() as target:  # one snapshot, one moment
            fill(source, target)
    finally:
        copied.dispose()


@contextmanager
def _on_the_copys_disk() -> Iterator[None]:
    """What SQLite says of the disk that the copy lies on, as an `OSError`."""
    try:
        yield
    except (sqlite3.OperationalError, StorageError) as error:
        cause = getattr(error.__cause__, "orig", None) if isinstance(error, StorageError) else error
        if not isinstance(cause, sqlite3.OperationalError):
            raise
        if "full" in str(cause):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(errno.EIO, str(cause)) from error


def check_can_be_filled(settings: Settings) -> None:
    """Refuse a PostgreSQL that holds something, or that a server uses; nothing is changed.

    Raises
    ------
    ConflictError, SettingsError, StorageError
    """
    engine = looker(settings.database_url)
    try:
        with engine.connect() as connection:
            check_empty(connection)
    finally:
        engine.dispose()
    check_unused(settings)


def check_unused(settings: Settings) -> None:
    """Refuse a PostgreSQL that another process of HippoView uses.

    Raises
    ------
    ConflictError, StorageError
    """
    if has_others(settings):
        raise ConflictError(
            "Another process of HippoView uses this PostgreSQL",
            "Stop every server and worker on it first.",
            code="server_runs",
        )


def holds_restored(connection: Connection, note: str) -> bool:
    """Whether the newest act in a database is the restore that left this note in the trail."""
    newest = select(TRAIL.c.act, TRAIL.c.note).order_by(TRAIL.c.number.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return row is not None and tuple(row) == ("restore", note)


def fill_postgresql(parts: Iterable[bytes], data_dir: Path, target: Connection) -> None:
    """Copy the rows of a backup into an empty PostgreSQL, within a transaction.

    Parameters
    ----------
    parts
        Of the copy's file, of this or any earlier version.
    data_dir
        Has room for a copy.
    target
        One that writes.

    Raises
    ------
    ConflictError
        It is not empty.
    OSError, StorageError
    """
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=data_dir) as place:
        put_back(parts, Path(place))
        copied = connect(Path(place), agree=False, url="")
        try:
            with reading(copied) as source:
                fill(source, target)
        finally:
            copied.dispose()


def put_back(parts: Iterable[bytes], data_dir: Path) -> None:
    """Put the copy in a backup into a data folder, in the place of what may be there.

    Parameters
    ----------
    parts
        Of the copy's file.
    data_dir

    Raises
    ------
    OSError
    """
    target = data_dir / DATABASE_NAME
    for beside in ("-wal", "-shm"):
        target.with_name(f"{DATABASE_NAME}{beside}").unlink(missing_ok=True)
    write_whole(target, parts, 0o600)


def check_known(schema: int) -> None:
    """Refuse what this program cannot take up.

    Raises
    ------
    InputError
    """
    newest = max(STEPS)
    if schema > newest:
        raise InputError(
            f"The backup was made by a newer version: step {schema} of the database, this version "
            f"knows {newest}",
            "Restore it with that version or a newer one.",
            code="backup_newer",
        )


def told_of(engine: Engine) -> tuple[int, set[str]]:
    """Newest step of the migrations, and the ids of the keys that it takes."""
    with reading(engine) as connection:
        schema = connection.scalar(select(func.max(MIGRATIONS.c.number))) or 0
        return schema, set(connection.scalars(select(ENCRYPTION_KEYS.c.id)))


def succeeded_jobs(engine: Engine) -> set[str]:
    """Names of the trainings that have left a version."""
    with reading(engine) as connection:
        return set(connection.scalars(select(JOBS.c.uid).where(JOBS.c.state == "succeeded")))


def cases_of(engine: Engine, *, deleted: bool = True) -> set[str]:
    """Ids of all cases, deleted ones included or not."""
    query = select(CASES.c.id)
    with reading(engine) as connection:
        return set(
            connection.scalars(query if deleted else query.where(CASES.c.deleted_at.is_(None)))
        )


def cases_in(folder: Path) -> set[str]:
    """Ids of all cases in the copy that lies in a folder, deleted ones included."""
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as copied:
        return {row[0] for row in copied.execute("SELECT id FROM cases")}


def _check(database: sqlite3.Connection) -> None:
    verdict = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict is None or verdict[0] != "ok":
        raise InputError(
            "The database is damaged, and so would be its copy",
            "Restore an earlier backup; or move the database away: cases and models are taken in "
            "again from the storage at the next start.",
            code="database_damaged",
        )
