"""PostgreSQL as the database of several servers: how it is opened, and what it says in words.

Writers take turns as in SQLite: each begins with the same advisory lock, which its end gives back.
Readers see one snapshot, wait for nobody and cannot write. A connection that broke is found when it
is next taken, so a database that was gone is used again without a restart; one that hangs is given
up.
"""

from typing import Any

from loguru import logger
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import PoolProxiedConnection

from core.errors import SettingsError, StorageError
from core.settings import variable_of
from core.state.encryption import Keyring
from core.state.patience import be_patient_for, unhurried
from core.state.private import decrypting, storable
from core.state.processes import this_process

DATABASE_CODE = "database_unavailable"
_NAME, _MOST_NAME = "hippoview", 63
# What writers lock; each database has its own (the letters of "hippo").
_WRITERS_LOCK = 0x68697070_6F
# Connections of a process: that wait to write, and that read. Few, since a PostgreSQL as it comes
# has 97 for all; each is held for milliseconds.
_WRITERS, _READERS = 6, 14
_CONNECT_TIMEOUT_S = 10
# Seconds within which a reader's and a writer's statement is answered by a database that lives.
_READER_PATIENCE_S, _WRITER_PATIENCE_S = 20.0, 120.0
# Seconds after which a writer whose machine is gone gives up its lock.
_IDLE_WRITER_S = 60
# Seconds that a thorough clean-up waits for those who read.
_REWRITE_PATIENCE_S = 5
# A vanished server is noticed within a minute (libpq's parameters of a connection).
_KEEPALIVE = {
    "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}  # fmt: skip
# Tables with private columns, and what is taken from a case's scan.
_PRIVATE = "cases, mask_versions, drafts, features"


def address(text: str) -> URL:
    """The setting as a URL, whose text hides the password.

    Raises
    ------
    SettingsError
    """
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"{variable_of('database_url')} cannot be read",
            "Write postgresql+psycopg://user:password@host:5432/name; in user and password write "
            "%40 for @, %2F for / and %3A for a colon.",
        ) from None


def engine_of(url: URL, patience_s: float, *, writes: bool) -> Engine:
    """Connections that write, or that read.

    Parameters
    ----------
    patience_s
        How long a writer waits for those before it, and both for a free connection.
    """
    engine = create_engine(
        url, hide_parameters=True, pool_pre_ping=True, poolclass=_Pool, max_overflow=0,
        pool_size=_WRITERS if writes else _READERS, pool_timeout=patience_s,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S, "client_encoding": "utf8",
            "application_name": _name(), "prepare_threshold": None, **_KEEPALIVE,
        },
    )  # fmt: skip
    be_patient_for(engine, _WRITER_PATIENCE_S if writes else _READER_PATIENCE_S)
    event.listen(engine, "connect", _check_encoding)
    event.listen(engine, "connect", _replace_nul)
    if writes:
        idle_ms, wait_ms = _IDLE_WRITER_S * 1000, max(1, int(patience_s * 1000))
        event.listen(
            engine, "connect",
            lambda connection, _: _set(
                connection, idle_in_transaction_session_timeout=idle_ms, lock_timeout=wait_ms
            ),
        )  # fmt: skip
        event.listen(engine, "begin", _begin_writing)
    else:
        event.listen(engine, "connect", _make_reader)
    return engine


def others(engine: Engine) -> int:
    """How many other processes of HippoView are connected to a database."""
    query = text(
        "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE datname = "
        "current_database() AND application_name LIKE :ours AND application_name <> :own"
    )
    with engine.connect() as connection:
        return int(connection.scalar(query, {"ours": f"{_NAME} %", "own": _name()}) or 0)


def _name() -> str:
    """What the database's list of connections calls this process; it keeps 63 letters."""
    process = this_process()
    return f"{_NAME} {process['pid']} {process['pid_started']:.0f} {process['host']}"[:_MOST_NAME]


def use_keys(engine: Engine, keys: Keyring) -> None:
    """Have queries compare what the keys decrypt."""
    if keys:
        event.listen(
            engine, "before_execute",
            lambda connection, statement, many, one, _: (
                decrypting(connection, statement), many, one,
            ),
            retval=True,
        )  # fmt: skip


def vacuum(engine: Engine, *, full: bool) -> bool:
    """Give up the room of removed rows; ``full``: write the tables of patients anew.

    Returns
    -------
    bool
        False while somebody reads or writes: call again.
    """
    options, patience_ms = ("(FULL)" if full else ""), int(_REWRITE_PATIENCE_S * 1000)
    with engine.raw_connection() as held:
        connection: Any = held.driver_connection
        connection.autocommit = True
        try:
            connection.execute(f"SET lock_timeout = {patience_ms}")
            with unhurried(connection):
                connection.execute(f"VACUUM {options} {_PRIVATE}")
        except connection_errors() as error:
            logger.warning("The database was not written anew: {}", type(error).__name__)
            return False
        finally:
            held.invalidate()  # with its own settings it is of no use to others
    return True


def connection_errors() -> type[Exception]:
    """What psycopg raises."""
    from psycopg import Error  # an installation with SQLite need not import it

    return Error


class _Pool(QueuePool):
    """Connections; who waits in vain for a free one is told in words."""

    def connect(self) -> PoolProxiedConnection:
        """See `sqlalchemy.pool.Pool`."""
        try:
            return super().connect()
        except PoolTimeoutError as error:
            raise StorageError("The database is busy", _LATER, code=DATABASE_CODE) from error


def _set(connection: Any, **values: int) -> None:
    for name, value in values.items():
        connection.execute(f"SET {name} = {value}")
    connection.commit()


def _check_encoding(connection: Any, record: Any) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StorageError(
            f"The database stores text as {encoding}, not as UTF8",
            "Create one with: CREATE DATABASE hippoview ENCODING 'UTF8' TEMPLATE template0.",
            code=DATABASE_CODE,
        )


def _replace_nul(connection: Any, record: Any) -> None:
    """Have each text stored, and looked for, as PostgreSQL can hold it."""
    from psycopg.types.string import StrDumper

    class Storable(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(storable(obj))

    connection.adapters.register_dumper(str, Storable)


def _make_reader(connection: Any, record: Any) -> None:
    from psycopg import IsolationLevel

    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def _begin_writing(connection: Connection) -> None:
    # Each statement after it sees what the writers before committed (READ COMMITTED).
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


_LATER = "Try again in a minute."
_UNREACHABLE = (
    "The database cannot be reached",
    f"Look whether PostgreSQL runs, and whether {variable_of('database_url')} names it; then try "
    "again.",
)
_DENIED = (
    "The database refuses this server's user",
    f"Correct user and password in {variable_of('database_url')}, or the server's pg_hba.conf.",
)
# By SQLSTATE, or by the first letters of several (postgresql.org/docs, "PostgreSQL Error Codes").
_STATES = {
    "53100": ("The disk of the database is full", "Make room on the disk of PostgreSQL, then try "
              "again."),
    "53300": ("The database has no connection free", "Raise its max_connections (20 for each "
              "process of HippoView), or try again in a minute."),
    "53": ("The database is out of memory or room", "Give PostgreSQL more, then try again."),
    "55P03": ("The database is busy", _LATER),
    "57014": ("The database is busy", _LATER),
    "40": ("The database is busy", _LATER),
    "25006": ("The database may not be written", "It is a standby, or set read-only: point "
              f"{variable_of('database_url')} to the primary."),
    "42501": ("The database's user has too few rights", "Make it the owner of its database."),
    "28": _DENIED,
    "3D000": ("There is no such database", f"Create the one that {variable_of('database_url')} "
              "names: CREATE DATABASE hippoview ENCODING 'UTF8' TEMPLATE template0."),
    "58": ("The disk of the database fails", "Look at the disk of PostgreSQL, then try again."),
    "XX001": ("The database is damaged", "Restore it from a backup."),
    "XX002": ("The database is damaged", "Restore it from a backup."),
    "57P": _UNREACHABLE,
    "08": _UNREACHABLE,
}  # fmt: skip
# Of a connection that was refused there is no SQLSTATE, only what the server says in its language.
_SAID = {
    "authentication failed": "28000", "no pg_hba.conf entry": "28000", "role \"": "28000",
    "no password supplied": "28000", "remaining connection slots": "53300",
    "too many clients": "53300", "too many connections": "53300", "database \"": "3D000",
}  # fmt: skip


def in_words(error: BaseException) -> StorageError | None:
    """What an error of psycopg means and what to do, if the database is to blame for it."""
    state = str(getattr(error, "sqlstate", None) or "")
    said = str(error)
    if not state:
        from psycopg import OperationalError

        if not isinstance(error, OperationalError):
            return None
        state = next((code for part, code in _SAID.items() if part in said), "08000")
    for length in (5, 3, 2):
        if state[:length] in _STATES:
            return StorageError(*_STATES[state[:length]], code=DATABASE_CODE)
    return None
