"""A database that the literal steps made is the one that the tables describe."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from core.state.database import DATABASE_NAME, connect
from core.state.tables import METADATA
from tests.older import older_database

pytestmark = pytest.mark.sqlite
# What SQLite knows of a table.
_ASPECTS = {
    "columns": "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{}')",
    "references": "SELECT \"table\", \"from\", \"to\", on_update, on_delete "
    "FROM pragma_foreign_key_list('{}')",
    "indexes": "SELECT i.name, i.\"unique\", i.origin, c.seqno, c.name "
    "FROM pragma_index_list('{}') i, pragma_index_info(i.name) c ORDER BY i.name, c.seqno",
}  # fmt: skip


def schema_of(file: Path) -> dict[str, dict[str, list[tuple[object, ...]]]]:
    """By table and aspect, what SQLite says of it."""
    database = sqlite3.connect(file)
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    schema = {
        table: {
            aspect: database.execute(query.format(table)).fetchall()
            for aspect, query in _ASPECTS.items()
        }
        for (table,) in tables
    }
    database.close()
    return schema


@pytest.fixture
def described(tmp_path):
    """The schema that `core.state.tables` describes."""
    engine = create_engine(f"sqlite:///{tmp_path / 'described.sqlite'}")
    METADATA.create_all(engine)
    engine.dispose()
    return schema_of(tmp_path / "described.sqlite")


def opened(folder):
    connect(folder).dispose()
    return schema_of(folder / DATABASE_NAME)


def test_a_new_database_has_exactly_the_tables_columns_types_and_indexes(described, tmp_path):
    assert opened(tmp_path / "new") == described


def test_an_older_database_becomes_the_same(described, tmp_path):
    with older_database(tmp_path / "older"):
        pass
    older = opened(tmp_path / "older")
    # SQLite heeds no length: the only thing that the first programs wrote otherwise.
    visitor = older["drafts"]["columns"][1]
    assert visitor[:2] == ("visitor", "VARCHAR(64)")
    older["drafts"]["columns"][1] = described["drafts"]["columns"][1]
    assert older == described


def test_a_database_that_has_all_steps_is_left_alone(tmp_path):
    first = opened(tmp_path)
    database = sqlite3.connect(tmp_path / DATABASE_NAME)
    before = database.execute("PRAGMA schema_version").fetchall()
    assert opened(tmp_path) == first
    assert database.execute("PRAGMA schema_version").fetchall() == before
    database.close()


def test_jobs_of_the_first_program_with_trainings_can_start_again(tmp_path):
    """Its step 1 made no column ``restarts``."""
    with older_database(tmp_path) as connection:
        connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN restarts")
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, state, created_at, spec, phase, message) "
            "VALUES (7, 'done', '', '{}', '', '')"
        )
    connect(tmp_path).dispose()
    database = sqlite3.connect(tmp_path / DATABASE_NAME)
    assert database.execute("SELECT uid, restarts FROM jobs").fetchall() == [("7", 0)]
    database.close()
