"""A copy of the database as it was at one moment, while others write; and back from it."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine, func, select

from core.errors import InputError
from core.state.database import DATABASE_NAME, reading
from core.state.later_steps import STEPS
from core.state.tables import CASES, ENCRYPTION_KEYS, JOBS, MIGRATIONS

SQLITE = "sqlite"
_COPY = "hippoview.sqlite"


def copy(engine: Engine, folder: Path) -> str:
    """Copy the database as it is now into a folder; returns the kind of the copy.

    Writers go on: what they commit meanwhile is not in it.

    Raises
    ------
    OSError, StorageError
    InputError
        What is in the copy is damaged.
    """
    target = folder / _COPY
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    source = engine.raw_connection()
    try:
        with closing(sqlite3.connect(target)) as copied:
            inner = source.driver_connection
            if not isinstance(inner, sqlite3.Connection):
                raise TypeError("this database is no SQLite")
            inner.backup(copied)  # in one piece: one read transaction, one moment
            copied.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            _check(copied)
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(errno.EIO, str(error)) from error
    finally:
        source.close()
    return SQLITE


def put_back(folder: Path, data_dir: Path) -> None:
    """Put the copy in a backup into a data folder, in the place of what may be there.

    Raises
    ------
    OSError
    """
    target = data_dir / DATABASE_NAME
    new = target.with_name(f".new-{DATABASE_NAME}")
    with (folder / _COPY).open("rb") as source:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            while part := source.read(1024 * 1024):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    for beside in ("-wal", "-shm"):
        target.with_name(f"{DATABASE_NAME}{beside}").unlink(missing_ok=True)
    new.replace(target)


def check_known(engine: str, schema: int) -> None:
    """Refuse what this program cannot take up.

    Raises
    ------
    InputError
    """
    if engine != SQLITE:
        raise InputError(
            f"The backup is of another kind of database ({engine}, here it is {SQLITE})",
            "Set the same database as where the backup was made.",
            code="backup_other_database",
        )
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


def cases_of(engine: Engine) -> set[str]:
    """Ids of all cases, deleted ones included."""
    with reading(engine) as connection:
        return set(connection.scalars(select(CASES.c.id)))


def _check(database: sqlite3.Connection) -> None:
    verdict = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict is None or verdict[0] != "ok":
        raise InputError(
            "The database is damaged, and so would be its copy",
            "Restore an earlier backup; or move the database away: cases and models are taken in "
            "again from the storage at the next start.",
            code="database_damaged",
        )
