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
from core.errors import NotFoundError, StorageError
from core.settings import GS_PREFIX, Settings
from core.state.encryption import DAMAGED_CODE, KEY_CODE, Keyring
from core.state.failures import changed_file, checked_key, in_words, missing_file
from core.state.parts import PART_BYTES, Content, Seen

# Lies in the storage from the beginning of a restore to its end.
UNFINISHED = "restore/unfinished.json"


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


class PartedStorage(Storage, Protocol):
    """A store that also takes and gives files in parts: a folder or a bucket itself."""

    def write(self, key: str, data: Content) -> None:
        """See `Storage.write`."""

    def replace(self, key: str, data: Content, old: bytes | Seen | None) -> None:
        """See `Storage.replace`; ``old`` is asked once all of ``data`` was taken."""

    def read_parts(self, key: str) -> Iterator[bytes]:
        """Read a file in parts of `PART_BYTES`.

        Raises
        ------
        NotFoundError, StorageError
        """

    def written_at_s(self, key: str) -> float:
        """When a file was written, in seconds since 1970, by the clock of who holds it.

        Raises
        ------
        NotFoundError, StorageError
        """

    def head(self, key: str, count: int) -> bytes:
        """The first bytes of a file; fewer, or none, where there are no more, or no file.

        Raises
        ------
        StorageError
        """


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name.

    Raises
    ------
    StorageError
        The bucket cannot be reached, what is there is encrypted with a key that the settings do not
        have, or a restore has not ended; the hint says what to do.
    """
    from core.state.encrypted_storage import EncryptedStorage  # which stands on this module

    bare = bare_storage(settings)
    if bare.head(UNFINISHED, 1):
        raise StorageError(
            "A restore into this storage has not ended",
            "Call python -m core restore again with the same backup.",
            code="restore_unfinished",
        )
    return EncryptedStorage.open(bare, Keyring.of(settings), settings.data_dir / "opened")


def bare_storage(settings: Settings) -> PartedStorage:
    """The folder or the bucket that the settings name, with what lies there as it lies there.

    Raises
    ------
    StorageError
    """
    if settings.storage.startswith(GS_PREFIX):
        # It takes a second to import; most installations need no bucket.
        from core.state.bucket import BucketStorage

        return BucketStorage.open(settings.storage)
    return LocalStorage(settings.data_dir / "storage")


def write_whole(path: Path, data: Content, mode: int = 0o644) -> None:
    """Write a file atomically: a killed process leaves the old or the new content."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            for part in (data,) if isinstance(data, bytes) else data:
                file.write(part)
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

    def write(self, key: str, data: Content) -> None:
        """See `Storage.write`."""
        path = self._path(key)
        with in_words(), self._written(data) as file, self._locked():
            _move(file, path)

    def replace(self, key: str, data: Content, old: bytes | Seen | None) -> None:
        """See `PartedStorage.replace`."""
        path = self._path(key)
        with in_words(), self._written(data) as file, self._locked():
            if not self._is_still(path, old):
                raise changed_file()
            _move(file, path)

    def _is_still(self, path: Path, old: bytes | Seen | None) -> bool:
        # The file is read only if its content must be compared.
        if old is None:
            return not path.exists()
        if not path.is_file():
            return False
        if isinstance(old, Seen):
            return Seen.of(_parts_of(path)).md5 == old.md5
        return path.read_bytes() == old

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        path = self._path(key)
        with in_words():
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise missing_file() from error

    def read_parts(self, key: str) -> Iterator[bytes]:
        """See `PartedStorage.read_parts`."""
        with in_words():
            try:
                yield from _parts_of(self._path(key))
            except FileNotFoundError as error:
                raise missing_file() from error

    def written_at_s(self, key: str) -> float:
        """See `PartedStorage.written_at_s`."""
        path = self._path(key)
        with in_words():
            try:
                return path.stat().st_mtime
            except FileNotFoundError as error:
                raise missing_file() from error

    def head(self, key: str, count: int) -> bytes:
        """See `PartedStorage.head`."""
        path = self._path(key)
        with in_words():
            try:
                with path.open("rb") as file:
                    return file.read(count)
            except FileNotFoundError:
                return b""

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
    def _written(self, data: Content) -> Iterator[Path]:
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

    A bucket takes tens of milliseconds for a file, however small. None stands for a missing file,
    an empty content for one that cannot be decrypted: it is damaged, and keeps nobody from others.

    Raises
    ------
    StorageError
    """

    def read(key: str) -> tuple[str, bytes | None]:
        try:
            return key, storage.read(key)
        except NotFoundError:
            return key, None
        except StorageError as error:
            if error.code not in (KEY_CODE, DAMAGED_CODE):
                raise
            return key, b""

    with ThreadPoolExecutor(at_once, "storage") as pool:
        try:
            yield from pool.map(read, keys)
        finally:  # what is not begun need not be, if one failed
            pool.shutdown(cancel_futures=True)


def _parts_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


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
