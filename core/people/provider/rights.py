"""What somebody may do here, by the groups that a provider says somebody is in.

The setting reads as it is meant::

    radiology = reader memory-clinic ward-3; /neuro/seniors = reviewer; it-imaging = administrator
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from core.errors import InputError, SettingsError
from core.people.account import checked_role
from core.people.acting import Role
from core.people.roles import groups_of, groups_text
from core.settings import variable_of

# From the least to the most; the highest of somebody's counts.
RANKS: Final[tuple[Role, ...]] = ("reader", "reviewer", "administrator")
# Two entries with a comma between them.
_MISSED = re.compile(rf"\s=\s*({'|'.join(RANKS)})\b")
_EXAMPLE = "Write it such as: radiology = reader memory-clinic; it-imaging = administrator"


@dataclass(frozen=True)
class Rights:
    """A role, and the groups of HippoView."""

    role: Role
    groups: frozenset[str]


def rights_by_group(text: str) -> dict[str, Rights]:
    """The setting, by the provider's names of groups.

    >>> sorted(rights_by_group("a b = reader ward-3; CN=x,OU=y = reviewer"))
    ['CN=x,OU=y', 'a b']

    Raises
    ------
    SettingsError
        Something in it cannot be meant.
    """
    by_group: dict[str, Rights] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        # The last one: names of a directory have equals signs themselves.
        name, _, words = (half.strip() for half in part.rpartition("="))
        if not name or not words:
            raise _refused(f"{part!r} has no group, or no role")
        if _MISSED.search(name):
            raise _refused(f"a semicolon is missing in {part!r}")
        role, *groups = words.split()
        if role not in RANKS:
            raise _refused(f"{role!r} is no role: {', '.join(RANKS)}")
        if name in by_group:
            raise _refused(f"{name!r} stands in it twice")
        try:
            by_group[name] = Rights(checked_role(role), groups_of(groups_text(groups)))
        except InputError as error:
            raise _refused(f"of {name!r}: {error.message}") from error
    if not by_group:
        raise _refused("it names no group")
    return by_group


def rights_of(claim: object, by_group: dict[str, Rights]) -> Rights | None:
    """The highest role and all groups that a claim gives; None if nothing in it is known here.

    Parameters
    ----------
    claim
        A list of names, or one name. Anything else gives nothing.

    >>> by_group = rights_by_group("a = reader x; b = reviewer; c = reader y")
    >>> rights_of(["a", "b", "z"], by_group)
    Rights(role='reviewer', groups=frozenset({'x'}))
    >>> rights_of({"a": True}, by_group) is None
    True
    """
    names: list[Any] = claim if isinstance(claim, list) else [claim]
    given = {name: by_group[name] for name in names if isinstance(name, str) and name in by_group}
    if not given:
        return None
    role = max((one.role for one in given.values()), key=RANKS.index)
    return Rights(role, frozenset().union(*(one.groups for one in given.values())))


def _refused(why: str) -> SettingsError:
    return SettingsError(f"{variable_of('oidc_groups')}: {why}", _EXAMPLE)
