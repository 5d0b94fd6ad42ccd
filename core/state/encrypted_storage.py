"""A storage whose files are encrypted: see `core.state.encryption`, and decision 0055.

A file is encrypted under its key in the storage, so that two cannot be swapped. Files that are not
encrypted yet stay readable; what is written is encrypted. ``encryption/keys.json`` says by their
ids which keys it takes to read everything, so that a server without one of them does not start.
"""

import itertools
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from core.errors import ChangedError, NotFoundError, StorageError
from core.state.encryption import (
    HEAD_BYTES,
    MAGIC,
    Keyring,
    damaged,
    is_encrypted,
    key_id,
    missing_key,
)
from core.state.failures import changed_file, in_words
from core.state.fields import check_shape, object_of
from core.state.opened import private_folder, remove_left
from core.state.parts import Content, whole
from core.state.storage import PartedStorage

# What lies in the storage, by its first folder. Models are files of others, which are public or
# tell nothing of a patient, and which are checked by their sha256.
ENCRYPTED = (
    "cases", "origins", "datasets", "drift", "references", "reports", "people", "trail",
    "trainings",
)  # fmt: skip
PLAIN = ("models",)
_KEYS = "encryption/keys.json"
_SHAPE = {"keys": [str]}
# How often a change is tried when another process was faster.
_TRIES = 5


class EncryptedStorage:
    """A storage, encrypted where there are keys; see `core.state.storage.Storage`.

    Parameters
    ----------
    inner
        Holds the files.
    keys
        Without any, nothing is encrypted.
    opened
        Folder in which files lie in clear while somebody uses them as files.
    """

    def __init__(self, inner: PartedStorage, keys: Keyring, opened: Path) -> None:
        self.inner = inner
        self.keyring = keys
        self._opened = opened

    @classmethod
    def open(cls, inner: PartedStorage, keys: Keyring, opened: Path) -> "EncryptedStorage":
        """A storage, if these keys decrypt what is there.

        Raises
        ------
        StorageError
            It takes a key that is not among them.
        """
        storage = cls(inner, keys, opened)
        storage.agree()
        remove_left(opened)
        return storage

    def agree(self) -> None:
        """Note that the first key encrypts here.

        Raises
        ------
        StorageError
            A key that encrypted files here is missing. Nothing was changed.
        """
        for _ in range(_TRIES):
            content, needed = self.needed()
            missing = [each for each in needed if each not in self.keyring.ids]
            if missing:
                raise missing_key(self.keyring, missing)
            first = self.keyring.ids[:1]
            if not first or first[0] in needed:
                return
            try:
                self.inner.replace(_KEYS, _file_of((*needed, *first)), content)
            except ChangedError:
                continue
            return
        raise changed_file()

    def needed(self) -> tuple[bytes | None, list[str]]:
        """The file of the keys' ids, and the ids of all keys that it takes to read everything.

        Raises
        ------
        StorageError
        """
        try:
            content = self.inner.read(_KEYS)
        except NotFoundError:
            return None, []
        try:
            told = object_of(content)
            check_shape(told, _SHAPE)
        except ValueError as error:
            raise StorageError(
                "The file of the keys' ids in the storage is damaged",
                f"Restore {_KEYS} from a backup, or remove it: with the right keys set it is made "
                "again.",
                code="storage_damaged",
            ) from error
        return content, list(told["keys"])

    def settle(self) -> None:
        """Note that everything is encrypted with the first key now; without keys, that nothing is.

        Raises
        ------
        ChangedError, StorageError
        """
        first = list(self.keyring.ids[:1])
        for _ in range(_TRIES):
            content, needed = self.needed()
            if content is None or needed == first:
                return
            if not first:
                return self.inner.delete(_KEYS)
            try:
                return self.inner.replace(_KEYS, _file_of(first), content)
            except ChangedError:  # another command is as far
                continue
        raise changed_file()

    def write(self, key: str, data: bytes) -> None:
        """See `core.state.storage.Storage.write`.

        Raises
        ------
        StorageError
            What is there is encrypted with a key that is not set: it is not written over.
        """
        if self._is_plain(key):
            return self.inner.write(key, data)
        needed = key_id(self.inner.head(key, HEAD_BYTES))
        if needed and needed not in self.keyring.ids:
            raise missing_key(self.keyring, [needed])
        self.inner.write(key, self._stored(key, data))

    def replace(self, key: str, data: bytes, old: bytes | None) -> None:
        """See `core.state.storage.Storage.replace`."""
        if old is None or self._is_plain(key):
            return self.inner.replace(key, self._stored(key, data), old)
        for _ in range(_TRIES):
            try:
                stored = self.inner.read(key)
            except NotFoundError as error:
                raise changed_file() from error
            if self.keyring.clear(stored, key) != old:
                raise changed_file()
            try:
                return self.inner.replace(key, self._stored(key, data), stored)
            except ChangedError:  # perhaps only encrypted anew, with another key
                continue
        raise changed_file()

    def read(self, key: str) -> bytes:
        """See `core.state.storage.Storage.read`.

        Raises
        ------
        StorageError
            It is encrypted with a key that is not set.
        core.state.encryption.DamagedError
            It was changed, cut off, or put in the place of another.
        """
        if self._is_plain(key) or not self.keyring:
            content = self.inner.read(key)
            return content if self._is_plain(key) else self.keyring.clear(content, key)
        return whole(self.clear_parts(key, self.inner.read_parts(key)))

    def clear_parts(self, key: str, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The parts of a file as they were, of those that are stored."""
        rest = iter(parts)
        first = bytes(next(rest, b""))
        if self.keyring and first in {MAGIC[:length] for length in range(1, len(MAGIC))}:
            raise damaged()  # cut off within its first letters
        stored = itertools.chain((first,), rest)
        return self.keyring.decrypted(stored, key) if is_encrypted(first) else stored

    def delete(self, key: str) -> None:
        """See `core.state.storage.Storage.delete`."""
        self.inner.delete(key)

    def keys(self, prefix: str) -> list[str]:
        """See `core.state.storage.Storage.keys`."""
        return self.inner.keys(prefix)

    def ages_s(self, prefix: str) -> dict[str, float]:
        """See `core.state.storage.Storage.ages_s`."""
        return self.inner.ages_s(prefix)

    def folders(self, prefix: str) -> list[str]:
        """See `core.state.storage.Storage.folders`."""
        return self.inner.folders(prefix)

    def delete_folder(self, prefix: str) -> None:
        """See `core.state.storage.Storage.delete_folder`."""
        self.inner.delete_folder(prefix)

    def local(
        self, prefix: str, on_file: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Path]:
        """See `core.state.storage.Storage.local`; in clear for the length of the block."""
        if self._is_plain(prefix) or not self.keyring:
            return self.inner.local(prefix, on_file)
        return self._decrypted(prefix, on_file)

    @contextmanager
    def _decrypted(self, prefix: str, on_file: Callable[[], None]) -> Iterator[Path]:
        with private_folder(self._opened) as root:
            for key in self.inner.keys(prefix):
                path = root / posixpath.relpath(key, prefix)
                with in_words():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch(0o600)
                    with path.open("wb") as file:
                        for part in self.clear_parts(key, self.inner.read_parts(key)):
                            file.write(part)
                on_file()
            yield root

    def _stored(self, key: str, data: bytes) -> Content:
        if self._is_plain(key) or not self.keyring:
            return data
        return self.keyring.encrypted(data, key)

    def _is_plain(self, key: str) -> bool:
        top = key.partition("/")[0]
        if top in PLAIN:
            return True
        if self.keyring and top not in ENCRYPTED:
            raise ValueError(f"{top!r} stands neither in ENCRYPTED nor in PLAIN")
        return False


def _file_of(ids: Iterable[str]) -> bytes:
    return json.dumps({"keys": list(ids)}).encode()
