"""All rows of one database copied into another, SQLite or PostgreSQL, and compared.

What is encrypted goes over as it is, and takes no key. The caller's transactions decide what moment
is copied, and that all rows arrive or none.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    inspect,
    literal,
    select,
)
from sqlalchemy.types import NullType

from core.errors import ConflictError, StorageError
from core.state.later_steps import STEPS  # noqa: F401 - with it METADATA has all tables
from core.state.private import POSTGRESQL, as_stored, content_of, storable, stored_of
from core.state.tables import METADATA, MIGRATIONS

_AT_ONCE = 500
_TABLES = [table for table in METADATA.sorted_tables if table is not MIGRATIONS]


def fill(source: Connection, target: Connection) -> dict[str, int]:
    """Copy every row into an empty database of this version, and compare each.

    Parameters
    ----------
    source
        Of this version too; it sees one moment, as `core.state.database.reading` does.
    target
        One that writes, whose transaction is given up if this raises.

    Returns
    -------
    dict
        How many rows each table has.

    Raises
    ------
    ConflictError
        The target is not empty.
    StorageError
        Something did not arrive as it was sent.
    """
    if target.dialect.name == POSTGRESQL:  # while the other side is read and hashed
        target.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    check_empty(target)
    counts = {table.name: _copy(table, source, target) for table in _TABLES}
    for table in _TABLES:
        if _digest(table, source) != _digest(table, target):
            raise StorageError(
                f"The table {table.name} did not arrive as it was sent; nothing was changed",
                "Look whether another program writes to the database, then call again.",
                code="not_moved",
            )
    _go_on_counting(source, target)
    return counts


def check_empty(connection: Connection) -> None:
    """Refuse a database that holds a row, or tables of another program.

    Raises
    ------
    ConflictError
    """
    strangers, held = contents(connection)
    if strangers or held:
        raise ConflictError(
            "The PostgreSQL that HIPPOVIEW_DATABASE_URL names is not empty (it has "
            f"{', '.join(sorted([*strangers, *held])[:3])}); nothing was changed",
            "Name an empty one: CREATE DATABASE hippoview ENCODING 'UTF8' TEMPLATE template0.",
            code="not_empty",
        )


def contents(connection: Connection) -> tuple[list[str], list[str]]:
    """Names of tables that are not HippoView's, and of those of its tables that hold a row."""
    names = inspect(connection).get_table_names()
    strangers = sorted(set(names) - set(METADATA.tables))
    held = []
    for table in _TABLES:
        first = select(literal("x")).select_from(table).limit(1)
        if table.name in names and connection.scalar(first) is not None:
            held.append(table.name)
    return strangers, held


def _copy(table: Table, source: Connection, target: Connection) -> int:
    # Without the types that encrypt; SQLite has text and bytes in one column.
    raw = LargeBinary() if target.dialect.name == POSTGRESQL else NullType()
    bare = Table(
        table.name, MetaData(),
        *(Column(c.name, raw if _is_private(c) else c.type) for c in table.columns),
    )  # fmt: skip
    count = 0
    options = {"yield_per": _AT_ONCE}
    for rows in source.execute(_all(table), execution_options=options).partitions():
        values = [
            {
                column.name: _converted(column, value, source, target)
                for column, value in zip(table.columns, row, strict=True)
            }
            for row in rows
        ]
        target.execute(bare.insert(), values)
        count += len(values)
    return count


def _converted(column: "Column[Any]", value: Any, source: Connection, target: Connection) -> Any:
    """A value as the other database stores it."""
    if _is_private(column):
        content, is_hidden = content_of(_storable(value), column.type, source.dialect)
        return stored_of(content, column.type, target.dialect, encrypted=is_hidden)
    return value


def _digest(table: Table, connection: Connection) -> str:
    """A hash of every row, in the order of the key."""
    digest = hashlib.sha256()
    for row in _rows(connection, _all(table)):
        told = []
        for column, value in zip(table.columns, row, strict=True):
            if _is_private(column):
                content, is_hidden = content_of(_storable(value), column.type, connection.dialect)
                told.append([content.hex(), is_hidden])
            else:
                told.append(_storable(value))
        digest.update(json.dumps(told).encode() + b"\n")
    return digest.hexdigest()


def _storable(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def _rows(connection: Connection, query: "Select[Any]") -> "Iterator[Row[Any]]":
    return iter(connection.execute(query, execution_options={"yield_per": _AT_ONCE}))


def _all(table: Table) -> "Select[Any]":
    columns = [
        as_stored(column).label(column.name) if _is_private(column) else column
        for column in table.columns
    ]
    return select(*columns).order_by(*table.primary_key)


def _is_private(column: "Column[Any]") -> bool:
    return hasattr(column.type, "about")


def _go_on_counting(source: Connection, target: Connection) -> None:
    """Have the database give ids after those that were given, also to rows that are gone."""
    given = _given(source)
    if target.dialect.name == POSTGRESQL:
        for name, column in _identities(target):
            if number := given.get(name):
                target.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{name}', '{column}'), {int(number)})"
                )
        return
    # SQLite reads it of tables that never give an id twice; of others it is for the way back.
    target.exec_driver_sql("DELETE FROM sqlite_sequence")
    rows = [(name, number) for name, number in given.items() if number]
    if rows:
        target.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", rows)


def _given(source: Connection) -> dict[str, int]:
    """The highest id that a table with ids from the database has given; 0 for none."""
    if source.dialect.name == POSTGRESQL:
        given = {}
        for name, column in _identities(source):
            query = f"SELECT pg_get_serial_sequence('{name}', '{column}')"
            sequence = source.exec_driver_sql(query).scalar_one()
            last, is_called = source.exec_driver_sql(
                f"SELECT last_value, is_called FROM {sequence}"  # noqa: S608
            ).one()
            given[name] = int(last) if is_called else 0
    else:
        rows = source.exec_driver_sql("SELECT name, seq FROM sqlite_sequence").all()
        given = {row[0]: int(row[1]) for row in rows}
    for table in _TABLES:
        key = table.autoincrement_column
        if key is not None:
            newest = source.scalar(select(key).order_by(key.desc()).limit(1)) or 0
            given[table.name] = max(given.get(table.name, 0), newest)
    return given


def _identities(connection: Connection) -> "Iterator[tuple[str, str]]":
    """Tables of PostgreSQL, and their columns, to which the database gives ids."""
    for table in _TABLES:
        for column in inspect(connection).get_columns(table.name):
            if "identity" in column:
                yield table.name, column["name"]
