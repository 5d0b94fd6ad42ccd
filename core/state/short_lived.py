"""Files that wait on the disk for this process alone, encrypted with a key that ends with it."""

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from core.state.encryption import Keyring
from core.state.parts import PART_BYTES

# Whether the system has files without a name in the memory.
HAS_MEMORY = hasattr(os, "memfd_create")


class Readable(Protocol):
    """What has bytes, from here on."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; none at the end."""


def parts_of(file: Readable) -> Iterator[bytes]:
    """The rest of a file in parts."""
    while part := file.read(PART_BYTES):
        yield part


def copy_encrypted(source: Readable, target: BinaryIO, keys: Keyring, name: str) -> None:
    """Copy a file, encrypted where there are keys."""
    for part in keys.encrypted(parts_of(source), name) if keys else parts_of(source):
        target.write(part)


def opened_clear(path: Path, keys: Keyring, name: str) -> BinaryIO:
    """A file that `copy_encrypted` wrote, to be read from its begin to its end and closed."""
    file = path.open("rb")
    return io.BufferedReader(_Decrypted(file, keys, name)) if keys else file


class _Decrypted(io.RawIOBase):
    """Decrypts a file while it is read."""

    def __init__(self, file: BinaryIO, keys: Keyring, name: str) -> None:
        self._file = file
        self._parts = keys.decrypted(parts_of(file), name)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: "memoryview[int]") -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._parts, b""))
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def in_memory() -> BinaryIO:
    """An empty file without a name, in the memory where the system has such files.

    Elsewhere on the disk, where it is gone once it is closed.
    """
    if HAS_MEMORY:
        return open(os.memfd_create("hippoview"), "w+b")  # noqa: PTH123 - it has no path
    return tempfile.TemporaryFile()
