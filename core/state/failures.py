"""What a storage says when it fails, whatever holds the files; keys that lead nowhere else."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import ChangedError, NotFoundError, StorageError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
# By the operating system's error: what it means, what to do, and our code.
_FAILURES = {
    errno.ENOSPC: ("The disk of the storage is full", "Make room on the disk of the data folder, "
                   "then try again.", "storage_full"),
    errno.EDQUOT: ("The storage has used up what it may take of the disk", "Make room or raise "
                   "the quota, then try again.", "storage_full"),
    errno.EACCES: ("The server has no access to its storage", "Give its account the right to read "
                   "and write below the data folder.", "storage_denied"),
    errno.EPERM: ("The server has no access to its storage", "Give its account the right to read "
                  "and write below the data folder.", "storage_denied"),
    errno.EROFS: ("The disk of the storage cannot be written", "It is mounted read-only: look "
                  "whether it fails, then mount it again.", "storage_denied"),
    errno.ENOTDIR: ("The storage is damaged: a file lies where a folder should be", "Move that "
                    "file away, or restore the data folder from a backup.", "storage_damaged"),
    errno.EISDIR: ("The storage is damaged: a folder lies where a file should be", "Move that "
                   "folder away, or restore the data folder from a backup.", "storage_damaged"),
    errno.EEXIST: ("The storage is damaged: a file lies where a folder should be", "Move that "
                   "file away, or restore the data folder from a backup.", "storage_damaged"),
}  # fmt: skip


@contextmanager
def in_words() -> Iterator[None]:
    """Turn an ``OSError`` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> StorageError:
    """The `StorageError` for a failing disk, without any file's name."""
    message, hint, code = _FAILURES.get(
        error.errno or 0,
        (
            f"The disk of the storage fails ({error.strerror or type(error).__name__})",
            "Look at the disk of the data folder, then try again.",
            "storage_failed",
        ),
    )
    return StorageError(message, hint, code=code)


def is_key(text: str) -> bool:
    """Whether a text can be a key of a storage."""
    return _KEY.fullmatch(text) is not None


def checked_key(key: str) -> str:
    """The key itself; raises ``ValueError`` if it could lead outside of the storage."""
    if not is_key(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def missing_file() -> NotFoundError:
    """The error for a file that should exist and does not."""
    return NotFoundError(
        "A file is missing from the storage",
        "Segment the scan again; if it is a model or a data set, restore it from a backup.",
    )


def changed_file() -> ChangedError:
    """The error for a file that changed since the caller read it."""
    return ChangedError(
        "Someone else changed the same at the same time", "Look at what is there now and try again."
    )
