"""A database of each earlier schema, with data in every table, comes to today's and keeps it."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine, select

from core.state import migrations
from core.state.database import DATABASE_NAME, connect, reading
from core.state.moving import move
from core.state.tables import METADATA
from tests.postgresql import programs

pytestmark = pytest.mark.sqlite  # whose schemas they are; where to is PostgreSQL in some

STEPS = sorted(migrations._STEPS)
SAMPLED = [n if n in (0, 13, 19) else pytest.param(n, marks=pytest.mark.long) for n in STEPS]
# What is meant, where not any value is one.
_MEANT = {
    ("versions", "stage"): ("retired", "serving"),
    ("promotions", "action"): ("adopted", "promoted"),
    ("cases", "id"): ("HV-AAAAAA", "HV-BBBBBB"),
}  # fmt: skip
# Steps rename them, make them anew, or drop them: `core.state.migrations` says why.
_GONE = {"accounts", "sessions", "wrong_passwords"}


def filled(folder, number):
    """A database with the steps up to a number, and two rows in each table; the rows."""
    folder.mkdir()
    engine = create_engine(f"sqlite:///{folder / DATABASE_NAME}")
    with pytest.MonkeyPatch.context() as patch, engine.begin() as connection:
        taken = {n: parts for n, parts in migrations._STEPS.items() if n <= number}
        patch.setattr(migrations, "_STEPS", taken)
        migrations.bring_up_to_date(connection)
    engine.dispose()
    written = {}
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as database, database:
        for (table,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall():
            if table in ("migrations", "encryption_keys"):  # it would ask for that key
                continue
            columns = database.execute(f"PRAGMA table_info({table})").fetchall()
            parents = {
                row[3]: (row[2], row[4])
                for row in database.execute(f"PRAGMA foreign_key_list({table})")
            }
            written[table] = [
                {name: _value(table, name, kind, n, parents) for _, name, kind, *_ in columns}
                for n in (0, 1)
            ]
            for row in written[table]:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" * len(row))
                database.execute(
                    f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
                    tuple(row.values()),
                )
    return written


def _value(table, column, kind, n, parents):
    if column in parents:  # the n-th row of the other table
        table, column = parents[column]
        kind = "VARCHAR" if column == "id" and table in ("cases", "people") else kind
    if (table, column) in _MEANT:
        return _MEANT[table, column][n]
    if kind.startswith("INT"):
        return n + 1
    if kind.startswith("FLOAT"):
        return 0.1 + n
    return bytes([n, 255]) if kind == "BLOB" else f"{column} é {n}"


def kept(engine, written):
    """What of the rows is still there, by table and column."""
    found = {}
    with reading(engine) as connection:
        for name, rows in written.items():
            if name in _GONE:
                continue
            table = METADATA.tables[name]
            columns = [table.c[each] for each in rows[0] if each in table.c]
            found[name] = [
                dict(row._mapping)
                for row in connection.execute(select(*columns).order_by(*table.primary_key))
            ]
    return found


def expected(written):
    told = {}
    for name, rows in written.items():
        if name not in _GONE:
            columns = METADATA.tables[name].c
            told[name] = [{k: v for k, v in row.items() if k in columns} for row in rows]
    return told


def check(found, written, number):
    wanted = expected(written)
    if number < 5:  # step 5 gives jobs their names and has the records written again
        for row in found.get("versions", []):
            assert row.pop("record_behind", 1) == 1
    assert found == wanted


def at_today(folder, **options):
    engine = connect(folder, **options)
    with reading(engine) as connection:
        taken = connection.scalars(select(METADATA.tables["migrations"].c.number)).all()
    assert sorted(taken) == STEPS
    return engine


@pytest.mark.parametrize("number", SAMPLED)
def test_each_earlier_schema_migrates_with_its_data(tmp_path, number):
    written = filled(tmp_path / "data", number)
    engine = at_today(tmp_path / "data", url="")
    check(kept(engine, written), written, number)
    engine.dispose()


@pytest.mark.skipif(programs() is None, reason="apt-get install postgresql")
@pytest.mark.parametrize(
    "number", [n if n == 0 else pytest.param(n, marks=pytest.mark.long) for n in STEPS]
)
def test_each_earlier_schema_moves_to_postgresql_with_its_data(tmp_path, number, databases):
    written, url = filled(tmp_path / "data", number), databases.cluster.database("hippo_template")
    counts = move(tmp_path / "data", url)
    engine = at_today(tmp_path / "data", url=url)
    check(kept(engine, written), written, number)
    assert all(counts[name] == 2 for name in written if name not in _GONE)
    engine.dispose()
    databases.cluster.drop(url)
