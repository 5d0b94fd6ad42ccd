"""A look at a PostgreSQL that changes nothing: whose it is, how old, what it holds, its clock."""

import time
from dataclasses import dataclass

from sqlalchemy import inspect

from core.state.copying import contents
from core.state.database import looker
from core.state.tables import MIGRATIONS


@dataclass(frozen=True)
class Seen:
    """What a database was like.

    Attributes
    ----------
    version : str
        Of PostgreSQL.
    step : int or None
        The newest step of `core.state.migrations` that it has taken; None if it has none.
    strangers : list of str
        Tables that are not HippoView's.
    held : list of str
        Tables of HippoView that hold a row.
    ahead_s : float
        How far its clock is ahead of this machine's (s), below zero if it is behind; the time
        that the question took is given in its favour.
    is_standby : bool
        Whether it follows another one and takes no writes.
    """

    version: str
    step: int | None
    strangers: list[str]
    held: list[str]
    ahead_s: float
    is_standby: bool


def look(url: str) -> Seen:
    """Look at the database of a URL.

    Raises
    ------
    SettingsError
        The URL cannot be read.
    StorageError
        The database cannot be reached, refuses, or is none that can be used.
    """
    engine = looker(url)
    try:
        with engine.connect() as connection:
            before_s = time.time()
            query = "SELECT extract(epoch FROM clock_timestamp()), pg_is_in_recovery()"
            there_s, is_standby = connection.exec_driver_sql(query).one()
            after_s = time.time()
            ahead_s = max(float(there_s) - after_s, 0.0) or min(float(there_s) - before_s, 0.0)
            version = connection.exec_driver_sql("SHOW server_version").scalar_one()
            step = None
            if inspect(connection).has_table(MIGRATIONS.name):
                query = "SELECT max(number) FROM migrations"
                step = connection.exec_driver_sql(query).scalar()
            return Seen(str(version), step, *contents(connection), ahead_s, bool(is_standby))
    finally:
        engine.dispose()
