"""The groups of an installation: one file each in the storage, never changed, and one that ships.

The storage alone holds them, so a lost database loses none.
"""

import secrets
from dataclasses import replace
from functools import cache
from pathlib import Path

from core.errors import ConflictError, NotFoundError, StorageError
from core.people.audit import fingerprint, record_alone
from core.people.permission import Guard
from core.references.group import OUR_PROTOCOL, Group, checked, from_json, to_json
from core.references.table import read_table
from core.state.database import timestamp
from core.state.storage import Storage, read_many

_FOLDER = "references"
MOST_GROUPS = 100
DEMONSTRATION = "demonstration"
_TABLE = Path(__file__).with_name("demonstration.csv")
# The shipped model's, which measured the demonstration group.
_MODEL_VERSION = "1"
_MODEL_SHA256 = "343505d51fad2ce4e377c2712ba9cf5542a48b09745bca1c747c023baf4177b1"
_SOURCE = (
    "No norm: 60 adults of 20 to 55 years, most with a depression (OpenNeuro ds002748, "
    "Bezmaternykh et al., CC0), measured by the model that ships, which was trained on them too."
)


class References:
    """The reference groups of an installation.

    Parameters
    ----------
    storage
    guard
        Asked before a change; left out, the caller has asked.
    """

    def __init__(self, storage: Storage, guard: Guard | None = None) -> None:
        self._storage = storage
        self._guard = guard

    def all(self) -> list[Group]:
        """The groups, the newest first, the one that ships last.

        Raises
        ------
        StorageError
            They cannot be read, or one is damaged.
        """
        files = read_many(self._storage, self._storage.keys(_FOLDER))
        groups = [_group_of(key, data) for key, data in files if data is not None]
        groups.sort(key=lambda group: (group.created_at, group.id), reverse=True)
        return [*groups, demonstration()]

    def get(self, group_id: str) -> Group:
        """The group of an id.

        Raises
        ------
        NotFoundError, StorageError
        """
        for group in self.all():
            if group.id == group_id:
                return group
        raise NotFoundError("This reference group does not exist", "It was deleted meanwhile.")

    def add(self, group: Group, by: str) -> Group:
        """Keep a group under a new id.

        Parameters
        ----------
        by
            The administrator.

        Raises
        ------
        InputError
            See `core.references.group.checked`.
        ConflictError
            There is one of this name, or there are too many.
        StorageError
        AccessError, ForbiddenError
        """
        if self._guard:
            self._guard.require("settings")
        new = replace(
            checked(group), id=secrets.token_hex(8), created_at=timestamp(), created_by=by
        )
        groups = self.all()
        if _has_name(groups, new):
            raise _name_taken()
        if len(groups) > MOST_GROUPS:
            raise ConflictError(
                f"There are {MOST_GROUPS} groups", "Delete one first.", code="bad_group"
            )
        self._record("added", new)
        self._storage.replace(_key(new.id), to_json(new), None)
        # Two administrators may have given one name at once: neither, or one of them, has it.
        if _has_name(self.all(), new):
            self._storage.delete(_key(new.id))
            raise _name_taken()
        return new

    def delete(self, group_id: str) -> None:
        """Delete a group for good; the one that ships stays.

        Raises
        ------
        NotFoundError, StorageError, AccessError, ForbiddenError
        """
        if self._guard:
            self._guard.require("settings")
        if group_id == DEMONSTRATION:
            raise NotFoundError("The demonstration group ships with the program")
        group = self.get(group_id)
        self._record("deleted", group)
        self._storage.delete(_key(group.id))

    def _record(self, what: str, group: Group) -> None:
        """The storage alone has a group: its line comes first, so that no change is without one."""
        if self._guard is not None:
            after = fingerprint(self._guard.engine, to_json(group))
            named = f"reference group {group.id}"
            record_alone(self._guard.engine, "settings", named, after=after, note=what)


@cache
def demonstration() -> Group:
    """The group that ships, so that there is something to see from the first minute."""
    return Group(
        DEMONSTRATION, "Demonstration", OUR_PROTOCOL, _SOURCE, read_table(_TABLE.read_bytes()),
        _MODEL_SHA256, _MODEL_VERSION,
    )  # fmt: skip


def _has_name(groups: list[Group], new: Group) -> bool:
    """Whether another group has the name of a new one."""
    name = new.name.casefold()
    return any(other.id != new.id and other.name.casefold() == name for other in groups)


def _name_taken() -> ConflictError:
    return ConflictError("There is a group of this name", "Give it another one.", code="bad_group")


def _key(group_id: str) -> str:
    return f"{_FOLDER}/{group_id}.json"


def _group_of(key: str, data: bytes) -> Group:
    try:
        group = from_json(data)
        if key != _key(group.id):
            raise ValueError("the name of another group")
    except ValueError as error:
        raise StorageError(
            "A reference group in the storage is damaged",
            f"Restore {key} from a backup, or delete it.",
            code="storage_damaged",
        ) from error
    return group
