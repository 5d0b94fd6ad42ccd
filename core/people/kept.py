"""Accounts and tokens beside the cases in the storage: a server that lost its database has them.

The database says what holds. The file follows it within seconds, and is read where the database has
no account at all, as on Google Cloud after a restart, and for what another server on the bucket has
changed, such as the one that a new version replaces (`core.people.joining`). It is signed with the
trail's key. Passwords and tokens are in it as hashes. Who has signed in is not: after such a
restart everybody signs in again.
"""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loguru import logger
from sqlalchemy import Engine, select

from core.due import Due
from core.errors import ChangedError, HippoViewError, NotFoundError, SettingsError, StorageError
from core.people.accounts import ADMINISTRATOR, Accounts
from core.people.audit import record, recording, trail_of
from core.people.joining import TABLES, Row, Rows, joined, put, rows_of
from core.people.roles import ROLES
from core.settings import Settings, variable_of
from core.state.database import folder_of, has_database, reading
from core.state.failures import in_words
from core.state.fields import check_columns, object_of
from core.state.storage import Storage, write_whole
from core.state.tables import ACCOUNTS

KEY, BASE_NAME = "people/people.json", "people.known"
# Seconds until another server's change is seen here.
_LOOK_EVERY_S = 30.0


class KeptPeople:
    """The file of one installation; of two servers on one bucket each follows what the other did.

    Parameters
    ----------
    engine, storage
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, engine: Engine, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._due = Due(_LOOK_EVERY_S, clock)
        self._lock = threading.Lock()
        self._refused: bytes | None = None
        # The content that both the storage and this database had last. In the data folder, so
        # that a restart does not take what another server did meanwhile for something old.
        self._base_file = folder_of(engine) / BASE_NAME

    def take_in(self) -> int:
        """Take accounts and tokens into a database that has no account; returns how many accounts.

        Raises
        ------
        StorageError
            The storage cannot be read, or the file is damaged: who may do what is not known.
        """
        with self._lock:
            return self._take_in()

    def _take_in(self) -> int:
        with reading(self._engine) as connection:
            if connection.scalar(select(ACCOUNTS.c.id).limit(1)):
                return 0
        content = self._read()
        if content is None:
            return 0
        rows = _rows_of(content)
        with recording(self._engine) as connection:
            record(connection, "import", note="accounts")
            put(connection, rows_of(connection), rows)
        self._know(_Kept(rows, _number_in(object_of(content))))
        return len(rows[ACCOUNTS.name])

    def follow(self) -> None:
        """Write what has changed; a storage that fails is asked again at the next tick."""
        with suppress(HippoViewError):
            self.tick()

    def tick(self) -> None:
        """Write the file if the database differs from it, and take in what another server did.

        Raises
        ------
        StorageError
        """
        with self._lock:
            base = self._base()
            with reading(self._engine) as connection:
                ours = rows_of(connection)
            is_changed = bool(ours[ACCOUNTS.name]) and ours != base.rows
            if not (is_changed or self._due.is_now()):
                return
            content = self._read()
            theirs = self._counting(content, base, ours)
            if theirs is None and content is not None and not is_changed:
                return
            if theirs is not None and theirs.rows not in (base.rows, ours):
                ours = self._join(base.rows, theirs.rows)
            if not ours[ACCOUNTS.name]:
                return
            number = max(base.number, theirs.number if theirs else 0)
            if theirs is None or ours != theirs.rows:
                number += 1
                try:
                    self._storage.replace(KEY, self._file_of(_Kept(ours, number)), content)
                except ChangedError:  # another server was faster: the next tick reads what it wrote
                    return
                logger.debug("The accounts were written to the storage")
            if _Kept(ours, number) != base:
                self._know(_Kept(ours, number))

    def _join(self, base: Rows, theirs: Rows) -> dict[str, list[Row]]:
        """Take in what another server has changed."""
        with recording(self._engine, needed=False) as connection:
            ours = rows_of(connection)  # whoever changes something now waits for this
            if not base[ACCOUNTS.name] and ours[ACCOUNTS.name]:
                base = theirs  # as after an update: what is here holds
            rows = joined(base, ours, theirs)
            if rows != ours:
                put(connection, ours, rows)
                record(connection, "import", note="accounts, of another server")
                logger.info("Accounts were changed by another server on this storage")
        return rows

    def _counting(self, content: bytes | None, base: "_Kept", ours: Rows) -> "_Kept | None":
        """What the storage's file holds, if a server with this installation's key wrote it since.

        Who can write to the bucket alone makes nobody an administrator of a server that runs, nor
        brings an account back by an earlier file.
        """
        if content is None:
            return None
        try:
            held = object_of(content)
            kept = _Kept(_rows_of(content), _number_in(held))
            signature = str(held.get("signature", ""))
        except (StorageError, ValueError):
            kept, signature = _Kept(_NONE, 0), ""
        is_signed = hmac.compare_digest(signature.encode(), self._signature(kept).encode())
        if (is_signed and kept.number > base.number) or kept.rows in (ours, base.rows):
            return kept
        if content != self._refused:
            logger.warning(
                "{} in the storage is damaged, an earlier one, or another installation's: it "
                "counts for nothing here. Servers that share a bucket need one {}",
                KEY, variable_of("audit_key"),
            )  # fmt: skip
        self._refused = content
        return None

    def _signature(self, kept: "_Kept") -> str:
        told = json.dumps([kept.number, *(kept.rows[table.name] for table in TABLES)]).encode()
        key = trail_of(self._engine).derived("people")
        return hmac.digest(key, told, hashlib.sha256).hex()

    def _file_of(self, kept: "_Kept") -> bytes:
        told = {table.name: kept.rows[table.name] for table in TABLES}
        return json.dumps(
            {**told, "number": kept.number, "signature": self._signature(kept)}
        ).encode()

    def _read(self) -> bytes | None:
        try:
            return self._storage.read(KEY)
        except NotFoundError:
            return None

    def _base(self) -> "_Kept":
        with in_words():
            content = self._base_file.read_bytes() if self._base_file.is_file() else b"{}"
        try:
            return _Kept(_rows_of(content), _number_in(object_of(content)))
        except (StorageError, ValueError):
            return _Kept(_NONE, 0)

    def _know(self, kept: "_Kept") -> None:
        with in_words():
            write_whole(self._base_file, self._file_of(kept), 0o600)


@dataclass(frozen=True)
class _Kept:
    """Rows by the table's name, and the number of the file: each that is written has the next."""

    rows: dict[str, list[Row]]
    number: int


_NONE: dict[str, list[Row]] = {table.name: [] for table in TABLES}


def _number_in(held: dict[str, Any]) -> int:
    number = held.get("number", 0)
    return number if isinstance(number, int) else 0


def can_have_accounts(settings: Settings) -> bool:
    """Whether there may be accounts, or one will be made; told at a glance, before a start."""
    local = settings.data_dir / "storage" / KEY
    return (
        bool(settings.admin_password or settings.storage)
        or has_database(settings)
        or local.is_file()
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


def _rows_of(content: bytes) -> dict[str, list[dict[str, Any]]]:
    """The rows in a file.

    Raises
    ------
    StorageError
        It is damaged.
    """
    try:
        rows = object_of(content)
        for row in rows[ACCOUNTS.name]:
            # Files of before there were providers.
            row.setdefault("issuer", "")
            row.setdefault("subject", "")
        for table in TABLES:
            for row in rows[table.name]:
                if set(row) != set(table.columns.keys()):
                    raise KeyError("a column of an account")
                check_columns(row, table.columns)
                if row.get("role", ROLES[0]) not in ROLES:
                    raise ValueError("a role that does not exist")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            "The file of the accounts in the storage is damaged",
            f"Restore {KEY} from a backup, or remove it and add the accounts again.",
            code="storage_damaged",
        ) from error
    return rows
