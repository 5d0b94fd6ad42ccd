"""Room on the disk for what is unpacked."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import limits
from core.errors import BusyError, StorageError

_RETRY_S = 5


class Unpacked:
    """The private copies of scans that lie on the disk at the same time.

    Parameters
    ----------
    most_bytes
        Of all together; one alone is always let in.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._bytes = 0

    @contextmanager
    def place(self, folder: Path, size_bytes: int) -> Iterator[None]:
        """A place for one copy, before anything of it is unpacked; until the block ends.

        Raises
        ------
        BusyError
            The copies of others take up all that there may be.
        StorageError
            The folder's disk has no room.
        """
        check_room(folder, size_bytes)
        with self._lock:
            if self._bytes and self._bytes + size_bytes > self._most_bytes:
                raise BusyError(
                    "The server unpacks as many scans as it can hold",
                    f"Send it again in about {_RETRY_S} seconds.",
                    retry_after_s=_RETRY_S,
                )
            self._bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._bytes -= size_bytes


def check_room(folder: Path, size_bytes: int) -> None:
    """Raise ``StorageError`` if a folder's disk has no room for so much, and some to spare."""
    if shutil.disk_usage(folder).free < size_bytes + limits.KEEP_FREE_MIB * limits.MIB:
        raise no_room()


def no_room() -> StorageError:
    """The error for a disk that is full."""
    return StorageError(
        "The disk is nearly full: there is no room to unpack this scan",
        "Make room on it, or tell the administrator of the server.",
        code="disk_full",
    )
