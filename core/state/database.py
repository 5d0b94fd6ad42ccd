"""The database: how it is opened, read and written.

How it is used, everywhere:

- ``with reading(engine) as connection:`` to look something up. It sees what was committed when
  it began, never waits for a writer, and cannot write.
- ``with engine.begin() as connection:`` to write. One at a time: it begins as a writer, so that
  what is read inside stays true until it ends. Keep it short. Nothing is uploaded, downloaded,
  computed or waited for inside.

What SQLite says of a full or locked disk comes as a `StorageError` in words.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    select,
)
from sqlalchemy.exc import DBAPIError

from core.errors import StorageError
from core.settings import Settings
from core.state.encryption import Keyring, missing_key
from core.state.migrations import bring_up_to_date
from core.state.private import keys_of, register, use_keys
from core.state.tables import ENCRYPTION_KEYS

DATABASE_NAME = "hippoview.sqlite"
# Seconds that a writer waits for the one before it; each takes milliseconds.
_WRITER_PATIENCE_S = 30


def connect(data_dir: Path, keys: Keyring | None = None, *, agree: bool = True) -> Engine:
    """Open the database of a data folder, made or brought up to date where needed.

    Parameters
    ----------
    data_dir
    keys
        Encrypt and decrypt the private columns; by default those of the environment's settings.
    agree
        False to look at what is encrypted, with whatever keys; nothing may be written then.

    Raises
    ------
    StorageError
        The disk is full or may not be written; or something is encrypted with a key that is not
        among these. Nothing was changed.
    """
    if keys is None:
        keys = Keyring.of(Settings.from_environment())
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"The data folder cannot be made ({error.strerror})",
            "Make room or grant access, or choose another one with HIPPOVIEW_DATA_DIR.",
        ) from error
    file = data_dir / DATABASE_NAME
    try:
        # Drafts and names lie in it, and in the files beside it, which take its mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        file.chmod(0o600)
    except OSError as error:
        logger.warning("The database could not be made private: {}", error.strerror)
    engine = _engine(f"sqlite:///{file}", keys)
    event.listen(engine, "begin", _begin_writing)
    with engine.begin() as connection:
        bring_up_to_date(connection)
        if agree:
            _agree(connection, keys)
    return engine


def agree(engine: Engine) -> None:
    """Note once more that the first key encrypts here: another process may have struck it off.

    Raises
    ------
    StorageError
        A key that encrypted values here is missing.
    """
    with engine.begin() as connection:
        _agree(connection, keys_of(engine))


def _agree(connection: Connection, keys: Keyring) -> None:
    """Note that the first key encrypts here, if no other key is missing."""
    needed = connection.scalars(select(ENCRYPTION_KEYS.c.id)).all()
    missing = [each for each in needed if each not in keys.ids]
    if missing:
        raise missing_key(keys, missing)
    if keys and keys.ids[0] not in needed:
        connection.execute(ENCRYPTION_KEYS.insert().values(id=keys.ids[0]))


def empty_log(engine: Engine) -> bool:
    """Move all of the write-ahead log into the database, which else keeps what was deleted.

    Returns
    -------
    bool
        False while somebody reads or writes: call again.
    """
    connection = engine.raw_connection()
    try:
        row = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return row is not None and row[0] == 0


def rewrite(engine: Engine) -> bool:
    """Write the database anew, so that nothing that was deleted or changed stays in its file.

    Returns
    -------
    bool
        False while somebody reads or writes: call again.
    """
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("VACUUM")
    except sqlite3.OperationalError as error:
        logger.warning("The database was not written anew: {}", error)
        return False
    finally:
        connection.close()
    return empty_log(engine)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A look into the database that waits for no writer and cannot write.

    Parameters
    ----------
    engine
        What `connect` returned.

    Raises
    ------
    StorageError
        The disk fails.
    """
    with _reader_of(engine).begin() as connection:
        yield connection


# Connections that only read, apart from those that write: writers that wait for each other
# must not use up what the readers need.
_READERS: weakref.WeakKeyDictionary[Engine, Engine] = weakref.WeakKeyDictionary()
_READERS_LOCK = threading.Lock()


def _reader_of(engine: Engine) -> Engine:
    with _READERS_LOCK:
        if engine not in _READERS:
            # As many as ask: each is held for milliseconds.
            reader = _engine(engine.url, keys_of(engine), max_overflow=-1)
            event.listen(reader, "connect", _forbid_writing)
            event.listen(reader, "begin", _begin_reading)
            event.listen(engine, "engine_disposed", lambda _: reader.dispose())
            _READERS[engine] = reader
        return _READERS[engine]


def _engine(url: str | URL, keys: Keyring, **options: Any) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _WRITER_PATIENCE_S}, **options)
    use_keys(engine, keys)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "connect", lambda connection, _: register(connection, keys))
    event.listen(engine, "handle_error", _in_words)
    return engine


def _on_connect(connection: Any, record: Any) -> None:
    # sqlite3 would begin and commit transactions on its own; we do, so that schema changes
    # are inside them too (docs.sqlalchemy.org, "Serializable isolation ... pysqlite").
    connection.isolation_level = None
    # With a write-ahead log readers see the last commit while a writer is at work.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")
    # What is deleted is written over: it may be a patient's.
    connection.execute("PRAGMA secure_delete=ON")


def _forbid_writing(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA query_only=ON")


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN DEFERRED")


# Parts of what SQLite says, with what it means and what to do (sqlite.org/rescode.html).
_FAILURES = {
    "disk is full": ("The disk of the database is full", "Make room on the disk of the data "
                     "folder, then try again."),
    "database is locked": ("The database is busy", "Try again in a minute."),
    "readonly database": ("The database may not be written", "Grant the server access to its "
                          "data folder."),
    "disk I/O error": ("The disk of the database fails", "Make room on the disk of the data "
                       "folder or replace the disk, then try again."),
    "unable to open": ("The database cannot be opened", "Make room or grant access on the disk "
                       "of the data folder."),
    "malformed": ("The database is damaged", "Restore it from a backup; or move it away: cases "
                  "and models are taken in again from the storage at the next start."),
}  # fmt: skip


def _in_words(context: ExceptionContext) -> None:
    """Raise a `StorageError` for what the disk is to blame for."""
    error = context.sqlalchemy_exception
    said = str(error.orig if isinstance(error, DBAPIError) else context.original_exception)
    for part, (message, hint) in _FAILURES.items():
        if part in said:
            raise StorageError(message, hint, code="database_unavailable") from error


def timestamp(offset_s: float = 0.0) -> str:
    """Now, in UTC, as every table writes it; texts of it sort by time."""
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).isoformat(timespec="milliseconds")
