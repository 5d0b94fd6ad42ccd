"""Room on the disk for what is unpacked."""

import shutil
from pathlib import Path

from core import limits
from core.errors import StorageError


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
