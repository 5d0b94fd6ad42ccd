"""Who acts: said once at the door where somebody comes in, and asked where something is done.

The doors are the HTTP middleware, the script of a page, the command line, and the server's own
background work. A thread begins without an actor: who starts one for somebody hands the actor on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "NOBODY",
    "SERVER",
    "Actor",
    "Role",
    "acting_as",
    "actor",
    "ask_where_unsaid",
    "go_on_as",
]

# ``nobody`` has not signed in: where no accounts exist on a local address, that is everybody, and
# may do all. ``server`` is the server itself and whoever has its command line.
Role = Literal["nobody", "reader", "reviewer", "administrator", "service", "server"]


@dataclass(frozen=True)
class Actor:
    """Somebody, or the server itself, who does something.

    Parameters
    ----------
    id
        The account's id, which stays where the name is given to somebody else; ``nobody`` and
        ``server`` for those without an account.
    name
        What reviews and corrections are signed with.
    role
    groups
        Whose cases and patients a reader sees.
    scopes
        What a service's token may be used for.
    address
        Where a request comes from, as the server sees it; empty for what comes from no network.
    """

    id: str
    name: str
    role: Role
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    address: str = ""


NOBODY = Actor("nobody", "not signed in", "nobody")
SERVER = Actor("server", "server", "server")

_ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)
_asked: Callable[[], Actor | None] | None = None


@contextmanager
def acting_as(somebody: Actor) -> Iterator[Actor]:
    """Do what the block does as this actor.

    >>> with acting_as(SERVER):
    ...     actor().name
    'server'
    """
    before = _ACTOR.set(somebody)
    try:
        yield somebody
    finally:
        _ACTOR.reset(before)


def go_on_as(somebody: Actor) -> None:
    """Act as this one until this thread or task ends: for a door that many requests come through.

    See `acting_as` for a block.
    """
    _ACTOR.set(somebody)


def actor() -> Actor:
    """Who acts here; `NOBODY` where no door has said so.

    >>> actor().role
    'nobody'
    """
    return _ACTOR.get() or (_asked() if _asked else None) or NOBODY


def ask_where_unsaid(ask: Callable[[], Actor | None] | None) -> None:
    """Ask this for the actor wherever no `acting_as` says it: a page's callbacks and fragments.

    Streamlit runs them on threads of its own, which no code of ours opens.
    """
    global _asked
    _asked = ask
