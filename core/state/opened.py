"""Folders of short-lived files: of encrypted ones in clear while they are used, of uploads.

Each is locked by the process that uses it; one that nobody holds any more, since its process was
killed, is removed by whoever opens the next.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from core.state.failures import in_words

_LOCK = ".lock"
# Folders that a killed process leaves among short-lived files: an export unpacked, one fetched.
_SHORT_LIVED = ("dicom-", "pacs-")


@contextmanager
def private_folder(root: Path) -> Iterator[Path]:
    """A folder of this process's own below ``root``, readable by its user alone, then removed.

    Raises
    ------
    StorageError
        The disk fails.
    """
    with in_words():
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(root):
            _remove_left(root)
            folder = Path(tempfile.mkdtemp(prefix="files-", dir=root))  # mode 0700
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_left(root: Path) -> None:
    """Remove the folders that killed processes left.

    Raises
    ------
    StorageError
    """
    if root.is_dir():
        with in_words(), _locked(root):
            _remove_left(root)


def clear_unless_shared(folder: Path) -> None:
    """Create a folder for short-lived files, and remove those that a killed process left there.

    Nothing is removed while another process uses the folder.

    Raises
    ------
    StorageError
    """
    with in_words():
        # The data folder above it too: `parents` alone would make it as the umask says.
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
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


@contextmanager
def held_alone(folder: Path) -> Iterator[bool]:
    """Keep others from using a folder as `clear_unless_shared` does: they wait for the end.

    Yields
    ------
    bool
        False where somebody uses it already, and is not kept from it.

    Raises
    ------
    StorageError
    """
    with in_words():
        handle = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_alone = True
        except BlockingIOError:
            is_alone = False
        yield is_alone
    finally:
        os.close(handle)


def is_shared(folder: Path) -> bool:
    """Whether a process holds a folder as `clear_unless_shared` does."""
    lock = folder.with_suffix(".lock")
    with in_words(), lock.open("rb") if lock.exists() else nullcontext() as file:
        try:
            if file is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _remove_left(root: Path) -> None:
    for folder in root.iterdir():
        if not folder.is_dir() or folder.is_symlink():
            continue
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # it is in use
            continue
        else:
            shutil.rmtree(folder)
        finally:
            os.close(handle)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / _LOCK).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
