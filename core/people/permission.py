"""Whether whoever acts may do something: asked where it is done, at the object."""

from typing import Any

from sqlalchemy import Column, ColumnElement, Engine, false, or_, select, true

from core.errors import AccessError, ForbiddenError
from core.people.acting import Actor, actor
from core.people.refusals import refusals_of
from core.people.roles import ACTS, Act, groups_of, groups_text
from core.state.database import reading
from core.state.tables import ACCOUNTS


class Guard:
    """What whoever acts may do in the installation of a database.

    Without accounts everybody may do all: such a server listens on its own machine alone.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether there are no accounts."""
        if not self._is_closed:  # the last administrator cannot go, so that it stays closed
            with reading(self.engine) as connection:
                first = connection.scalar(select(ACCOUNTS.c.id).limit(1))
            self._is_closed = first is not None
        return not self._is_closed

    def may(self, act: Act) -> bool:
        """Whether whoever acts may do this; of cases, at least with some."""
        who = actor()
        _, roles, scope = ACTS[act]
        if who.role == "server" or who.role in roles:
            return True
        if who.role == "service":
            return scope in who.scopes
        return who.role == "nobody" and self.is_open

    def require(self, act: Act) -> Actor:
        """Who acts, if that one may do this.

        Raises
        ------
        AccessError
            Nobody has signed in.
        ForbiddenError
            The role, or the token's scopes, do not have it.
        """
        who = actor()
        if self.may(act):
            return who
        words = ACTS[act][0]
        self.refused(act)
        if who.role == "nobody":
            raise AccessError(
                f"Only who has signed in may {words}",
                "Sign in on /sign-in, or send a token: curl -H 'Authorization: Bearer TOKEN' ...",
            )
        if who.role == "service":
            raise ForbiddenError(
                f"This token may not {words}", "Ask an administrator for one that may."
            )
        raise ForbiddenError(f"The role {who.role} may not {words}", "Ask an administrator.")

    def refused(self, act: Act) -> None:
        """Note in the trail that whoever has signed in was refused an act."""
        if actor().role != "nobody":  # the door refuses strangers, and none of them is somebody
            refusals_of(self.engine).note(f"may not {ACTS[act][0]}")

    def sees(self, owners: str, case_id: str) -> bool:
        """Whether whoever acts sees a case that these groups see; `require` was asked before.

        That somebody asked for another group's case is noted in the trail. They are told that it
        does not exist.
        """
        who = actor()
        is_seen = who.role != "reader" or bool(who.groups & groups_of(owners))
        if not is_seen:
            refusals_of(self.engine).note("a case of another group", case_id=case_id)
        return is_seen

    def seen(self, owners: Column[Any]) -> ColumnElement[bool]:
        """`sees`, for a query over the column of the groups."""
        who = actor()
        if who.role != "reader":
            return true()
        names = [groups_text([name]) for name in sorted(who.groups)]
        return or_(false(), *(owners.contains(name, autoescape=True) for name in names))

    def signature(self, typed: str) -> str:
        """What signs a review or a mask: who it is, where that is known, else what was typed."""
        who = actor()
        return typed if who.role in ("nobody", "server") else who.name
