"""Files by key, each written completely or not at all. Keys never come from users.

Every failure is a `StorageError` that says what to do, never an ``OSError``.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from core import limits
from core.errors import NotFoundError
from core.settings import GS_PREFIX, Settings
from core.state.failures import changed_file, checked_key, in_words, missing_file

# Folders that a killed process leaves among short-lived files: an export unpacked, one fetched.
_SHORT_LIVED = ("dicom-", "pacs-")


class Storage(Protocol):
    """A store of files: a folder of this machine or a bucket."""

    def write(self, key: str, data: bytes) -> None:
        """Write a file completely or not at all, replacing an older one.

        Raises
        ------
        StorageError
        """

    def replace(self, key: str, data: bytes, old: bytes | None) -> None:
        """Write a file completely or not at all, if its content is still ``old``.

        Of two processes that do so at the same time, one is refused.

        Parameters
        ----------
        old
            None: there must be no file yet.

        Raises
        ------
        ChangedError
            The content is another. Nothing was written.
        StorageError
            If the connection failed, the file may or may not have been written.
        """

    def read(self, key: str) -> bytes:
        """Read a file.

        Raises
        ------
        NotFoundError, StorageError
        """

    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""

    def keys(self, prefix: str) -> list[str]:
        """Keys of all files below a prefix, sorted."""

    def ages_s(self, prefix: str) -> dict[str, float]:
        """Keys of all files below a prefix, and seconds since each was written."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix, sorted."""

    def delete_folder(self, prefix: str) -> None:
        """Delete everything below a prefix, if there is anything."""

    def local(
        self, prefix: str, on_file: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Path]:
        """Everything below a prefix as a folder of this machine, only to be read.

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
        from core.state.bucket import BucketStorage

        return BucketStorage.open(settings.storage)
    return LocalStorage(settings.data_dir / "storage")


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file atomically: a killed process leaves the old or the new content."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have a folder's entries survive a power failure: files in it that are new, moved or gone."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_unless_shared(folder: Path) -> None:
    """Create a folder for short-lived files, and remove those that a killed process left there.

    Nothing is removed while another process uses the folder.

    Raises
    ------
    StorageError
    """
    with in_words():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for leftover in folder.iterdir():
                if leftover.is_file():
                    leftover.unlink()
                elif leftover.name.startswith(_SHORT_LIVED):
                    shutil.rmtree(leftover)
        # Held until the process ends.
        fcntl.flock(handle, fcntl.LOCK_SH)


class LocalStorage:
    """Files under one folder.

    Parameters
    ----------
    root
        Created if it is missing, readable by its owner only.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # Files are written here first, so that an interrupted write leaves its part only here.
        self._unfinished = root / ".unfinished"
        with in_words():
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._unfinished.mkdir(exist_ok=True, mode=0o700)
            for path in self._unfinished.iterdir():
                if _age_s(path) > 3600 * limits.STRAY_HOURS:
                    path.unlink(missing_ok=True)

    def write(self, key: str, data: bytes) -> None:
        """See `Storage.write`."""
        path = self._path(key)
        with in_words(), self._written(data) as file, self._locked():
            _move(file, path)

    def replace(self, key: str, data: bytes, old: bytes | None) -> None:
        """See `Storage.replace`."""
        path = self._path(key)
        with in_words(), self._written(data) as file, self._locked():
            # The file is read only if its content must be compared.
            current = path.read_bytes() if old is not None and path.is_file() else None
            if current != old or (old is None and path.exists()):
                raise changed_file()
            _move(file, path)

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        path = self._path(key)
        with in_words():
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise missing_file() from error

    def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        path = self._path(key)
        with in_words(), self._locked():
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder.parent == self._root or not _is_empty(folder):
                    break
                folder.rmdir()

    def keys(self, prefix: str) -> list[str]:
        """See `Storage.keys`."""
        return sorted(self.ages_s(prefix))

    def ages_s(self, prefix: str) -> dict[str, float]:
        """See `Storage.ages_s`."""
        path, ages = self._path(prefix), {}
        with in_words():
            for folder, _, names in os.walk(path, onerror=_raise):
                for name in names:
                    file = Path(folder, name)
                    if name[0] != ".":
                        ages[file.relative_to(self._root).as_posix()] = _age_s(file)
        return ages

    def folders(self, prefix: str) -> list[str]:
        """See `Storage.folders`."""
        path = self._path(prefix)
        with in_words():
            try:
                return sorted(p.name for p in path.iterdir() if p.is_dir())
            except FileNotFoundError:
                return []

    def delete_folder(self, prefix: str) -> None:
        """See `Storage.delete_folder`."""
        path = self._path(prefix)
        with in_words(), self._locked():
            try:
                shutil.rmtree(path)
            except FileNotFoundError:
                return

    @contextmanager
    def local(self, prefix: str, on_file: Callable[[], None] = lambda: None) -> Iterator[Path]:
        """See `Storage.local`."""
        yield self._path(prefix)

    @contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """A temporary file with this content, to be moved into place."""
        path = self._unfinished / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            write_whole(path, data, 0o600)
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclusive among all threads and processes: to compare, move or delete."""
        with (self._root / ".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)


def read_many(
    storage: Storage, keys: Collection[str], at_once: int = 8
) -> Iterator[tuple[str, bytes | None]]:
    """Read many files, several at once, each with its key and in the order of the keys.

    A bucket takes tens of milliseconds for a file, however small. None stands for a missing file.

    Raises
    ------
    StorageError
    """

    def read(key: str) -> tuple[str, bytes | None]:
        try:
            return key, storage.read(key)
        except NotFoundError:
            return key, None

    with ThreadPoolExecutor(at_once, "storage") as pool:
        try:
            yield from pool.map(read, keys)
        finally:  # what is not begun need not be, if one failed
            pool.shutdown(cancel_futures=True)


def _move(file: Path, path: Path) -> None:
    """Move a file into place so that it survives a power failure."""
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    file.replace(path)
    for folder in {path.parent, *(created.parent for created in new)}:
        sync_folder(folder)


def _age_s(path: Path) -> float:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:  # it was removed in this moment
        return 0.0


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # no folder: no files
        raise error
