"""People who sign in with a provider: whose account it is, and what they may.

An account is its issuer and subject, which no two people share and none can choose: never a name,
which anybody may have, nor an address of e-mail, which may be given to somebody else. Role and
groups are the provider's, taken anew at each sign-in. Whether an account may sign in here is an
administrator's of HippoView.
"""

import secrets
import threading
import time
from collections.abc import Callable
from itertools import count

from loguru import logger
from sqlalchemy import Connection, Engine, Row, select

from core.errors import AccessError, ConflictError, ProviderError
from core.people.account import MOST_NAME_CHARS
from core.people.acting import Actor
from core.people.audit import record, record_alone, recording
from core.people.provider.begun import Try
from core.people.provider.provider import Identity, Provider
from core.people.provider.rights import Rights, rights_by_group, rights_of
from core.people.roles import groups_of, groups_text, name_key
from core.people.sign_ins import actor_of, begin_session
from core.people.tries import Tries, who_has
from core.settings import Settings
from core.state.database import timestamp
from core.state.tables import ACCOUNTS, SESSIONS

_ID_BYTES = 6
_AT_ONCE = 4


class ProviderSignIns:
    """Sign-ins with the provider of the settings.

    Parameters
    ----------
    engine
    provider
    by_group
        See `core.people.provider.rights.rights_by_group`.
    clock
        Seconds that only grow.
    on_change
        Called after accounts have changed: see `core.people.kept`.
    """

    def __init__(
        self, engine: Engine, provider: Provider, by_group: dict[str, Rights],
        clock: Callable[[], float] = time.monotonic, on_change: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._by_group = by_group
        self._on_change = on_change
        self.provider = provider
        self.tries = Tries(clock, threading.BoundedSemaphore(_AT_ONCE))

    @classmethod
    def of(
        cls, settings: Settings, engine: Engine, on_change: Callable[[], None]
    ) -> "ProviderSignIns":
        """Those of the settings.

        Raises
        ------
        SettingsError
            The groups cannot be meant as they are written.
        """
        by_group = rights_by_group(settings.oidc_groups)
        if any(rights == Rights("reader", frozenset()) for rights in by_group.values()):
            logger.warning(
                "HIPPOVIEW_OIDC_GROUPS has a reader without a group: such a reader sees no case"
            )
        return cls(engine, Provider(settings), by_group, on_change=on_change)

    def sign_in(
        self, code: str, begun: Try, redirect_uri: str, address: str = ""
    ) -> tuple[Actor, str]:
        """Sign in with the code that a browser has brought back from the provider.

        Returns
        -------
        tuple
            Who it is, and the token that the browser keeps.

        Raises
        ------
        AccessError
            The provider does not confirm it, none of the groups may do anything here, or the
            account was switched off.
        ConflictError
            There are no accounts yet: the first is an administrator's, with a password.
        ProviderError
        core.people.tries.TooManyTriesError
        """
        client = who_has(address)
        with self.tries.attempt(client, client) as forget:
            try:
                identity = self.provider.identity(code, begun, redirect_uri)
            except ProviderError:
                forget()  # nobody's fault here
                raise
            except AccessError:
                by, note = Actor("", "", "nobody", address=address), "not confirmed by the provider"
                record_alone(self._engine, "refused", note=note, by=by)
                raise
            signed_in = self._signed_in(identity, address)
            forget()
        return signed_in

    def _signed_in(self, identity: Identity, address: str) -> tuple[Actor, str]:
        rights = rights_of(identity.groups, self._by_group)
        if rights is None:
            with recording(self._engine) as connection:
                row = _row_of(connection, identity)
                if row is not None:  # what it was let in with before does not hold any more
                    ended = SESSIONS.delete().where(SESSIONS.c.account == row.id)
                    connection.execute(ended)
                by = Actor(row.id if row else "", identity.name, "nobody", address=address)
                record(connection, "refused", note="no group of the provider has a role", by=by)
            raise AccessError(
                f"{self.provider.name} knows you, but none of your groups there may use HippoView",
                "Ask whoever manages your groups, or an administrator of HippoView.",
                code="no_group",
            )
        token, is_changed = "", False
        with recording(self._engine) as connection:
            if connection.scalar(select(ACCOUNTS.c.id).limit(1)) is None:
                raise ConflictError(
                    "The first account is an administrator's, with a password",
                    "Make it first: python -m core people add NAME --role administrator",
                    code="first_account",
                )
            row = _row_of(connection, identity)
            if row is None or (row.is_active and not _has(row, rights)):
                row, is_changed = _brought_up_to_date(connection, row, identity, rights), True
            who = actor_of(row, address)
            if row.is_active:
                token = begin_session(connection, who)
                record(connection, "sign-in", note="with the provider", by=who)
            else:
                by = Actor(who.id, who.name, "nobody", address=address)
                record(connection, "refused", note="the account is switched off", by=by)
        if is_changed:
            self._on_change()
        if not token:
            raise AccessError(
                "Your account was switched off here", "Ask an administrator of HippoView.",
                code="switched_off",
            )  # fmt: skip
        return who, token


def _row_of(connection: Connection, identity: Identity) -> Row[tuple[object, ...]] | None:
    query = select(ACCOUNTS).where(
        ACCOUNTS.c.issuer == identity.issuer, ACCOUNTS.c.subject == identity.subject
    )
    return connection.execute(query).one_or_none()


def _has(row: Row[tuple[object, ...]], rights: Rights) -> bool:
    return (row.role, groups_of(row.groups)) == (rights.role, rights.groups)


def _brought_up_to_date(
    connection: Connection, row: Row[tuple[object, ...]] | None, identity: Identity, rights: Rights
) -> Row[tuple[object, ...]]:
    """Write an account as the provider has it now; the row as it then is."""
    values = {"role": rights.role, "groups": groups_text(rights.groups)}
    if row is None:
        account_id = secrets.token_hex(_ID_BYTES)
        name = _free_name(connection, identity.name)
        connection.execute(
            ACCOUNTS.insert().values(
                **values, id=account_id, name=name, name_key=name_key(name),
                issuer=identity.issuer, subject=identity.subject, created_at=timestamp(),
            )
        )  # fmt: skip
        note = f"added by the sign-in provider: {rights.role}"
    else:
        account_id = row.id
        connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.id == account_id).values(**values))
        note = f"changed by the sign-in provider: {rights.role}"
    words = f"{note} {' '.join(sorted(rights.groups))}".strip()
    record(connection, "people", f"account {account_id}", note=words)
    return connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == account_id)).one()


def _free_name(connection: Connection, shown: str) -> str:
    """The name that somebody's reviews are signed with: as the provider shows it, if nobody has it.

    It stays as it is at the first sign-in, so that nobody signs under another name later on.
    """
    # Lists of names have commas between them.
    plain = "".join(c if c.isprintable() and c != "," else " " for c in shown)
    wanted = " ".join(plain.split())[:MOST_NAME_CHARS].rstrip() or "Unnamed"
    for number in count(1):
        ending = f" ({number})" if number > 1 else ""
        name = wanted[: MOST_NAME_CHARS - len(ending)].rstrip() + ending
        taken = select(ACCOUNTS.c.id).where(ACCOUNTS.c.name_key == name_key(name))
        if connection.scalar(taken) is None:
            return name
    raise AssertionError("numbers end")  # pragma: no cover
