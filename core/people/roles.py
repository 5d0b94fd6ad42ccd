"""What each role may do: the one table that permissions are read from.

``docs/permissions.md`` shows it beside the routes and pages, and a test walks all of them.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal

from core.errors import InputError
from core.people.acting import Role

Act = Literal[
    "segment", "add", "see", "review", "correct", "describe", "delete", "assign", "pacs",
    "models", "train", "settings", "watch", "metrics", "sites", "people",
]  # fmt: skip
# What an account may be.
ROLES: Final[tuple[Role, ...]] = ("reader", "reviewer", "administrator", "service")
# What a service's token may be used for.
SCOPES = ("segment", "metrics", "drift", "administer")

_READERS: frozenset[Role] = frozenset({"reader", "reviewer", "administrator"})
_REVIEWERS: frozenset[Role] = frozenset({"reviewer", "administrator"})
_ADMINISTRATORS: frozenset[Role] = frozenset({"administrator"})
# By act: what it is, the roles that may do it, and the scope with which a service may.
ACTS: dict[Act, tuple[str, frozenset[Role], str]] = {
    "segment": ("segment a scan", _READERS, "segment"),
    "add": ("keep a scan as a case", _READERS, ""),
    # Data sets and drift are made of cases: no route gives a service their pictures.
    "see": ("see cases", _READERS, "administer"),
    "review": ("review cases", _READERS, ""),
    "correct": ("correct masks", _READERS, ""),
    "describe": ("change a case's name, patient or study", _READERS, ""),
    "delete": ("delete and restore cases", _REVIEWERS, ""),
    "assign": ("say which groups see a case", _REVIEWERS, ""),
    "pacs": ("search the PACS and send to it", _READERS, ""),
    "models": ("put model versions into service", _ADMINISTRATORS, "administer"),
    "train": ("prepare data and train", _ADMINISTRATORS, "administer"),
    "settings": ("change what holds for all", _ADMINISTRATORS, "administer"),
    "watch": ("see versions, trainings, drift and operations", _ADMINISTRATORS, "administer"),
    "metrics": ("read the metrics", _ADMINISTRATORS, "metrics"),
    "sites": ("add scans to another site's drift", _ADMINISTRATORS, "drift"),
    "people": ("change accounts, roles, groups and tokens", _ADMINISTRATORS, ""),
}
# Of these a reader has only the cases of the groups that the reader is in.
OF_CASES: frozenset[Act] = frozenset({"see", "review", "correct", "describe"})
_GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_MOST_GROUPS = 50


def groups_of(text: str) -> frozenset[str]:
    """The groups in a column.

    >>> sorted(groups_of(" memory ward-3 "))
    ['memory', 'ward-3']
    """
    return frozenset(text.split())


def groups_text(groups: Iterable[str]) -> str:
    """Groups as a column has them: each between spaces, so that one is found by ``LIKE``.

    >>> groups_text({"ward-3", "memory"})
    ' memory ward-3 '

    Raises
    ------
    InputError
        A name is not one, or there are too many.
    """
    names = sorted(set(groups))
    for name in names:
        if not _GROUP.fullmatch(name):
            raise InputError(
                "A group's name has 1 to 32 small letters, figures and hyphens",
                "Type it such as memory-clinic.",
                code="bad_group",
            )
    if len(names) > _MOST_GROUPS:
        raise InputError(
            f"These are {len(names)} groups", f"Take at most {_MOST_GROUPS}.", code="bad_group"
        )
    return f" {' '.join(names)} " if names else ""


def name_key(name: str) -> str:
    """A name in the form in which no two accounts are the same.

    >>> name_key("ANNA") == name_key("anna")
    True
    """
    return unicodedata.normalize("NFKC", name).casefold()
