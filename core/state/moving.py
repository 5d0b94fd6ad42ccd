"""Moves an installation from the SQLite of its data folder into an empty PostgreSQL.

A copy of the SQLite is brought up to date; the file itself is not changed. All rows go over in one
transaction, are read again, and compared by count and hash before it is committed: what is killed
or fails leaves the PostgreSQL empty.
"""

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    inspect,
    select,
)

from core.errors import ConflictError, InputError, StorageError
from core.state.database import DATABASE_NAME, connect, reading
from core.state.failures import in_words
from core.state.opened import is_shared
from core.state.private import as_stored, content_of, storable, stored_of
from core.state.processes import is_alive, is_here
from core.state.tables import JOBS, METADATA, MIGRATIONS

_AT_ONCE = 500
_TABLES = [table for table in METADATA.sorted_tables if table is not MIGRATIONS]


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
    file = data_dir / DATABASE_NAME
    if not file.is_file():
        raise InputError("There is no database in the data folder", "Check HIPPOVIEW_DATA_DIR.")
    _check_unused(data_dir)
    with tempfile.TemporaryDirectory(prefix=".moving-", dir=data_dir) as folder:
        copied = _copied(file, Path(folder))
        try:
            with reading(copied) as connection:
                _check_no_training(connection)
            target = connect(data_dir, agree=False, url=url)
            try:
                with reading(copied) as source, target.begin() as connection:
                    return _fill(source, connection, data_dir)
            finally:
                target.dispose()
        finally:
            copied.dispose()


def _copied(file: Path, folder: Path) -> Engine:
    """A copy of a SQLite as it is at this moment, brought up to date."""
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


def _fill(source: Connection, target: Connection, data_dir: Path) -> dict[str, int]:
    _check_empty(target)
    counts = {table.name: _copy(table, source, target) for table in _TABLES}
    for table in _TABLES:
        if _digest(table, source) != _digest(table, target):
            raise StorageError(
                f"The table {table.name} did not arrive as it was sent; nothing was moved",
                "Look whether another program writes to the PostgreSQL, then call again.",
                code="not_moved",
            )
    _go_on_counting(source, target)
    _check_unused(data_dir)  # nor was a server started meanwhile
    return counts


def _copy(table: Table, source: Connection, target: Connection) -> int:
    # Without the types that encrypt: what is encrypted goes over as it is.
    bare = Table(
        table.name, MetaData(),
        *(Column(c.name, LargeBinary() if _is_private(c) else c.type) for c in table.columns),
    )  # fmt: skip
    count = 0
    for rows in source.execute(_all(table)).partitions(_AT_ONCE):
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
    query = "SELECT name, seq FROM sqlite_sequence"
    highest: dict[str, int] = {row[0]: row[1] for row in source.exec_driver_sql(query)}
    for table in _TABLES:
        for column in inspect(target).get_columns(table.name):
            if "identity" not in column:
                continue
            newest = select(table.c[column["name"]]).order_by(table.c[column["name"]].desc())
            number = max(highest.get(table.name, 0), target.scalar(newest.limit(1)) or 0)
            if number:
                target.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column['name']}'), "
                    f"{int(number)})"
                )


def _check_empty(connection: Connection) -> None:
    others = set(inspect(connection).get_table_names()) - set(METADATA.tables)
    held = [t.name for t in _TABLES if connection.execute(select(t).limit(1)).first() is not None]
    if others or held:
        raise ConflictError(
            "The PostgreSQL that HIPPOVIEW_DATABASE_URL names is not empty (it has "
            f"{', '.join(sorted({*others, *held})[:3])}); nothing was moved",
            "Name an empty one: CREATE DATABASE hippoview ENCODING 'UTF8' TEMPLATE template0.",
            code="not_empty",
        )


def _check_unused(data_dir: Path) -> None:
    if is_shared(data_dir / "incoming"):
        raise ConflictError(
            "A server runs on this data folder; nothing was moved", "Stop it first.",
            code="server_runs",
        )  # fmt: skip


def _check_no_training(connection: Connection) -> None:
    for row in connection.execute(select(JOBS).where(JOBS.c.state == "running")):
        if row.pid is not None and is_here(row) and is_alive(row):
            raise ConflictError(
                f"Job {row.id} is running; nothing was moved",
                "Wait until the training has ended, or cancel it, then stop the server.",
                code="server_runs",
            )
