"""A disk cache of files by case: unpacked scans, and what the browser fetches.

They are patients' data: the folder is for the server's own user alone, it is cleared at the start,
and what belongs to a case goes with it.
"""

import os
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from loguru import logger

from core import limits
from core.errors import SettingsError
from core.state.encryption import NO_KEYS, DamagedError, Keyring
from core.state.failures import disk_error
from core.state.short_lived import HAS_MEMORY, in_memory, parts_of

# Decrypted files that stay in the memory: a case's scan is asked for four times while it is opened.
# Two heads of 1 mm; of what is larger the last one stays, for all who look at it.
_RECENT_BYTES = 128 * limits.MIB

_ID = re.compile("HV-[0-9A-Z]{6}(?![0-9A-Za-z])")


class KeptFiles:
    """A folder of files by case, each made when it is first used.

    Parameters
    ----------
    folder
        Emptied, if it holds nothing but folders of cases.
    most_bytes
        Kept at most: beyond it the cases that were not looked at for longest make room.
    encrypt
        Encrypt the files, with a key that ends with this process; what is in clear is in the
        memory alone, for as long as a file is open.

    Raises
    ------
    SettingsError
        Somebody's own files lie in it.
    """

    def __init__(self, folder: Path, most_bytes: int, *, encrypt: bool = False) -> None:
        if folder.is_dir() and not all(_is_of_a_case(path) for path in folder.iterdir()):
            raise SettingsError(
                f"The folder {folder.name} in HIPPOVIEW_DATA_DIR holds files that are not of this "
                "server, which would be removed",
                "Point HIPPOVIEW_DATA_DIR to a folder of its own.",
            )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        self._folder = folder
        self._most_bytes = most_bytes
        self._keys = Keyring.of_this_process() if encrypt else NO_KEYS
        self._lock = threading.Lock()
        # What was decrypted last, by what it is called, the latest last.
        self._recent: OrderedDict[str, _Held] = OrderedDict()
        self._making: dict[str, threading.RLock] = {}

    def opened(self, case_id: str, name: str, make: Callable[[Path], None]) -> BinaryIO:
        """A file of a case, to be read and closed.

        Open, it can be read to its end, also when it has made room for others meanwhile.

        Parameters
        ----------
        make
            Writes it, if it is not there; called once, also when several wait for the file.

        Raises
        ------
        StorageError
            The disk is full, or fails.
        """
        path = self._folder / case_id / name
        with self._lock_of(case_id):  # what makes one file may ask for another
            try:
                if not path.is_file():
                    path.parent.mkdir(mode=0o700, exist_ok=True)
                    self._write(path, make)
                path.parent.touch()  # looked at last
                self._make_room(case_id)
                if not self._keys:
                    return path.open("rb")
                try:
                    return self._read(path)
                except DamagedError:  # the disk's fault: it is made again
                    self._write(path, make)
                    return self._read(path)
            except OSError as error:
                raise disk_error(error) from error

    def forget(self, case_id: str) -> None:
        """Remove the files of a case, and other cases' files whose names have its id."""
        self._remove(case_id, wait=True)
        for folder in _listed(self._folder):
            for path in _listed(folder):
                if case_id in path.name:
                    with self._lock_of(folder.name):
                        path.unlink(missing_ok=True)

    def case_ids(self) -> list[str]:
        """Cases that have files here, or that a file of another case was made for."""
        folders = _listed(self._folder)
        named = {one for folder in folders for p in _listed(folder) for one in _ID.findall(p.name)}
        return sorted({folder.name for folder in folders} | named)

    def _remove(self, case_id: str, *, wait: bool) -> bool:
        """Remove the folder of a case; without waiting, unless something in it is made now."""
        lock = self._lock_of(case_id)
        if not lock.acquire(blocking=wait):
            return False
        try:
            shutil.rmtree(self._folder / case_id, ignore_errors=True)
            self._forget_recent(f"{case_id}/")
        finally:
            lock.release()
        return True

    def _lock_of(self, case_id: str) -> threading.RLock:
        with self._lock:
            return self._making.setdefault(case_id, threading.RLock())

    def _write(self, path: Path, make: Callable[[Path], None]) -> None:
        handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 - a file that is open already
                if self._keys:
                    for part in self._keys.encrypted(_made(make), _called(path)):
                        file.write(part)
            if not self._keys:
                make(Path(name))
            Path(name).replace(path)
            self._forget_recent(_called(path))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _read(self, path: Path) -> BinaryIO:
        """What is in an encrypted file, as a file in the memory."""
        called = _called(path)
        with self._lock:
            if called in self._recent:
                self._recent.move_to_end(called)
                return self._recent[called].opened()
        memory = in_memory()
        try:
            with path.open("rb") as file:
                for part in self._keys.decrypted(parts_of(file), called):
                    memory.write(part)
            memory.seek(0)
        except BaseException:
            memory.close()
            raise
        if HAS_MEMORY:
            with self._lock:
                self._recent[called] = _Held(memory)
                while len(self._recent) > 1 and self._recent_bytes() > _RECENT_BYTES:
                    self._recent.popitem(last=False)
        return memory

    def _recent_bytes(self) -> int:
        return sum(held.size for held in self._recent.values())

    def _forget_recent(self, begin: str) -> None:
        with self._lock:
            for called in [name for name in self._recent if name.startswith(begin)]:
                del self._recent[called]

    def _make_room(self, but_for: str) -> None:
        folders = sorted(self._folder.iterdir(), key=_looked_at)
        sizes = {folder.name: _bytes_in(folder) for folder in folders}
        total = sum(sizes.values())
        for folder in folders:
            if total <= self._most_bytes:
                return
            if folder.name != but_for and self._remove(folder.name, wait=False):
                total -= sizes[folder.name]
        if total > self._most_bytes:
            logger.debug("One case takes more than all the room for viewed cases")


class _Held:
    """Keeps a file in the memory there, whoever closes it, until this is gone."""

    def __init__(self, file: BinaryIO) -> None:
        self._handle = os.dup(file.fileno())
        self.size = os.fstat(self._handle).st_size

    def __del__(self) -> None:
        os.close(self._handle)

    def opened(self) -> BinaryIO:
        """The file once more, from its begin."""
        return Path(f"/dev/fd/{self._handle}").open("rb")


def _made(make: Callable[[Path], None]) -> Iterator[bytes]:
    """The parts of a file that is made in the memory."""
    with in_memory() as file:
        make(Path(f"/dev/fd/{file.fileno()}"))
        file.seek(0)
        yield from parts_of(file)


def _called(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, which another thread may just have removed."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_of_a_case(path: Path) -> bool:
    return path.name.startswith("HV-") and path.is_dir()


def _looked_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another thread has removed it
        return 0.0


def _bytes_in(folder: Path) -> int:
    total = 0
    with suppress(FileNotFoundError):  # another thread removes it
        for path in folder.iterdir():
            total += path.stat().st_size
    return total
