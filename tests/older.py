"""A database as the program before made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine

from core.state.database import DATABASE_NAME

_OLDER = (
    "CREATE TABLE migrations (number INTEGER PRIMARY KEY)",
    "INSERT INTO migrations VALUES (0), (1), (2), (3)",
    "CREATE TABLE cases (id VARCHAR(16) PRIMARY KEY)",
    "CREATE TABLE mask_versions (case_id VARCHAR(16), number INTEGER)",
    "CREATE TABLE drafts (case_id VARCHAR(16), visitor VARCHAR(64), at VARCHAR(32))",
    "CREATE TABLE versions (number INTEGER PRIMARY KEY, stage VARCHAR(16) NOT NULL, created_at "
    "VARCHAR(32) NOT NULL, sha256 VARCHAR(64) NOT NULL, card_sha256 VARCHAR(64) NOT NULL, card "
    "TEXT NOT NULL, metrics TEXT NOT NULL, lineage TEXT NOT NULL)",
    "CREATE TABLE promotions (id INTEGER PRIMARY KEY, at VARCHAR(32) NOT NULL, number INTEGER NOT "
    "NULL REFERENCES versions (number), action VARCHAR(16) NOT NULL)",
    "CREATE TABLE jobs (id INTEGER PRIMARY KEY, state VARCHAR(16) NOT NULL, created_at VARCHAR(32) "
    "NOT NULL, started_at VARCHAR(32), ended_at VARCHAR(32), heartbeat_at VARCHAR(32), host "
    "VARCHAR, pid INTEGER, pid_started FLOAT, spec TEXT NOT NULL, phase VARCHAR NOT NULL, message "
    "TEXT NOT NULL, version INTEGER, restarts INTEGER NOT NULL)",
    "CREATE TABLE wrong_passwords (id INTEGER PRIMARY KEY, at VARCHAR(32) NOT NULL)",
)


@contextmanager
def older_database(folder: Path) -> Iterator[Connection]:
    """A database as the program before made it, to be filled."""
    folder.mkdir(exist_ok=True)
    engine = create_engine(f"sqlite:///{folder / DATABASE_NAME}")
    with engine.begin() as connection:
        for statement in _OLDER:
            connection.exec_driver_sql(statement)
        yield connection
    engine.dispose()
