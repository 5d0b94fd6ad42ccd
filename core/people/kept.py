"""Accounts and tokens beside the cases in the storage: a server that lost its database has them.

The database says what holds. The file follows it within seconds, and is read where the database has
no account at all, as on Google Cloud after a restart. Passwords and tokens are in it as hashes.
Who has signed in is not: after such a restart everybody signs in again.
"""

import json
import threading
from contextlib import suppress
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine, Table, select

from core.errors import HippoViewError, NotFoundError, SettingsError, StorageError
from core.people.accounts import ADMINISTRATOR, Accounts
from core.people.audit import record, recording
from core.people.roles import ROLES
from core.settings import Settings, variable_of
from core.state.database import DATABASE_NAME, reading
from core.state.fields import check_columns, object_of
from core.state.storage import Storage
from core.state.tables import ACCOUNTS, TOKENS

KEY = "people/people.json"
_TABLES = (ACCOUNTS, TOKENS)


class KeptPeople:
    """The file of one installation."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._engine = engine
        self._storage = storage
        self._lock = threading.Lock()
        self._written = b""

    def take_in(self) -> int:
        """Take accounts and tokens into a database that has no account; returns how many accounts.

        Raises
        ------
        StorageError
            The storage cannot be read, or the file is damaged: who may do what is not known.
        """
        with reading(self._engine) as connection:
            if connection.scalar(select(ACCOUNTS.c.id).limit(1)):
                return 0
        try:
            content = self._storage.read(KEY)
        except NotFoundError:
            return 0
        try:
            rows = _rows_of(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                "The file of the accounts in the storage is damaged",
                f"Restore {KEY} from a backup, or remove it and add the accounts again.",
                code="storage_damaged",
            ) from error
        with recording(self._engine) as connection:
            record(connection, "import", note="accounts")
            for table in _TABLES:
                for row in rows[table.name]:
                    connection.execute(table.insert().values(**row))
        return len(rows[ACCOUNTS.name])

    def follow(self) -> None:
        """Write what has changed; a storage that fails is asked again at the next tick."""
        with suppress(HippoViewError):
            self.tick()

    def tick(self) -> None:
        """Write the file if the database differs from what was written.

        Raises
        ------
        StorageError
        """
        with self._lock:
            with reading(self._engine) as connection:
                content = _file_of(connection)
            if content in (self._written, b""):
                return
            self._storage.write(KEY, content)
            self._written = content
            logger.debug("The accounts were written to the storage")


def can_have_accounts(settings: Settings) -> bool:
    """Whether there may be accounts, or one will be made; told at a glance, before a start."""
    local = settings.data_dir / "storage" / KEY
    database = settings.data_dir / DATABASE_NAME
    return (
        bool(settings.admin_password or settings.storage) or database.is_file() or local.is_file()
    )


def people_at_start(settings: Settings, engine: Engine, kept: KeptPeople) -> Accounts:
    """The accounts, those of the storage or the first one made where there are none.

    Raises
    ------
    SettingsError
        There are none, and others than this machine could reach the server.
    StorageError
    """
    kept.take_in()
    accounts = Accounts(engine, kept.follow)
    password = settings.admin_password
    if password and accounts.add_from_environment(password):
        logger.info("The account {} was made", ADMINISTRATOR)
    if accounts.guard.is_open and settings.for_others:
        raise no_accounts(settings)
    return accounts


def no_accounts(settings: Settings) -> SettingsError:
    """Why a server that others than this machine can reach does not start."""
    reached = f"{variable_of('address')} is {settings.address!r}"
    if settings.on_loopback:
        names = f"{variable_of('hosts')} or {variable_of('trusted_proxies')}"
        reached = f"{names} is set, as for a proxy that others come through"
    return SettingsError(
        f"{reached}, and there are no accounts: beyond this machine anyone could see and change "
        "all cases",
        "Add an administrator (python -m core people add NAME --role administrator), or set "
        f"{variable_of('admin_password')}, which makes one; or listen on 127.0.0.1.",
    )


def _file_of(connection: Connection) -> bytes:
    """The content of the file; empty without accounts."""
    rows = {table.name: _dicts(connection, table) for table in _TABLES}
    return json.dumps(rows).encode() if rows[ACCOUNTS.name] else b""


def _dicts(connection: Connection, table: Table) -> list[dict[str, Any]]:
    query = select(table).order_by(table.c.id)
    return [dict(row._mapping) for row in connection.execute(query)]


def _rows_of(content: bytes) -> dict[str, list[dict[str, Any]]]:
    rows = object_of(content)
    for row in rows[ACCOUNTS.name]:
        # Files of before there were providers.
        row.setdefault("issuer", "")
        row.setdefault("subject", "")
    for table in _TABLES:
        for row in rows[table.name]:
            if set(row) != set(table.columns.keys()):
                raise KeyError("a column of an account")
            check_columns(row, table.columns)
            if row.get("role", ROLES[0]) not in ROLES:
                raise ValueError("a role that does not exist")
    return rows
