"""Signing in: passwords checked, sessions of browsers, tokens of services.

Only those who guess passwords have to wait: wrong ones are counted by address and account, or by
browser if that account has signed in in it before. So behind a proxy, where everybody has one
address, one's own browser can still sign in while someone guesses.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, Engine, Row, select

from core.errors import AccessError, ConflictError, InputError, NotFoundError
from core.people import limits
from core.people.account import sha256
from core.people.acting import Actor, acting_as, actor
from core.people.audit import record, recording
from core.people.passwords import matches
from core.people.permission import Guard
from core.people.refusals import refusals_of
from core.people.roles import SCOPES, groups_of, name_key
from core.people.tries import TooManyTriesError, Tries, who_has
from core.state.database import reading, timestamp
from core.state.tables import ACCOUNTS, SESSIONS, TOKENS

__all__ = ["Session", "SignIns", "Token", "TooManyTriesError"]

# Says what a leaked token is: scanners of code look for such beginnings.
TOKEN_PREFIX = "hv_"  # noqa: S105 - no password
_TOKEN_BYTES, _ID_BYTES = 32, 6
_MOST_LABEL_CHARS = 64


@dataclass(frozen=True)
class Session:
    """A sign-in of a browser; ``id`` names it and opens nothing."""

    id: str
    account: str
    name: str
    began_at: str
    seen_at: str
    address: str


@dataclass(frozen=True)
class Token:
    """A service's token, as a list shows it."""

    id: str
    account: str
    name: str
    label: str
    scopes: frozenset[str]
    created_at: str
    expires_at: str


class SignIns:
    """Who has signed in.

    Parameters
    ----------
    engine
    clock
        Seconds that only grow.
    on_change
        Called after tokens have changed: see `core.people.kept`.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._guard = Guard(engine)
        self._on_change = on_change
        self.tries = Tries(clock)

    def check(self, name: str, password: str, address: str = "", browser: str = "") -> Actor:
        """Check a password.

        Parameters
        ----------
        address
            The client's, as the server sees it.
        browser
            The name that `name_browser` gave to this browser, if any.

        Raises
        ------
        AccessError
            Name or password is wrong: it is not said which.
        TooManyTriesError
            Too many were wrong within a minute; this one was not checked.
        """
        return actor_of(self._checked(name, password, address, browser), address)

    def _checked(
        self, name: str, password: str, address: str, browser: str
    ) -> Row[tuple[object, ...]]:
        """The account's row; see `check`."""
        key = name_key(name.strip())
        with reading(self._engine) as connection:
            query = select(ACCOUNTS).where(ACCOUNTS.c.name_key == key, ACCOUNTS.c.is_active == 1)
            row = connection.execute(query).one_or_none()
        kept = row.password_hash if row else ""
        is_known = bool(kept) and _has_named(browser, kept)
        who = f"browser {browser}" if is_known else who_has(address)
        with self.tries.attempt(who, key, is_known=is_known) as forget:
            is_right = matches(kept, password[: limits.LONGEST_PASSWORD_CHARS + 1])
            if row is None or not is_right:
                # Not what was typed: it may be a password in the wrong field.
                by = Actor(row.id if row else "", "", "nobody", address=address)
                refusals_of(self._engine).note("wrong name or password", by=by)
                raise _wrong()
            forget()
        return row

    def sign_in(
        self, name: str, password: str, address: str = "", browser: str = ""
    ) -> tuple[Actor, str, str]:
        """Sign in; see `check`.

        Returns
        -------
        tuple
            Who it is, the token that the browser keeps, and the browser's name for `check`.

        Raises
        ------
        AccessError, TooManyTriesError
        """
        row = self._checked(name, password, address, browser)
        who, kept = actor_of(row, address), str(row.password_hash)
        is_same = (ACCOUNTS.c.id == who.id) & (ACCOUNTS.c.password_hash == kept)
        with recording(self._engine) as connection:
            if connection.scalar(select(ACCOUNTS.c.is_active).where(is_same)) != 1:
                raise _wrong()  # a new password, or switched off, while this one was hashed
            token = begin_session(connection, who)
            record(connection, "sign-in", by=who)
        return who, token, _name_browser(kept)

    def who_has(self, token: str, address: str = "") -> tuple[Actor | None, bool]:
        """Who a browser's token was given to, if that sign-in goes on.

        Returns
        -------
        tuple
            The actor or None, and whether `touch` is due.
        """
        if not token:
            return None, False
        query = (
            select(ACCOUNTS, SESSIONS.c.seen_at)
            .join(SESSIONS, SESSIONS.c.account == ACCOUNTS.c.id)
            .where(SESSIONS.c.token_sha256 == sha256(token), ~_is_over(), ACCOUNTS.c.is_active == 1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None, False
        return actor_of(row, address), row.seen_at < timestamp(-limits.SESSION_SEEN_S)

    def as_of_now(self, who: Actor) -> Actor:
        """Somebody who began something earlier, with the role and the groups that they have now.

        Raises
        ------
        AccessError
            The account was switched off.
        """
        if who.role in ("nobody", "server"):
            return who
        query = select(ACCOUNTS).where(ACCOUNTS.c.id == who.id, ACCOUNTS.c.is_active == 1)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise AccessError(
                "Your account was switched off meanwhile", "Ask an administrator.", code="off"
            )
        return replace(who, role=row.role, groups=groups_of(row.groups))

    @contextmanager
    def as_now(self) -> Iterator[Actor]:
        """Run the block with the role and groups that whoever acts has now; for after long work."""
        with acting_as(self.as_of_now(actor())) as who:
            yield who

    def touch(self, token: str) -> None:
        """Write down that a sign-in was used just now."""
        update = SESSIONS.update().where(SESSIONS.c.token_sha256 == sha256(token))
        with self._engine.begin() as connection:
            connection.execute(update.where(~_is_over()).values(seen_at=timestamp()))

    def sign_out(self, token: str) -> None:
        """End a sign-in."""
        mine = SESSIONS.c.token_sha256 == sha256(token)
        with recording(self._engine, needed=False) as connection:
            account = connection.scalar(select(SESSIONS.c.account).where(mine))
            if connection.execute(SESSIONS.delete().where(mine)).rowcount:
                record(connection, "sign-out", f"account {account}")

    def sessions(self) -> list[Session]:
        """Who is signed in now, the latest first; of somebody without *people* their own.

        Raises
        ------
        AccessError
        """
        query = (
            select(SESSIONS, ACCOUNTS.c.name)
            .join(ACCOUNTS, SESSIONS.c.account == ACCOUNTS.c.id)
            .where(~_is_over())
            .order_by(SESSIONS.c.began_at.desc())
        )
        if not self._guard.may("people"):
            query = query.where(SESSIONS.c.account == actor().id)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [
            Session(_id_of(r.token_sha256), r.account, r.name, r.began_at, r.seen_at, r.address)
            for r in rows
        ]

    def end(self, account_id: str, session_id: str = "") -> int:
        """End the sign-ins of an account, or one of them; returns how many.

        Raises
        ------
        AccessError, ForbiddenError
            It is somebody else's account.
        """
        if actor().id != account_id:
            self._guard.require("people")
        query = SESSIONS.delete().where(SESSIONS.c.account == account_id)
        if session_id:
            query = query.where(SESSIONS.c.token_sha256.startswith(session_id, autoescape=True))
        with recording(self._engine) as connection:
            ended = connection.execute(query).rowcount
            words = f"sign-ins ended: {ended}"
            record(connection, "people", f"account {account_id}", note=words)
        return ended

    def tokens(self) -> list[Token]:
        """The tokens of all services, those that have ended too.

        Raises
        ------
        AccessError, ForbiddenError
        """
        self._guard.require("people")
        query = select(TOKENS, ACCOUNTS.c.name).join(ACCOUNTS, TOKENS.c.account == ACCOUNTS.c.id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(TOKENS.c.created_at.desc())).all()
        return [
            Token(r.id, r.account, r.name, r.label, groups_of(r.scopes), r.created_at, r.expires_at)
            for r in rows
        ]

    def new_token(self, account_id: str, scopes: Iterable[str], days: int, label: str = "") -> str:
        """A token for a service.

        Parameters
        ----------
        scopes
            Of `core.people.roles.SCOPES`.
        days
            For how long, 1 to `limits.TOKEN_DAYS`.

        Returns
        -------
        str
            It is kept as a hash alone: nobody sees it again.

        Raises
        ------
        ConflictError
            The account is no service's, or switched off.
        InputError, NotFoundError, AccessError, ForbiddenError
        """
        self._guard.require("people")
        asked = sorted(set(scopes))
        if not asked or not set(asked) <= set(SCOPES):
            raise InputError(
                "A token needs a scope", f"Choose of {', '.join(SCOPES)}.", code="bad_scope"
            )
        if not 1 <= days <= limits.TOKEN_DAYS:
            raise InputError(
                f"A token lasts 1 to {limits.TOKEN_DAYS} days", "Type fewer.", code="bad_days"
            )
        token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        values = {
            "id": secrets.token_hex(_ID_BYTES), "token_sha256": sha256(token),
            "account": account_id, "label": " ".join(label.split())[:_MOST_LABEL_CHARS],
            "scopes": " ".join(asked), "created_at": timestamp(),
            "expires_at": timestamp(24 * 3600 * days),
        }  # fmt: skip
        with recording(self._engine) as connection:
            row = connection.execute(
                select(ACCOUNTS.c.role, ACCOUNTS.c.is_active).where(ACCOUNTS.c.id == account_id)
            ).one_or_none()
            if row is None:
                raise NotFoundError("There is no such account", "See the People page.")
            if row.role != "service" or not row.is_active:
                raise ConflictError(
                    "Only a service has tokens", "Add an account with this role.", code="no_service"
                )
            connection.execute(TOKENS.insert().values(**values))
            words = f"a token for {account_id}: {values['scopes']}"
            record(connection, "people", f"token {values['id']}", note=words)
        self._on_change()
        return token

    def revoke(self, token_id: str) -> None:
        """End a token at once.

        Raises
        ------
        NotFoundError, AccessError, ForbiddenError
        """
        self._guard.require("people")
        with recording(self._engine, needed=False) as connection:
            done = connection.execute(TOKENS.delete().where(TOKENS.c.id == token_id))
            if done.rowcount:
                record(connection, "people", f"token {token_id}", note="revoked")
        if not done.rowcount:
            raise NotFoundError("There is no such token", "See the People page.")
        self._on_change()

    def who_bears(self, token: str, address: str = "") -> Actor | None:
        """The service of a token that has not ended, with the token's scopes; None for another."""
        if not token.startswith(TOKEN_PREFIX):
            return None
        query = (
            select(ACCOUNTS, TOKENS.c.scopes)
            .join(TOKENS, TOKENS.c.account == ACCOUNTS.c.id)
            .where(
                TOKENS.c.token_sha256 == sha256(token), TOKENS.c.expires_at > timestamp(),
                ACCOUNTS.c.is_active == 1,
            )
        )  # fmt: skip
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return (
            None if row is None else replace(actor_of(row, address), scopes=groups_of(row.scopes))
        )


def _wrong() -> AccessError:
    return AccessError("Name or password is wrong", "Try again.", code="wrong_password")


def begin_session(connection: Connection, who: Actor) -> str:
    """Begin a sign-in of somebody who was checked; the token that the browser keeps."""
    token, now = secrets.token_urlsafe(_TOKEN_BYTES), timestamp()
    connection.execute(SESSIONS.delete().where(_is_over()))
    connection.execute(
        SESSIONS.insert().values(
            token_sha256=sha256(token), account=who.id, began_at=now, seen_at=now,
            expires_at=timestamp(3600 * limits.SESSION_HOURS), address=who.address,
        )
    )  # fmt: skip
    return token


def actor_of(row: Row[tuple[object, ...]], address: str) -> Actor:
    """Somebody with an account's row, at an address."""
    return Actor(row.id, row.name, row.role, groups_of(row.groups), address=address)


def _is_over() -> ColumnElement[bool]:
    idle = SESSIONS.c.seen_at < timestamp(-60 * limits.SESSION_IDLE_MIN)
    return (SESSIONS.c.expires_at <= timestamp()) | idle


def _id_of(token_sha256: str) -> str:
    return token_sha256[:16]


def _name_browser(kept: str) -> str:
    """A signed name for a browser in which an account has signed in; others cannot forge it."""
    name = secrets.token_urlsafe(_TOKEN_BYTES)
    return f"{name}.{_signature(name, kept)}"


def _has_named(browser: str, kept: str) -> bool:
    name, _, signature = browser.rpartition(".")
    return bool(name) and hmac.compare_digest(signature.encode(), _signature(name, kept).encode())


def _signature(name: str, kept: str) -> str:
    # Another password makes every browser unknown.
    return hmac.new(kept.encode(), name.encode(), "sha256").hexdigest()
