"""Moves an installation from the SQLite of its data folder into an empty PostgreSQL.

A copy of the SQLite is brought up to date; the file itself is not changed. All rows go over in one
transaction, are read again, and compared by count and hash before it is committed: what is killed
or fails leaves the PostgreSQL empty.
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from core.errors import ConflictError, InputError, StorageError
from core.state.copying import fill
from core.state.database import DATABASE_NAME, connect, reading
from core.state.failures import in_words
from core.state.opened import held_alone
from core.state.processes import is_alive, is_here
from core.state.tables import JOBS


def move(data_dir: Path, url: str) -> dict[str, int]:
    """Copy the database of a data folder into a PostgreSQL.

    Parameters
    ----------
    data_dir
        With a SQLite of this or any earlier version.
    url
        Of an empty database.

    Returns
    -------
    dict
        How many rows each table has.

    Raises
    ------
    InputError
        There is no SQLite.
    ConflictError
        A server or a training uses the SQLite, or the PostgreSQL is not empty.
    StorageError
    """
    if not (data_dir / DATABASE_NAME).is_file():
        raise InputError("There is no database in the data folder", "Check HIPPOVIEW_DATA_DIR.")
    # A server that is started meanwhile waits for the end.
    with held_alone(data_dir / "incoming") as is_alone:
        if not is_alone:
            raise ConflictError(
                "A server runs on this data folder; nothing was moved", "Stop it first.",
                code="server_runs",
            )  # fmt: skip
        return _move(data_dir, url)


def _move(data_dir: Path, url: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix=".moving-", dir=data_dir) as folder:
        copied = copy_of(data_dir / DATABASE_NAME, Path(folder))
        try:
            with reading(copied) as connection:
                _check_no_training(connection)
            target = connect(data_dir, agree=False, url=url)
            try:
                with reading(copied) as source, target.begin() as connection:
                    return fill(source, connection)
            finally:
                target.dispose()
        finally:
            copied.dispose()


def copy_of(file: Path, folder: Path) -> Engine:
    """A copy of a SQLite as it is at this moment, brought up to date, in an empty folder.

    Raises
    ------
    StorageError
    """
    try:
        with (
            in_words(),
            closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(folder / DATABASE_NAME)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        raise StorageError(
            f"The database in the data folder cannot be copied ({error})",
            "Make room on its disk; if it is damaged, restore it from a backup.",
            code="database_unavailable",
        ) from error
    return connect(folder, agree=False, url="")


def _check_no_training(connection: Connection) -> None:
    for row in connection.execute(select(JOBS).where(JOBS.c.state == "running")):
        if row.pid is not None and is_here(row) and is_alive(row):
            raise ConflictError(
                f"Job {row.id} is running; nothing was moved",
                "Wait until the training has ended, or cancel it, then stop the server.",
                code="server_runs",
            )
