"""How bytes are encrypted at rest: AES-256-GCM in chunks, by keys of which the first encrypts.

An encrypted object is a head (four letters, the key's id, a salt) and chunks of 1 MiB. Each object
has a key of its own, derived from the installation's key and the salt, so that chunks can be
numbered from 0. What an object is called is authenticated with each chunk, and so are its place and
whether it is the last: an object that was cut, extended, changed, or put in the place of another
is refused, never read as something else.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from core.errors import StorageError
from core.settings import Settings, variable_of
from core.state.parts import Content, whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"HVE1"
_ID_BYTES, _SALT_BYTES, _TAG_BYTES = 8, 16, 16
HEAD_BYTES = len(MAGIC) + _ID_BYTES + _SALT_BYTES
CHUNK_BYTES = 1024 * 1024
# A byte in each chunk's number: whether another follows.
_MORE, _LAST = b"\0", b"\1"
# Codes of the errors.
KEY_CODE, DAMAGED_CODE = "encryption_key", "storage_damaged"
_SETTING = variable_of("encryption_key")


class DamagedError(StorageError):
    """What is encrypted was changed, cut, or put in the place of something else."""

    code = DAMAGED_CODE


def derived(secret: bytes, purpose: str) -> bytes:
    """A key for one purpose, of a secret; 32 bytes."""
    return hmac.digest(secret, f"hippoview {purpose}".encode(), hashlib.sha256)


def cipher(key: bytes) -> "AESGCM":
    """AES-GCM with a key of 32 bytes."""
    # Installations that encrypt nothing need not import it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


@dataclass(frozen=True)
class Key:
    """A secret that encrypts.

    Attributes
    ----------
    id : bytes
        Tells keys apart, and nothing of the secret.
    """

    secret: bytes = field(repr=False)

    @cached_property
    def id(self) -> bytes:
        """See the class."""
        return derived(self.secret, "encryption id")[:_ID_BYTES]

    def of_object(self, salt: bytes) -> "AESGCM":
        """The cipher of one object."""
        return cipher(hmac.digest(self._root, salt, hashlib.sha256))

    @cached_property
    def _root(self) -> bytes:
        return derived(self.secret, "encryption")


class Keyring:
    """The keys of an installation: the first encrypts, all decrypt; without any nothing is.

    Parameters
    ----------
    words
        The secrets, 32 characters or more each.
    """

    def __init__(self, words: Iterable[str | bytes] = ()) -> None:
        encoded = (word.encode() if isinstance(word, str) else word for word in words)
        self.keys = tuple(dict.fromkeys(Key(word) for word in encoded))
        self._by_id = {key.id: key for key in self.keys}

    @classmethod
    def of(cls, settings: Settings) -> "Keyring":
        """The keys that the settings name.

        Raises
        ------
        SettingsError
            Their file cannot be read.
        """
        return cls(settings.encryption_keys())

    @classmethod
    def of_this_process(cls) -> "Keyring":
        """A key that nobody else has, and that ends with the process."""
        return cls([secrets.token_bytes(32)])

    def __bool__(self) -> bool:
        return bool(self.keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys in hexadecimal, the first encrypts."""
        return tuple(key.id.hex() for key in self.keys)

    def is_newest(self, head: bytes) -> bool:
        """Whether an object is encrypted with the first key.

        Parameters
        ----------
        head
            Its first `HEAD_BYTES` bytes.
        """
        return bool(self.keys) and key_id(head) == self.keys[0].id.hex()

    def encrypted(self, content: Content, name: str) -> Iterator[bytes]:
        """An object's parts, to be written one after the other.

        Parameters
        ----------
        content
            In one piece, or in parts of any sizes.
        name
            What the object is called; it can be decrypted under this name alone.
        """
        key, salt = self.keys[0], secrets.token_bytes(_SALT_BYTES)
        head = MAGIC + key.id + salt
        gcm, about = key.of_object(salt), head + name.encode()
        yield head
        for number, (chunk, is_last) in enumerate(_marked(_chunks(content, CHUNK_BYTES))):
            yield gcm.encrypt(_nonce(number, is_last=is_last), chunk, about)

    def decrypted(self, content: Content, name: str) -> Iterator[bytes]:
        """The parts of an encrypted object as they were.

        Each part is genuine; that it is the whole object is known once all have come.

        Raises
        ------
        StorageError
            It is encrypted with a key that is not set.
        DamagedError
            It is not what was written under this name.
        """
        chunks = _chunks(content, CHUNK_BYTES + _TAG_BYTES, HEAD_BYTES)
        head = bytes(next(chunks, b""))
        key = self._key_of(head)
        gcm, about = key.of_object(head[-_SALT_BYTES:]), head + name.encode()
        from cryptography.exceptions import InvalidTag

        count = 0
        try:
            for number, (chunk, is_last) in enumerate(_marked(chunks)):
                count += 1
                yield gcm.decrypt(_nonce(number, is_last=is_last), chunk, about)
        except InvalidTag as error:
            raise damaged() from error
        if not count:
            raise damaged()

    def encrypt(self, content: bytes, name: str) -> bytes:
        """A small object in one piece; see `encrypted`."""
        return whole(self.encrypted(content, name))

    def decrypt(self, content: Content, name: str) -> bytes:
        """An object in one piece; see `decrypted`."""
        return whole(self.decrypted(content, name))

    def clear(self, content: bytes, name: str) -> bytes:
        """The content of an object that may be encrypted or not."""
        return self.decrypt(content, name) if is_encrypted(content) else content

    def _key_of(self, head: bytes) -> Key:
        if len(head) < HEAD_BYTES or not is_encrypted(head):
            raise damaged()
        key = self._by_id.get(head[len(MAGIC) : len(MAGIC) + _ID_BYTES])
        if key is None:
            raise missing_key(self, [key_id(head)])
        return key


NO_KEYS = Keyring()


def is_encrypted(head: bytes) -> bool:
    """Whether an object that begins so is encrypted."""
    return head.startswith(MAGIC)


def key_id(head: bytes) -> str:
    """The id of the key of an object, in hexadecimal; empty for one that is not encrypted."""
    return head[len(MAGIC) : len(MAGIC) + _ID_BYTES].hex() if is_encrypted(head) else ""


def missing_key(keys: Keyring, needed: Iterable[str]) -> StorageError:
    """The error for what is encrypted with keys that are not set.

    Parameters
    ----------
    keys
        Those that are.
    needed
        Ids of those that it takes.
    """
    named = ", ".join(needed)
    if not keys:
        message = f"The data is encrypted (key {named}), and {_SETTING} is not set"
    else:
        message = f"The data is encrypted with key {named}; {_SETTING} has {', '.join(keys.ids)}"
    return StorageError(
        message,
        "Set the key that it was encrypted with, beside a newer one if there is one. Nothing was "
        "changed. Without that key the data cannot be read by anybody.",
        code=KEY_CODE,
    )


def damaged() -> DamagedError:
    """The error for what was encrypted and is not what was written."""
    return DamagedError(
        "An encrypted file was changed, cut off, or put in the place of another",
        "Restore it from a backup.",
        code=DAMAGED_CODE,
    )


def _chunks(content: Content, size: int, first: int = 0) -> Iterator[bytes]:
    """Pieces of a size each, but for the last; of nothing one empty piece.

    Parameters
    ----------
    first
        Bytes of a piece of another size that comes before them.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        view = memoryview(content)
        if first:
            yield bytes(view[:first])
            view = view[first:]
            if not view:
                return
        for start in range(0, max(1, len(view)), size):
            yield bytes(view[start : start + size])
        return
    held, wanted, is_begun = bytearray(), first or size, False
    for part in content:
        held += part
        while len(held) >= wanted:
            with memoryview(held) as view:
                piece = bytes(view[:wanted])
            yield piece
            del held[:wanted]
            wanted, is_begun = size, True
    if held or not (is_begun or first):
        yield bytes(held)


def _marked(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each piece, and whether it is the last."""
    before: bytes | None = None
    for chunk in chunks:
        if before is not None:
            yield before, False
        before = chunk
    if before is not None:
        yield before, True


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + (_LAST if is_last else _MORE)
