"""The database: its tables, and the steps that bring an older one up to date."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
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
from sqlalchemy.schema import CreateColumn

DATABASE_NAME = "hippoview.sqlite"
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
    # Of a head, how far the model's masks can be trusted; empty for a crop.
    Column("confidence", String(16), nullable=False, server_default=""),
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

# Model versions. ``metrics`` and ``lineage`` are JSON; the files lie in the storage.
VERSIONS = Table(
    "versions",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("card_sha256", String(64), nullable=False),
    Column("card", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("lineage", Text, nullable=False),
)

# What was put into service when: a row for each promotion and each roll back.
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


def _missing_columns(connection: Connection) -> None:
    # A new database has the columns already: its first step made the table as it is now.
    there = {column["name"] for column in inspect(connection).get_columns(CASES.name)}
    for column in CASES.columns:
        if column.name not in there:
            kind = CreateColumn(column).compile(connection)
            connection.exec_driver_sql(f"ALTER TABLE {CASES.name} ADD COLUMN {kind}")


def _reviews(connection: Connection) -> None:
    _missing_columns(connection)
    for table in (MASK_VERSIONS, DRAFTS):
        table.create(connection)


# Each step runs once, in one transaction with the record that it ran. Never edit one that
# was released: add another.
_STEPS = [_first_tables, _administration, _reviews, _missing_columns]


def connect(data_dir: Path) -> Engine:
    """Open the database of a data folder, made or brought up to date where needed."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(f"sqlite:///{data_dir / DATABASE_NAME}", connect_args={"timeout": 30})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    with engine.begin() as connection:
        MIGRATIONS.create(connection, checkfirst=True)
        done = set(connection.scalars(select(MIGRATIONS.c.number)))
        for number, step in enumerate(_STEPS):
            if number not in done:
                step(connection)
                connection.execute(MIGRATIONS.insert().values(number=number))
    return engine


def _on_connect(connection: Any, record: Any) -> None:
    # sqlite3 would begin and commit transactions on its own; we do, so that schema changes
    # are inside them too (docs.sqlalchemy.org, "Serializable isolation ... pysqlite").
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def timestamp(offset_s: float = 0.0) -> str:
    """Now, in UTC, as every table writes it; texts of it sort by time."""
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).isoformat(timespec="milliseconds")
