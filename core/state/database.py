"""The database: how it is opened, read and written.

How it is used, everywhere:

- ``with reading(engine) as connection:`` to look something up. It sees what was committed when
  it began, never waits for a writer, and cannot write.
- ``with engine.begin() as connection:`` to write. One at a time: it begins as a writer, so that
  what is read inside stays true until it ends. Keep it short. Nothing is uploaded, downloaded,
  computed or waited for inside.

It is a SQLite in the data folder, or the PostgreSQL of HIPPOVIEW_DATABASE_URL (see
`core.state.postgresql`), where these two mean the same. What either says of a full disk or a
connection that broke comes as a `StorageError` in words.
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
    make_url,
    select,
)
from sqlalchemy.exc import DBAPIError

from core.errors import HippoViewError, StorageError
from core.settings import Settings
from core.state import postgresql
from core.state.encryption import NO_KEYS, Keyring, missing_key
from core.state.migrations import bring_up_to_date
from core.state.patience import unhurried
from core.state.private import POSTGRESQL, keys_of, register, use_keys
from core.state.tables import ENCRYPTION_KEYS

DATABASE_NAME = "hippoview.sqlite"
# Seconds that a writer waits for the one before it; each takes milliseconds.
_WRITER_PATIENCE_S = 30


def connect(
    data_dir: Path, keys: Keyring | None = None, *, agree: bool = True, url: str | None = None
) -> Engine:
    """Open the database of an installation, made or brought up to date where needed.

    Parameters
    ----------
    data_dir
    keys
        Encrypt and decrypt the private columns; by default those of the environment's settings.
    agree
        False to look at what is encrypted, with whatever keys; nothing may be written then.
    url
        Of a PostgreSQL; empty for the SQLite of the data folder. By default as the environment's
        settings say.

    Raises
    ------
    SettingsError
        The URL cannot be read.
    StorageError
        The disk is full or may not be written, the PostgreSQL cannot be reached or refuses; or
        something is encrypted with a key that is not among these. Nothing was changed.
    """
    if keys is None:
        keys = Keyring.of(Settings.from_environment())
    if url is None:
        url = Settings.from_environment().database_url
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"The data folder cannot be made ({error.strerror})",
            "Make room or grant access, or choose another one with HIPPOVIEW_DATA_DIR.",
        ) from error
    engine = _engine(_address(data_dir, url), keys)
    _FOLDERS[engine] = data_dir
    try:
        with engine.begin() as connection:
            with unhurried(connection):  # a step may write a large table anew
                bring_up_to_date(connection)
            if agree:
                _agree(connection, keys)
    except BaseException:
        engine.dispose()
        raise
    return engine


def folder_of(engine: Engine) -> Path:
    """The data folder that a database was opened with: what is this server's own lies there."""
    return _FOLDERS[engine]


def is_shared(engine: Engine) -> bool:
    """Whether several servers may use a database, each with a data folder of its own."""
    return bool(engine.dialect.name == POSTGRESQL)


def has_database(settings: Settings) -> bool:
    """Whether an installation has a database already; of a PostgreSQL it is taken for granted."""
    return bool(settings.database_url) or (settings.data_dir / DATABASE_NAME).is_file()


def has_others(settings: Settings) -> bool:
    """Whether other processes use the PostgreSQL of an installation; False without one.

    Raises
    ------
    StorageError
    """
    if not settings.database_url:
        return False
    engine = looker(settings.database_url)
    try:
        return postgresql.others(engine) > 0
    finally:
        engine.dispose()


def looker(url: str) -> Engine:
    """Connections to a PostgreSQL as it is: nothing is made there, nor brought up to date.

    Raises
    ------
    SettingsError
    """
    return _engine(postgresql.address(url), NO_KEYS, writes=False)


_FOLDERS: weakref.WeakKeyDictionary[Engine, Path] = weakref.WeakKeyDictionary()


def _address(data_dir: Path, url: str) -> URL:
    """Where a database is; a file is made that only the server's user can read."""
    if url:
        return postgresql.address(url)
    file = data_dir / DATABASE_NAME
    try:
        # Drafts and names lie in it, and in the files beside it, which take its mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        file.chmod(0o600)
    except OSError as error:
        logger.warning("The database could not be made private: {}", error.strerror)
    return make_url(f"sqlite:///{file}")


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


def empty_log(engine: Engine, *, now: bool = False) -> bool:
    """Remove what was deleted from where the database else keeps it for a while.

    In SQLite the write-ahead log is moved into the file. In PostgreSQL the room of removed rows is
    given up, to be written over; its own log and its backups keep them for their time.

    Parameters
    ----------
    now
        Whether nothing may be left in the tables' files of PostgreSQL: others wait meanwhile.

    Returns
    -------
    bool
        False while somebody reads or writes: call again.
    """
    if engine.dialect.name == POSTGRESQL:
        return postgresql.vacuum(engine, full=now)
    connection = engine.raw_connection()
    try:
        row = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return row is not None and row[0] == 0


def rewrite(engine: Engine) -> bool:
    """Write the database anew, so that nothing that was deleted or changed stays in its files.

    Returns
    -------
    bool
        False while somebody reads or writes: call again.
    """
    if engine.dialect.name == POSTGRESQL:
        return postgresql.vacuum(engine, full=True)
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
            reader = _engine(engine.url, keys_of(engine), writes=False)
            event.listen(engine, "engine_disposed", lambda _: reader.dispose())
            _READERS[engine] = reader
        return _READERS[engine]


def _engine(url: URL, keys: Keyring, *, writes: bool = True) -> Engine:
    if url.get_backend_name() == POSTGRESQL:
        engine = postgresql.engine_of(url, _WRITER_PATIENCE_S, writes=writes)
        postgresql.use_keys(engine, keys)
    else:
        # As many readers as ask: each is held for milliseconds.
        options: dict[str, Any] = {} if writes else {"max_overflow": -1}
        patience = {"timeout": _WRITER_PATIENCE_S}
        engine = create_engine(url, connect_args=patience, hide_parameters=True, **options)
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "connect", lambda connection, _: register(connection, keys))
        if not writes:
            event.listen(engine, "connect", _forbid_writing)
        event.listen(engine, "begin", _begin_writing if writes else _begin_reading)
    use_keys(engine, keys)
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
    """Raise a `StorageError` for what the disk or the connection is to blame for."""
    if context.is_pre_ping:  # another connection is made
        return
    error, cause = context.sqlalchemy_exception, context.original_exception
    if isinstance(cause, HippoViewError | UnicodeEncodeError):  # of a column's type
        raise cause
    if context.dialect.name == POSTGRESQL:
        if told := postgresql.in_words(cause):
            raise told from error
        return
    said = str(error.orig if isinstance(error, DBAPIError) else cause)
    for part, (message, hint) in _FAILURES.items():
        if part in said:
            raise StorageError(message, hint, code="database_unavailable") from error


def timestamp(offset_s: float = 0.0) -> str:
    """Now, in UTC, as every table writes it; texts of it sort by time."""
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).isoformat(timespec="milliseconds")
