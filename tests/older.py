"""A database as the program before made it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine

from core.state.database import DATABASE_NAME

# What the program before wrote: `tests.core.cases.test_older_installation`.
_DUMP = Path(__file__).parent / "older_installation" / "database.sql"


@contextmanager
def older_database(folder: Path) -> Iterator[Connection]:
    """A database as the program before made it, without a case, to be filled."""
    folder.mkdir(exist_ok=True)
    database = sqlite3.connect(folder / DATABASE_NAME)
    database.executescript(_DUMP.read_text())
    for table in ("features", "mask_versions", "drafts", "cases"):
        database.execute(f"DELETE FROM {table}")  # noqa: S608
    database.commit()
    database.close()
    engine = create_engine(f"sqlite:///{folder / DATABASE_NAME}")
    with engine.begin() as connection:
        yield connection
    engine.dispose()
