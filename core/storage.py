"""Files by key, each written whole or not at all. Keys come from us, never from users."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from core.errors import NotFoundError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one, so that a kill leaves the old or the new."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class LocalStorage:
    """Files under one folder.

    Parameters
    ----------
    root
        Made if it is missing, readable by its owner only.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root

    def write(self, key: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)

    def read(self, key: str) -> bytes:
        """Read a file.

        Raises
        ------
        NotFoundError
        """
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(
                "A file of this case is missing from the storage", "Segment the scan again."
            ) from error

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix."""
        path = self._path(prefix)
        return sorted(p.name for p in path.iterdir() if p.is_dir()) if path.is_dir() else []

    def delete_folder(self, prefix: str) -> None:
        """Delete everything below a prefix; nothing there is no error."""
        shutil.rmtree(self._path(prefix), ignore_errors=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a storage key: {key!r}")
        return self._root / key
