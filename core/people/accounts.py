"""The accounts of people and services: names, roles, groups, passwords, and codes for new ones."""

import secrets
from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Connection, Engine, func, select

from core.errors import AccessError, ConflictError, InputError
from core.people import limits
from core.people.account import (
    Account,
    account_of,
    checked_name,
    checked_role,
    row_where,
    sha256,
)
from core.people.acting import actor
from core.people.audit import record, recording
from core.people.passwords import check_new, hash_of
from core.people.permission import Guard
from core.people.roles import groups_of, groups_text, name_key
from core.state.database import reading, timestamp
from core.state.tables import ACCOUNTS, CODES, SESSIONS, TOKENS

# The account that HIPPOVIEW_ADMIN_PASSWORD makes.
ADMINISTRATOR: Final = "administrator"
_CODE_BYTES, _ID_BYTES = 18, 6
_HINT = "Ask an administrator for a new one."
_FIRST_HINT = "It stands in the server's log; each start of the server writes another."


class Accounts:
    """The accounts of one installation.

    Parameters
    ----------
    engine
    on_change
        Called after each change: see `core.people.kept`.
    """

    def __init__(self, engine: Engine, on_change: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._on_change = on_change
        self.guard = Guard(engine)

    def find(self) -> list[Account]:
        """All accounts, by name.

        Raises
        ------
        AccessError, ForbiddenError
        """
        self.guard.require("people")
        with reading(self._engine) as connection:
            rows = connection.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.name_key)).all()
        return [account_of(row) for row in rows]

    def named(self, name: str) -> Account:
        """The account of a name, however its letters are written.

        Raises
        ------
        NotFoundError
        """
        self.guard.require("people")
        with reading(self._engine) as connection:
            return account_of(row_where(connection, ACCOUNTS.c.name_key == name_key(name.strip())))

    def groups(self) -> list[str]:
        """The groups that any account is in."""
        with reading(self._engine) as connection:
            texts = connection.scalars(select(ACCOUNTS.c.groups)).all()
        return sorted({group for text in texts for group in groups_of(text)})

    def has_password(self, account_id: str) -> bool:
        """Whether an account signs in with a password of this server."""
        query = select(ACCOUNTS.c.password_hash).where(ACCOUNTS.c.id == account_id)
        with reading(self._engine) as connection:
            return bool(connection.scalar(query))

    def add(
        self, name: str, role: str, groups: Iterable[str] = (), password: str | None = None
    ) -> Account:
        """Add an account; without a password it needs a code, or, of a service, a token.

        Raises
        ------
        ConflictError
            The name is taken, or this would be the first account and is no administrator's.
        InputError
        AccessError, ForbiddenError
        """
        self.guard.require("people")
        return self._add(name, role, groups, password)

    def _add(
        self, name: str, role: str, groups: Iterable[str], password: str | None, code: str = ""
    ) -> Account:
        name, kind, owned = checked_name(name), checked_role(role), groups_text(groups)
        if password is not None:
            if kind == "service":
                raise InputError(
                    "A service has no password", "Give it a token.", code="bad_password"
                )
            check_new(password, name)
        kept = "" if password is None else hash_of(password)
        values = {
            "id": secrets.token_hex(_ID_BYTES), "name": name, "name_key": name_key(name),
            "role": kind, "groups": owned, "password_hash": kept, "created_at": timestamp(),
        }  # fmt: skip
        with recording(self._engine) as connection:
            if code and not self._uses(connection, code, None):
                raise _bad_code()
            taken = select(ACCOUNTS.c.id).where(ACCOUNTS.c.name_key == values["name_key"])
            if connection.scalar(taken):
                raise ConflictError("The name is taken", "Choose another.", code="name_taken")
            is_first = connection.scalar(select(func.count()).select_from(ACCOUNTS)) == 0
            if is_first and (kind != "administrator" or not kept):
                raise ConflictError(
                    "The first account is an administrator's, with a password",
                    "Add it first: python -m core people add NAME --role administrator",
                    code="first_account",
                )
            connection.execute(ACCOUNTS.insert().values(**values))
            if is_first:  # the code for it has done its part
                connection.execute(CODES.delete().where(CODES.c.account.is_(None)))
            record(connection, "people", f"account {values['id']}", note=f"added: {kind}")
            added = account_of(row_where(connection, ACCOUNTS.c.id == values["id"]))
        self._on_change()
        return added

    def change(
        self, account_id: str, *, role: str | None = None, groups: Iterable[str] | None = None,
        is_active: bool | None = None,
    ) -> Account:  # fmt: skip
        """Change an account; what it may do changes at once, also where it is signed in.

        Raises
        ------
        ConflictError
            No administrator would be left, a person would become a service or the reverse, or
            a provider says role and groups.
        InputError, NotFoundError, AccessError, ForbiddenError
        """
        self.guard.require("people")
        with recording(self._engine) as connection:
            before = account_of(row_where(connection, ACCOUNTS.c.id == account_id))
            values: dict[str, object] = {}
            if before.issuer and (role, groups) != (None, None):
                raise ConflictError(
                    "Role and groups of this account come from the sign-in provider",
                    "Change the groups there; they hold from the next sign-in on.",
                    code="provided",
                )
            if role is not None:
                values["role"] = kind = checked_role(role)
                if (kind == "service") != (before.role == "service"):
                    raise ConflictError(
                        "A person does not become a service, nor the reverse",
                        "Add another account.",
                        code="other_kind",
                    )
            if groups is not None:
                values["groups"] = groups_text(groups)
            if is_active is not None:
                values["is_active"] = int(is_active)
            if values:
                connection.execute(
                    ACCOUNTS.update().where(ACCOUNTS.c.id == account_id).values(**values)
                )
            if is_active is False:
                connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account_id))
                connection.execute(TOKENS.delete().where(TOKENS.c.account == account_id))
                connection.execute(CODES.delete().where(CODES.c.account == account_id))
            _check_administrator_left(connection)
            changed = ", ".join(values) or "nothing"
            record(connection, "people", f"account {account_id}", note=f"changed: {changed}")
            after = account_of(row_where(connection, ACCOUNTS.c.id == account_id))
        self._on_change()
        return after

    def new_code(self, account_id: str) -> str:
        """A code with which a person chooses a password, once; the old password ends at once.

        Returns
        -------
        str
            It is kept as a hash alone, for `limits.CODE_HOURS`.

        Raises
        ------
        ConflictError
            It is a service's account, a provider's, or one that is switched off; or no
            administrator would have a password until it is used.
        NotFoundError, AccessError, ForbiddenError
        """
        self.guard.require("people")
        code = secrets.token_urlsafe(_CODE_BYTES)
        with recording(self._engine) as connection:
            account = account_of(row_where(connection, ACCOUNTS.c.id == account_id))
            if account.role == "service" or account.issuer or not account.is_active:
                raise ConflictError(
                    "This account has no password",
                    "Give a service a token; who comes by a sign-in provider has a password there.",
                    code="no_password",
                )
            if account.id != actor().id:  # else one could lock oneself out
                connection.execute(
                    ACCOUNTS.update().where(ACCOUNTS.c.id == account_id).values(password_hash="")
                )
                connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account_id))
                if actor().role != "server":  # whose command line lets somebody in again
                    _check_administrator_left(connection)
            connection.execute(CODES.delete().where(CODES.c.account == account_id))
            _keep_code(connection, code, account_id, limits.CODE_HOURS)
            record(connection, "people", f"account {account_id}", note="a code for a password")
        self._on_change()
        return code

    def first_code(self) -> str | None:
        """A code for the first administrator, in place of an earlier one; None with accounts."""
        if not self.guard.is_open:
            return None
        code = secrets.token_urlsafe(_CODE_BYTES)
        with recording(self._engine) as connection:
            connection.execute(CODES.delete().where(CODES.c.account.is_(None)))
            _keep_code(connection, code, None, limits.CODE_HOURS)
            record(connection, "people", note="a code for the first administrator")
        return code

    def add_first(self, code: str, name: str, password: str) -> Account:
        """Make the first administrator, with the code that the start has printed.

        Raises
        ------
        AccessError
            The code is another, or there are accounts.
        InputError
        """
        with reading(self._engine) as connection:
            if not self._knows(connection, code, None):
                raise _bad_code(_FIRST_HINT if self.guard.is_open else _HINT)
        return self._add(name, "administrator", (), password, code)

    def add_from_environment(self, password: str) -> bool:
        """Make `ADMINISTRATOR` if there is no account at all; returns whether it was made.

        The password may be shorter than others: a deployment has it from its own secrets.
        """
        if not self.guard.is_open:
            return False
        values = {
            "id": secrets.token_hex(_ID_BYTES), "name": ADMINISTRATOR,
            "name_key": name_key(ADMINISTRATOR), "role": "administrator", "groups": "",
            "password_hash": hash_of(password), "created_at": timestamp(),
        }  # fmt: skip
        with recording(self._engine, needed=False) as connection:
            if connection.scalar(select(ACCOUNTS.c.id).limit(1)):
                return False
            connection.execute(ACCOUNTS.insert().values(**values))
            connection.execute(CODES.delete().where(CODES.c.account.is_(None)))
            record(connection, "people", f"account {values['id']}", note="added by the settings")
        self._on_change()
        return True

    def choose_password(self, name: str, code: str, password: str) -> None:
        """Choose a password with a code; all sign-ins of the account end.

        Raises
        ------
        AccessError
            The code is not this account's, or was used.
        InputError
        """
        with reading(self._engine) as connection:
            row = connection.execute(
                select(ACCOUNTS).where(ACCOUNTS.c.name_key == name_key(name.strip()))
            ).one_or_none()
            if row is None or not self._knows(connection, code, row.id):
                raise _bad_code()
        check_new(password, row.name)
        kept = hash_of(password)
        with recording(self._engine) as connection:
            if not self._uses(connection, code, row.id):
                raise _bad_code()
            set_hash(connection, row.id, kept)
            record(connection, "people", f"account {row.id}", note="password by a code")
        self._on_change()

    def change_password(self, account_id: str, password: str) -> None:
        """Give whoever acts a new password; the old one was checked. All sign-ins end.

        Raises
        ------
        ForbiddenError
            It is somebody else's account.
        InputError, NotFoundError
        """
        if actor().id != account_id:
            self.guard.require("people")
        with reading(self._engine) as connection:
            name = row_where(connection, ACCOUNTS.c.id == account_id).name
        check_new(password, name)
        kept = hash_of(password)
        with recording(self._engine) as connection:
            set_hash(connection, account_id, kept)
            record(connection, "people", f"account {account_id}", note="password")
        self._on_change()

    @staticmethod
    def _knows(connection: Connection, code: str, account_id: str | None) -> bool:
        query = select(CODES.c.expires_at).where(
            CODES.c.code_sha256 == sha256(code),
            CODES.c.account.is_(None) if account_id is None else CODES.c.account == account_id,
            CODES.c.expires_at > timestamp(),
        )
        return connection.scalar(query) is not None

    def _uses(self, connection: Connection, code: str, account_id: str | None) -> bool:
        """Whether a code is known; it is used up by this."""
        if not self._knows(connection, code, account_id):
            return False
        connection.execute(CODES.delete().where(CODES.c.code_sha256 == sha256(code)))
        return True


def set_hash(connection: Connection, account_id: str, kept: str) -> None:
    """Write down a new password's hash, and end what the old one has opened."""
    update = ACCOUNTS.update().where(ACCOUNTS.c.id == account_id)
    connection.execute(update.values(password_hash=kept))
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account_id))
    connection.execute(CODES.delete().where(CODES.c.account == account_id))


def _keep_code(connection: Connection, code: str, account_id: str | None, hours: int) -> None:
    connection.execute(CODES.delete().where(CODES.c.expires_at < timestamp()))
    connection.execute(
        CODES.insert().values(
            code_sha256=sha256(code), account=account_id, expires_at=timestamp(3600 * hours)
        )
    )


def _check_administrator_left(connection: Connection) -> None:
    query = select(ACCOUNTS.c.id).where(
        ACCOUNTS.c.role == "administrator", ACCOUNTS.c.is_active == 1,
        ACCOUNTS.c.password_hash != "",
    )  # fmt: skip
    if connection.scalar(query.limit(1)) is None:
        raise ConflictError(
            "No administrator would be left who can sign in",
            "Make somebody else an administrator first.",
            code="last_administrator",
        )


def _bad_code(hint: str = _HINT) -> AccessError:
    return AccessError(
        "The code is not known: it was used, has ended, or is another's",
        hint,
        code="bad_code",
    )
