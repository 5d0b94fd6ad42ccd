"""Which model version serves, and which did: one list in the storage that is never rewritten.

Each promotion and each roll back writes a new file below ``models/service``, named by the next
number and holding the whole list, and only if no such file exists. So what serves changes by one
atomic write, and of two changes at the same time one is refused.

``history`` in such a file has three fields an entry: programs without notes refuse more.
So an entry's note lies beside it, in ``notes``, by its place in the list. Such a program writes the
list on without notes; they are found again in the files before.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from loguru import logger

from core.errors import NotFoundError, StorageError
from core.state.fields import check_shape, object_of
from core.state.storage import Storage

_FOLDER = "models/service"
_SUFFIX = ".json"
_FORMAT = 1


@dataclass(frozen=True)
class Note:
    """Who put a version into service, and why.

    Attributes
    ----------
    by : str
        Empty where it is not known.
    reason : str
        Why it was promoted although the gate stopped it.
    objections : tuple of str
        What the gate had against it, a line each.
    """

    by: str = ""
    reason: str = ""
    objections: tuple[str, ...] = ()


UNKNOWN = Note()


@dataclass(frozen=True)
class Promotion:
    """A version was put into service.

    Attributes
    ----------
    at : str
        When, as `core.state.database.timestamp` writes it.
    action : str
        ``installed``, ``adopted``, ``promoted`` or ``rolled back``.
    note : Note
    """

    at: str
    number: int
    action: str
    note: Note = UNKNOWN


class ServiceLog:
    """The list of a storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self) -> tuple[int, list[Promotion]]:
        """The number of the newest file, 0 if there is none, and its list, the oldest first.

        Raises
        ------
        StorageError
        """
        newest = 0
        history: list[Promotion] | None = None
        for key in reversed(self._storage.keys(_FOLDER)):
            name = key.rpartition("/")[2].removesuffix(_SUFFIX)
            if not name.isdecimal():
                continue
            newest = max(newest, int(name))
            try:
                content = object_of(self._storage.read(key))
                check_shape(content, {"history": [{"at": str, "number": int, "action": str}]})
            except (NotFoundError, ValueError):
                if history is None:
                    logger.warning(
                        "The list of what served, {}, cannot be read: the one before counts", name
                    )
                continue
            entries = [Promotion(e["at"], e["number"], e["action"]) for e in content["history"]]
            if history is None:
                history = entries
            if "notes" in content:
                return newest, _noted(history, entries, content["notes"])
        return newest, history or []

    def write(self, number: int, history: Sequence[Promotion]) -> None:
        """Make the file of this number, the one after what `read` returned.

        Raises
        ------
        ConflictError
            Someone else has made it: what serves has changed meanwhile.
        StorageError
            It was not made; or, where the storage does not even say whether, perhaps it was.
        """
        key = f"{_FOLDER}/{number:06}{_SUFFIX}"
        # Two files are never the same: so one's own is known again.
        content = {
            "format": _FORMAT, "id": uuid.uuid4().hex,
            "history": [{"at": e.at, "number": e.number, "action": e.action} for e in history],
            "notes": {str(place): vars(e.note) for place, e in enumerate(history)},
        }  # fmt: skip
        data = json.dumps(content).encode()
        try:
            self._storage.replace(key, data, None)
        except StorageError:
            # It may have been written although it was said that it was not.
            try:
                stored = self._storage.read(key)
            except NotFoundError:
                stored = b""
            if stored != data:
                raise


def _noted(
    history: Sequence[Promotion], entries: Sequence[Promotion], notes: Any
) -> list[Promotion]:
    """The entries of a list with the notes of a list that it continues."""
    try:
        check_shape(notes, {"*": {"by": str, "reason": str, "objections": [str]}})
    except ValueError:
        logger.warning("Who put which version into service, and why, cannot be read")
        return list(history)
    noted = list(history)
    for place, (entry, same) in enumerate(zip(history, entries, strict=False)):
        if entry == same and str(place) in notes:
            told = notes[str(place)]
            note = Note(told["by"], told["reason"], tuple(told["objections"]))
            noted[place] = replace(entry, note=note)
    return noted
