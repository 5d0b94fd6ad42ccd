"""Files by key, each written whole or not at all. Keys come from us, never from users."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from core.errors import NotFoundError
from core.settings import GS_PREFIX, Settings

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class Storage(Protocol):
    """Where files lie: a folder of this machine or a bucket."""

    def write(self, key: str, data: bytes) -> None:
        """Write a file, whole or not at all, in place of an older one.

        Raises
        ------
        StorageError
        """

    def read(self, key: str) -> bytes:
        """Read a file.

        Raises
        ------
        NotFoundError, StorageError
        """

    def keys(self, prefix: str) -> list[str]:
        """Keys of all files below a prefix, sorted."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix, sorted."""

    def age_s(self, prefix: str) -> float:
        """Seconds since anything below a prefix was written last; 0 if nothing is there."""

    def delete_folder(self, prefix: str) -> None:
        """Delete everything below a prefix; nothing there is no error."""

    def local(
        self, prefix: str, on_file: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Path]:
        """Everything below a prefix as a folder of this machine, to be read only.

        Parameters
        ----------
        prefix
        on_file
            Called for each file that had to be fetched.
        """


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name.

    Raises
    ------
    StorageError
        The bucket cannot be reached; the hint says what to do.
    """
    if settings.storage.startswith(GS_PREFIX):
        # It takes a second to import; most installations need no bucket.
        from core.bucket import BucketStorage

        return BucketStorage.open(settings.storage)
    return LocalStorage(settings.data_dir / "storage")


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
        """See `Storage.write`."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise missing_file() from error

    def keys(self, prefix: str) -> list[str]:
        """See `Storage.keys`."""
        found = (p for p in self._path(prefix).rglob("*") if p.is_file())
        return sorted(p.relative_to(self._root).as_posix() for p in found if p.name[0] != ".")

    def folders(self, prefix: str) -> list[str]:
        """See `Storage.folders`."""
        path = self._path(prefix)
        return sorted(p.name for p in path.iterdir() if p.is_dir()) if path.is_dir() else []

    def age_s(self, prefix: str) -> float:
        """See `Storage.age_s`."""
        path = self._path(prefix)
        times = [p.stat().st_mtime for p in (path, *path.rglob("*")) if p.exists()]
        return max(0.0, time.time() - max(times)) if times else 0.0

    def delete_folder(self, prefix: str) -> None:
        """See `Storage.delete_folder`."""
        shutil.rmtree(self._path(prefix), ignore_errors=True)

    @contextmanager
    def local(self, prefix: str, on_file: Callable[[], None] = lambda: None) -> Iterator[Path]:
        """See `Storage.local`."""
        yield self._path(prefix)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)


def checked_key(key: str) -> str:
    """The key itself; a ``ValueError`` if it could lead anywhere else."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def missing_file() -> NotFoundError:
    """A file that should be there is not."""
    return NotFoundError(
        "A file is missing from the storage",
        "Segment the scan again; if it is a model or a data set, restore it from a backup.",
    )
