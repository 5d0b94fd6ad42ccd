"""The database: its tables, and the steps that bring an older one up to date.

How it is used, everywhere:

- ``with reading(engine) as connection:`` to look something up. It sees what was committed when
  it began, never waits for a writer, and cannot write.
- ``with engine.begin() as connection:`` to write. One at a time: it begins as a writer, so that
  what is read inside stays true until it ends. Keep it short. Nothing is uploaded, downloaded,
  computed or waited for inside.

What SQLite says of a full or locked disk comes as a `StorageError` in words.
"""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    ExceptionContext,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from core.errors import StorageError

DATABASE_NAME = "hippoview.sqlite"
# Seconds that a writer waits for the one before it; each takes milliseconds.
_WRITER_PATIENCE_S = 30
METADATA = MetaData()

MIGRATIONS = Table(
    "migrations",
    METADATA,
    Column("number", Integer, primary_key=True),
)

CASES = Table(
    "cases",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", String(32), nullable=False, index=True),
    Column("deleted_at", String(32)),
    Column("model_version", String, nullable=False),
    Column("anterior_mm3", Float, nullable=False),
    Column("posterior_mm3", Float, nullable=False),
    Column("warning_count", Integer, nullable=False),
    Column("report", Text, nullable=False),
    # The mask that holds now: 0 is the model's own, see MASK_VERSIONS.
    Column("mask_version", Integer, nullable=False, server_default="0"),
    Column("review", String(16), nullable=False, server_default="new"),
    Column("reviewer", String, nullable=False, server_default=""),
    Column("reviewed_at", String(32)),
    Column("reason", Text, nullable=False, server_default=""),
    # Of a head, how far the masks that hold now can be trusted; empty for a crop.
    Column("confidence", String(16), nullable=False, server_default=""),
    # Counts the acts on a case; of row and record in the storage the higher one holds.
    Column("revision", Integer, nullable=False, server_default="0"),
    # Why the volumes come out too small, where something speaks for it.
    Column("too_small", String, nullable=False, server_default=""),
)

# Masks that people drew, from 1 for each case; the files lie in the storage. ``content`` is JSON.
MASK_VERSIONS = Table(
    "mask_versions",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("author", String, nullable=False),
    Column("comment", Text, nullable=False),
    Column("content", Text, nullable=False),
    # Part of the file's name: `core.cases.records.mask_key`.
    Column("token", String(16), nullable=False, server_default=""),
)

# What a browser drew and did not save yet: labels in RAS+, gzip, and the version under it.
DRAFTS = Table(
    "drafts",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("visitor", String(96), primary_key=True),
    Column("base", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    Column("labels", LargeBinary, nullable=False),
)

# Features of a case's scan for the drift report: one JSON object.
FEATURES = Table(
    "features",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("content", Text, nullable=False),
)

# Model versions. ``metrics`` and ``lineage`` are JSON; the files lie in the storage. Which one
# serves, and which did, is said by PROMOTIONS alone.
VERSIONS = Table(
    "versions",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("card_sha256", String(64), nullable=False),
    Column("card", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("lineage", Text, nullable=False),
    # Whether the record of this row in the storage has still to be written.
    Column("record_behind", Integer, nullable=False, server_default="0"),
)

# Versions that are being registered, and by which process: what a killed one left is found here.
REGISTRATIONS = Table(
    "registrations",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("token", String(32), nullable=False),
    Column("at", String(32), nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Float, nullable=False),
    Column("given_up", Integer, nullable=False, server_default="0"),
)

# What was put into service when: a row for each promotion and each roll back, from 1 without a
# gap. The newest serves. It follows the storage's own list: see `core.models.service_log`.
PROMOTIONS = Table(
    "promotions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("number", ForeignKey("versions.number"), nullable=False),
    Column("action", String(16), nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("created_at", String(32), nullable=False),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("heartbeat_at", String(32)),
    Column("host", String),
    Column("pid", Integer),
    Column("pid_started", Float),
    Column("spec", Text, nullable=False),
    Column("phase", String, nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("version", Integer),
    Column("restarts", Integer, nullable=False, default=0),
    # Its name for all time; ``id`` begins at 1 again when the database is lost.
    Column("uid", String(32), nullable=False, server_default=""),
    # Counts the starts: a process of an earlier one has nothing more to say.
    Column("attempt", Integer, nullable=False, server_default="0"),
)

# One finished epoch of a training, and the checkpoint that it left.
EPOCHS = Table(
    "epochs",
    METADATA,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("train_loss", Float, nullable=False),
    Column("val_loss", Float, nullable=False),
    Column("dice_anterior", Float, nullable=False),
    Column("dice_posterior", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("checkpoint_sha256", String(64), nullable=False),
)

ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("name", String, primary_key=True),
    Column("password_hash", String, nullable=False),
)

# Who is signed in. The token itself is only in the browser.
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("token_sha256", String(64), primary_key=True),
    Column("account", ForeignKey("accounts.name", ondelete="CASCADE"), nullable=False),
    Column("expires_at", String(32), nullable=False),
)

# No longer used: see `_identities`.
WRONG_PASSWORDS = Table(
    "wrong_passwords",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String(32), nullable=False, index=True),
)


def _first_tables(connection: Connection) -> None:
    CASES.create(connection)


def _administration(connection: Connection) -> None:
    for table in (
        FEATURES, VERSIONS, PROMOTIONS, JOBS, EPOCHS, ACCOUNTS, SESSIONS, WRONG_PASSWORDS,
    ):  # fmt: skip
        table.create(connection)


def _missing_columns(connection: Connection, table: Table = CASES) -> None:
    # A new database has the columns already: its first step made the table as it is now.
    there = _columns_of(connection, table)
    for column in table.columns:
        if column.name not in there:
            kind = CreateColumn(column).compile(connection)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {kind}")


def _columns_of(connection: Connection, table: Table) -> set[str]:
    return {str(column["name"]) for column in inspect(connection).get_columns(table.name)}


def _reviews(connection: Connection) -> None:
    _missing_columns(connection)
    for table in (MASK_VERSIONS, DRAFTS):
        table.create(connection)


def _revisions(connection: Connection) -> None:
    for table in (CASES, MASK_VERSIONS):
        _missing_columns(connection, table)


def _identities(connection: Connection) -> None:
    """One list says what serves; jobs have a name that outlives the database."""
    _missing_columns(connection, VERSIONS)
    _missing_columns(connection, JOBS)
    REGISTRATIONS.create(connection)
    WRONG_PASSWORDS.drop(connection)  # they are counted in memory
    # A job from before keeps its folder, which is named by its number.
    connection.exec_driver_sql("UPDATE jobs SET uid = CAST(id AS TEXT)")
    if "stage" not in _columns_of(connection, VERSIONS):
        return
    rows = connection.exec_driver_sql(
        "SELECT number, stage, created_at FROM versions ORDER BY number"
    ).all()
    pile = [dict(row._mapping) for row in connection.execute(
        select(PROMOTIONS.c.at, PROMOTIONS.c.number, PROMOTIONS.c.action).order_by(PROMOTIONS.c.id)
    )]  # fmt: skip
    listed = {entry["number"] for entry in pile}
    early = [
        {"at": row.created_at, "number": row.number, "action": "adopted"}
        for row in rows if row.stage == "retired" and row.number not in listed
    ]  # fmt: skip
    serving = [row.number for row in rows if row.stage == "serving"][-1:]
    if serving and (not pile or pile[-1]["number"] != serving[0]):
        pile.append({"at": timestamp(), "number": serving[0], "action": "adopted"})
    connection.execute(PROMOTIONS.delete())
    for number, entry in enumerate(early + pile, start=1):
        connection.execute(PROMOTIONS.insert().values(id=number, **entry))
    connection.exec_driver_sql("ALTER TABLE versions DROP COLUMN stage")
    # Their records in the storage name a stage: they are written again at the next start.
    connection.exec_driver_sql("UPDATE versions SET record_behind = 1")


def _words_for_lists(connection: Connection) -> None:
    _missing_columns(connection, CASES)


# Each step runs once, in one transaction with the record that it ran. Never edit one that
# was released: add another.
_STEPS = [
    _first_tables, _administration, _reviews, _missing_columns, _revisions, _identities,
    _words_for_lists,
]  # fmt: skip


def connect(data_dir: Path) -> Engine:
    """Open the database of a data folder, made or brought up to date where needed.

    Raises
    ------
    StorageError
        The disk is full or may not be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"The data folder cannot be made ({error.strerror})",
            "Make room or grant access, or choose another one with HIPPOVIEW_DATA_DIR.",
        ) from error
    engine = _engine(f"sqlite:///{data_dir / DATABASE_NAME}")
    event.listen(engine, "begin", _begin_writing)
    with engine.begin() as connection:
        MIGRATIONS.create(connection, checkfirst=True)
        done = set(connection.scalars(select(MIGRATIONS.c.number)))
        for number, step in enumerate(_STEPS):
            if number not in done:
                step(connection)
                connection.execute(MIGRATIONS.insert().values(number=number))
    return engine


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
            reader = _engine(engine.url, max_overflow=-1)
            event.listen(reader, "connect", _forbid_writing)
            event.listen(reader, "begin", _begin_reading)
            event.listen(engine, "engine_disposed", lambda _: reader.dispose())
            _READERS[engine] = reader
        return _READERS[engine]


def _engine(url: str | URL, **options: Any) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _WRITER_PATIENCE_S}, **options)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "handle_error", _in_words)
    return engine


def _on_connect(connection: Any, record: Any) -> None:
    # sqlite3 would begin and commit transactions on its own; we do, so that schema changes
    # are inside them too (docs.sqlalchemy.org, "Serializable isolation ... pysqlite").
    connection.isolation_level = None
    # With a write-ahead log readers see the last commit while a writer is at work.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


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
