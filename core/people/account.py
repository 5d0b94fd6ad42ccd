"""One account: a person or a service."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, select

from core.errors import InputError, NotFoundError
from core.people.acting import Role
from core.people.roles import ROLES, groups_of
from core.state.tables import ACCOUNTS

# Of an account.
MOST_NAME_CHARS = 64


@dataclass(frozen=True)
class Account:
    """A person or a service.

    Attributes
    ----------
    id : str
    name : str
        What one signs in with, and what signs reviews and corrections.
    role : str
        One of `core.people.roles.ROLES`.
    groups : frozenset of str
        Whose cases a reader sees; what one adds is these groups'.
    has_password : bool
        A service has none, nor has somebody who was given a code and did not use it yet.
    is_active : bool
        Whether it may sign in.
    created_at : str
        ISO 8601, UTC.
    issuer : str
        The provider that this one signs in with; empty for an account of this server.
    """

    id: str
    name: str
    role: Role
    groups: frozenset[str]
    has_password: bool
    is_active: bool
    created_at: str
    issuer: str = ""


def sha256(token: str) -> str:
    """What is kept of a token or code: it is random, so that no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def checked_name(name: str) -> str:
    """A name as it is kept.

    Raises
    ------
    InputError
    """
    plain = " ".join(name.split())
    if not plain or len(plain) > MOST_NAME_CHARS or not plain.isprintable() or "," in plain:
        raise InputError(
            f"An account's name has 1 to {MOST_NAME_CHARS} printable characters, and no comma",
            "Type it as reviews shall be signed.",
            code="bad_name",
        )
    return plain


def checked_role(role: str) -> Role:
    """A word as a role.

    Raises
    ------
    InputError
    """
    for known in ROLES:
        if role == known:
            return known
    raise InputError("There is no such role", f"Choose {', '.join(ROLES)}.", code="bad_role")


def row_where(connection: Connection, condition: ColumnElement[bool]) -> Row[tuple[object, ...]]:
    """The row of the one account that a condition holds for.

    Raises
    ------
    NotFoundError
    """
    row = connection.execute(select(ACCOUNTS).where(condition)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such account", "See the People page.")
    return row


def account_of(row: Row[tuple[object, ...]]) -> Account:
    """The account of a row."""
    return Account(
        row.id, row.name, row.role, groups_of(row.groups), bool(row.password_hash),
        bool(row.is_active), row.created_at, row.issuer,
    )  # fmt: skip
