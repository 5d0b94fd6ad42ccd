"""A copy of a whole installation, made while it runs.

What holds of a backup (decision 0062): the database is as it was at one moment; a case's record and
masks are as they were at that moment or a later one, never an earlier, and what a record names is
there. So the restored server's rows follow the records, as they do after a kill. The trail's
copies and its checkpoint are taken before the database, which therefore has every line of them.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loguru import logger
from sqlalchemy import Engine

from core.cases import records
from core.cases.origins import KEY_FILE as ORIGINS_KEY_FILE
from core.errors import ConflictError, HippoViewError, InputError, NotFoundError, StorageError
from core.people import audit
from core.people.kept import BASE_NAME
from core.settings import RECEIVED, Settings
from core.state.claim import MARK_NAME, claim, is_marked
from core.state.database import is_shared, timestamp
from core.state.encrypted_storage import ENCRYPTED, PLAIN, EncryptedStorage
from core.state.encryption import NO_KEYS
from core.state.failures import disk_error, is_key
from core.state.keys import agree_on_keys
from core.state.storage import PartedStorage, bare_storage, sync_folder
from core.training.job_folders import FOLDER as JOBS
from core.upkeep import databases
from core.upkeep.manifest import DATA, DATABASE, NAME, STORAGE, Manifest, check, parts_of, sha256_of
from core.wording import counted

TRAIL = "trail"
# Every folder of the storage; the ids of its keys lie in one of their own.
FOLDERS = ("encryption", *ENCRYPTED, *PLAIN)
_AT_ONCE = 8
_KIND: Final = "backup"
# How often a case is copied that changes meanwhile.
_TRIES = 3
_OF_SUCCEEDED = (MARK_NAME, "log.txt")


@dataclass
class _Copied:
    """What was copied so far, by several threads.

    Attributes
    ----------
    files : dict
        SHA-256 by path in the backup.
    vanished : int
        How many files were deleted before their turn came.
    """

    folder: Path
    on_file: Callable[[int], None]
    files: dict[str, str] = field(default_factory=dict)
    vanished: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, path: str, parts: Iterable[bytes]) -> bool:
        """Copy a file, to stay; False if it is gone."""
        target = self.folder / path
        digest = hashlib.sha256()
        try:
            with _on_disk():
                _make_folder(target.parent)
            source = iter(parts)
            first = next(source, b"")  # raises if it is gone, before anything is made of it
            with _on_disk():
                handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                file = os.fdopen(handle, "wb")
            try:
                part: bytes | None = first
                while part is not None:
                    digest.update(part)
                    with _on_disk():
                        file.write(part)
                    part = next(source, None)
                with _on_disk():
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                file.close()
        except (NotFoundError, FileNotFoundError):
            target.unlink(missing_ok=True)
            with self.lock:
                self.vanished += 1
                self.files.pop(path, None)
            return False
        except OSError as error:
            raise disk_error(error) from error
        with self.lock:
            self.files[path] = digest.hexdigest()
            self.on_file(len(self.files))
        return True

    def drop(self, paths: Iterable[str]) -> None:
        """Take files back."""
        for path in paths:
            with self.lock:
                is_there = self.files.pop(path, None) is not None
            if is_there:
                with _on_disk():
                    (self.folder / path).unlink()


def back_up(
    settings: Settings, engine: Engine, target: Path,
    on_file: Callable[[int], None] = lambda count: None,
) -> Manifest:  # fmt: skip
    """Copy the installation into a folder, readable by this user alone.

    Parameters
    ----------
    settings, engine
        Of the installation; a server may run on it.
    target
        A folder that does not exist yet, an empty one, or one of a backup that broke off, which is
        begun anew.
    on_file
        Called with the number of files copied so far.

    Returns
    -------
    Manifest
        What it holds, read again and compared.

    Raises
    ------
    InputError
        The folder holds something else, or is of no use; or the data folder is that of no server.
    ConflictError
        Another backup is being written there.
    StorageError
        The disk of the backup is full, or the storage fails. Nothing is left that looks like a
        backup.
    """
    if target.resolve().is_relative_to(settings.data_dir.resolve()):
        raise InputError(
            "The backup would lie in the data folder itself",
            "Name a folder elsewhere, best on another disk.",
            code="backup_inside",
        )
    _check_keys(settings, engine)
    was_there = target.exists()
    with _on_disk():
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
    claim(target, _KIND)
    with _alone(target):
        if (target / NAME).exists() and is_marked(target, _KIND):
            raise InputError(
                "This folder holds a backup already", "Name a folder that does not exist yet.",
                code="backup_exists",
            )  # fmt: skip
        try:
            with _on_disk():
                target.chmod(0o700)
                _empty(target)  # what one that was killed left
            return _copy_all(settings, engine, target, on_file)
        except BaseException:
            _remove(target, also_folder=not was_there)
            raise


def _check_keys(settings: Settings, engine: Engine) -> None:
    """Refuse a data folder that is not of the database, which may be on another machine."""
    has_file = (settings.data_dir / audit.KEY_FILE).is_file()
    if is_shared(engine) and not (has_file or settings.audit_key or settings.origins_key):
        raise InputError(
            "The data folder is that of no server: it lacks the key of the trail",
            "Set HIPPOVIEW_DATA_DIR to that of a server on this database, or "
            "HIPPOVIEW_AUDIT_KEY to theirs.",
            code="no_installation",
        )
    trail = audit.set_up(engine, settings)
    if is_shared(engine):
        agree_on_keys(engine, {"audit_key": trail.derived("key")})


def _copy_all(
    settings: Settings, engine: Engine, target: Path, on_file: Callable[[int], None]
) -> Manifest:
    identifier, began_at = secrets.token_hex(8), timestamp()
    audit.record_alone(engine, "backup", note=f"{identifier} began")
    copied = _Copied(target, on_file)
    storage = bare_storage(settings)
    for path, name in _small_files(settings):
        copied.put(f"{DATA}/{name}", parts_of(path))
    _copy_keys(storage, _ours(storage.keys(TRAIL)), copied)
    with _on_disk():
        (target / DATABASE).mkdir(mode=0o700)
        kind = databases.copy(engine, target / DATABASE)
        for path in (target / DATABASE).iterdir():
            copied.files[f"{DATABASE}/{path.name}"] = sha256_of(parts_of(path))
    schema, keys = databases.told_of(engine)
    keys |= set(EncryptedStorage(storage, NO_KEYS, Path()).needed()[1])
    known = databases.cases_in(target / DATABASE)
    whole = _copy_cases(storage, copied, known)
    for folder in FOLDERS:
        if folder not in (TRAIL, records.FOLDER):
            _copy_keys(storage, _ours(storage.keys(folder)), copied)
    for path, name in _further_files(settings, databases.succeeded_jobs(engine)):
        copied.put(f"{DATA}/{name}", parts_of(path))
    keys |= set(EncryptedStorage(storage, NO_KEYS, Path()).needed()[1])  # one may be new by now
    ended_at = timestamp()
    with _on_disk():
        for place, *_ in os.walk(target):
            sync_folder(Path(place))
    check(target, copied.files)
    # Cases that were removed for good meanwhile are to stay so; the row of one whose files are
    # gone may be about to follow, and says so.
    removed = sorted(known - whole - databases.cases_of(engine, deleted=False))
    manifest = Manifest(
        identifier, began_at, ended_at, kind, schema, sorted(keys), copied.files, removed,
        copied.vanished,
    )  # fmt: skip
    with _on_disk():
        manifest.write(target)
    try:
        note = f"{identifier} ended: {len(copied.files):,} files"
        audit.record_alone(engine, "backup", note=note)
    except HippoViewError as error:  # it is whole: the trail's database is what fails
        logger.warning("The backup is whole, but the trail has no line of its end: {}", error)
    return manifest


def _copy_cases(storage: PartedStorage, copied: _Copied, known: set[str]) -> set[str]:
    """Copy the files of every case; returns the ids of those that are there.

    The record comes first, then what lies beside it by then: it names nothing that is not there. A
    case that is being created is left out, and so is one that is removed for good meanwhile.

    Parameters
    ----------
    storage, copied
    known
        Cases that have a row in the copy of the database.
    """

    def copy(case_id: str) -> str | None:
        key, before = records.record_key(case_id), set[str]()
        for _ in range(_TRIES):
            has_record = copied.put(f"{STORAGE}/{key}", storage.read_parts(key))
            beside = {*_ours(storage.keys(records.folder_of(case_id)))} - {key}
            copied.drop(f"{STORAGE}/{k}" for k in before - beside)
            are_whole = [copied.put(f"{STORAGE}/{k}", storage.read_parts(k)) for k in beside]
            if (
                has_record
                and all(are_whole)
                and f"{records.folder_of(case_id)}/{records.IMAGE}" in beside
            ):
                return case_id
            if not has_record and (case_id not in known or not beside):
                copied.drop(f"{STORAGE}/{k}" for k in beside)
                return None
            before = beside
        return case_id  # damaged before, or its removal has begun, which the record says

    with _pool() as pool:
        return {done for done in pool.map(copy, _ours(storage.folders(records.FOLDER))) if done}


def _copy_keys(storage: PartedStorage, keys: Iterable[str], copied: _Copied) -> None:
    with _pool() as pool:
        for _ in pool.map(lambda k: copied.put(f"{STORAGE}/{k}", storage.read_parts(k)), keys):
            pass


def _ours(names: list[str]) -> list[str]:
    """Those that HippoView may have written: somebody's copy beside them stops no backup."""
    ours = [name for name in names if is_key(name)]
    if len(ours) < len(names):
        odd = counted(len(names) - len(ours), "file or folder", "files or folders")
        logger.warning("Left out of the backup: {} with a name that HippoView never gives", odd)
    return ours


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(_AT_ONCE, "backup") as pool:
        try:
            yield pool
        finally:  # what is not begun need not be, if one failed
            pool.shutdown(cancel_futures=True)


def _small_files(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Keys, and what says how far trail and accounts are; with their names in the backup."""
    folder = settings.data_dir
    for name in (ORIGINS_KEY_FILE, audit.KEY_FILE, BASE_NAME):
        if (folder / name).is_file():
            yield folder / name, name
    checkpoint = Path(settings.audit_checkpoint or folder / audit.CHECKPOINT_FILE)
    for path in sorted(checkpoint.parent.glob(f"{checkpoint.name}*")):
        yield path, audit.CHECKPOINT_FILE + path.name.removeprefix(checkpoint.name)


def _further_files(settings: Settings, succeeded: set[str]) -> Iterator[tuple[Path, str]]:
    """Studies that are no cases yet, and the folders of trainings.

    Of a training that has succeeded the log alone: its version lies in the storage.
    """
    root = settings.data_dir
    for folder in (RECEIVED, JOBS):
        for place, _, names in os.walk(root / folder):
            for name in sorted(names):
                path = Path(place, name)
                if path.is_symlink() or not path.is_file() or name.startswith(".new-"):
                    continue
                way = path.relative_to(root)
                if folder == JOBS and way.parts[1] in succeeded and name not in _OF_SUCCEEDED:
                    continue
                yield path, way.as_posix()


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each for this user alone."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def _empty(target: Path) -> None:
    for path in target.iterdir():
        if path.name == MARK_NAME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove(target: Path, *, also_folder: bool) -> None:
    shutil.rmtree(target / STORAGE, ignore_errors=True)
    try:
        _empty(target)
        (target / MARK_NAME).unlink()
        if also_folder:
            target.rmdir()
    except OSError:  # it has no manifest, so that nobody takes it for whole
        return


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    with (target / MARK_NAME).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "Another backup is being written into this folder",
                "Wait for it, or name another folder.",
                code="backup_runs",
            ) from error
        yield


_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def _on_disk() -> Iterator[None]:
    """Say in words what the backup's own disk does, which is another one than the storage's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                "The disk of the backup is full: no backup was left there",
                "Make room, or name a folder on another disk.",
                code="backup_full",
            ) from error
        raise StorageError(
            f"The backup cannot be written ({error.strerror})",
            "Check the folder that you named, and the disk that it lies on.",
            code="backup_failed",
        ) from error
