"""Which model version serves, and which did: one list in the storage that is never rewritten.

Each promotion and each roll back writes a new file below ``models/service``, named by the next
number and holding the whole list, and only if no such file exists. So what serves changes by one
atomic write, and of two changes at the same time one is refused.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from loguru import logger

from core.errors import NotFoundError, StorageError
from core.state.fields import check_shape, object_of
from core.state.storage import Storage

_FOLDER = "models/service"
_SUFFIX = ".json"
_FORMAT = 1


@dataclass(frozen=True)
class Promotion:
    """A version was put into service.

    Attributes
    ----------
    at : str
        When, as `core.state.database.timestamp` writes it.
    action : str
        ``installed``, ``adopted``, ``promoted`` or ``rolled back``.
    """

    at: str
    number: int
    action: str


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
        for key in reversed(self._storage.keys(_FOLDER)):
            name = key.rpartition("/")[2].removesuffix(_SUFFIX)
            if not name.isdecimal():
                continue
            newest = max(newest, int(name))
            try:
                content = object_of(self._storage.read(key))
                check_shape(content, {"history": [{"at": str, "number": int, "action": str}]})
                return newest, [Promotion(**entry) for entry in content["history"]]
            except (NotFoundError, ValueError, TypeError):
                logger.warning("The list of what served, {}, cannot be read: the one before counts",
                               name)  # fmt: skip
        return newest, []

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
            "format": _FORMAT, "id": uuid.uuid4().hex, "history": [asdict(e) for e in history],
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
