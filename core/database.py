"""The database: its tables, and the steps that bring an older one up to date."""

from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    select,
)

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
)


def _first_tables(connection: Connection) -> None:
    CASES.create(connection)


# Each step runs once, in one transaction with the record that it ran. Never edit one that
# was released: add another.
_STEPS = [_first_tables]


def connect(data_dir: Path) -> Engine:
    """Open the database of a data folder, made or brought up to date where needed."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        f"sqlite:///{data_dir / 'hippoview.sqlite'}", connect_args={"timeout": 30}
    )
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
