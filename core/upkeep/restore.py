"""Takes a backup up into an empty installation.

From the first file to the last the storage says that a restore has not ended, and nobody opens it:
one that is killed serves nothing, and the next call begins anew.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from core.cases.origins import KEY_FILE as ORIGINS_KEY_FILE
from core.errors import ConflictError, InputError
from core.people import audit
from core.people.audit_verify import verify
from core.people.kept import BASE_NAME
from core.settings import RECEIVED, Settings
from core.state.database import DATABASE_NAME, connect
from core.state.encryption import Keyring, missing_key
from core.state.failures import in_words, is_key
from core.state.opened import held_alone
from core.state.storage import (
    UNFINISHED,
    PartedStorage,
    bare_storage,
    open_storage,
    sync_folder,
    write_whole,
)
from core.state.tables import CASES, CODES, SESSIONS
from core.training.job_folders import FOLDER as JOBS
from core.upkeep import databases
from core.upkeep.backup import FOLDERS
from core.upkeep.manifest import DATA, DATABASE, STORAGE, Manifest, check, parts_of

_AT_ONCE = 8
_SMALL_FILES = (DATABASE_NAME, ORIGINS_KEY_FILE, audit.KEY_FILE, audit.CHECKPOINT_FILE, BASE_NAME)


@dataclass(frozen=True)
class Restored:
    """What a restore has made.

    Attributes
    ----------
    manifest : Manifest
        Of the backup.
    cases : int
        Deleted ones included.
    faults : list of str
        What the trail is not, see `core.people.audit_verify`; such as that the checkpoint on
        another disk knows of lines that came after the backup.
    """

    manifest: Manifest
    cases: int
    faults: list[str]


def restore(
    settings: Settings, source: Path, on_file: Callable[[int], None] = lambda count: None
) -> Restored:
    """Take a backup up; what is in it is compared with its hashes before and while it is taken.

    Everybody has to sign in anew: a sign-in that was ended since the backup does not come back.

    Parameters
    ----------
    settings
        Of an installation that holds nothing yet.
    source
        The backup.
    on_file
        Called with the number of files so far.

    Raises
    ------
    InputError
        The folder is no backup, or a damaged one, or of a newer version; or the settings name a
        PostgreSQL.
    ConflictError
        A server runs on the data folder, or the installation holds something. Nothing was changed.
    StorageError
        A key is missing; or the disk or the storage fails: call again.
    """
    databases.check_file(settings)
    manifest = Manifest.read(source)
    databases.check_known(manifest.engine, manifest.schema)
    _check_places(manifest)
    keys = Keyring.of(settings)
    missing = [key for key in manifest.keys if key not in keys.ids]
    if missing:
        raise missing_key(keys, missing)
    check(source, manifest.files)
    with in_words():
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held_alone(settings.data_dir / "incoming") as is_alone:
        if not is_alone:
            raise ConflictError(
                "A server runs on this data folder", "Stop it first.", code="server_runs"
            )
        storage = bare_storage(settings)
        if not storage.head(UNFINISHED, 1):
            _check_empty(settings, storage)
        storage.write(UNFINISHED, json.dumps({"backup": manifest.id}).encode())
        _take_up(settings, storage, manifest, source, on_file)
        engine = connect(settings.data_dir, keys)
        cases = _settle(settings, engine, manifest)
        with in_words():
            for place, *_ in os.walk(settings.data_dir):
                sync_folder(Path(place))
        storage.delete(UNFINISHED)
        faults = verify(engine, open_storage(settings)).faults
        engine.dispose()
    return Restored(manifest, cases, faults)


def _check_places(manifest: Manifest) -> None:
    """Refuse a backup without a database, or with a file that no backup puts where it is."""
    odd = [key for key in manifest.below(STORAGE)
           if not is_key(key) or key.partition("/")[0] not in FOLDERS]  # fmt: skip
    odd += [
        name for name in manifest.below(DATA)
        if name not in _SMALL_FILES[1:] and name.partition("/")[0] not in (RECEIVED, JOBS)
        and not (name.startswith(audit.CHECKPOINT_FILE) and "/" not in name)
    ]  # fmt: skip
    if odd or {*manifest.below(DATABASE)} != {databases.COPY}:
        raise InputError(
            "The backup lacks its database, or holds a file that no backup has",
            "Take another backup: somebody may have changed this one.",
            code="backup_damaged",
        )


def _check_empty(settings: Settings, storage: PartedStorage) -> None:
    folder = settings.data_dir
    held = [name for name in _SMALL_FILES if (folder / name).exists()]
    held += [n for n in (RECEIVED, JOBS) if (folder / n).is_dir() and any((folder / n).iterdir())]
    held += [f"{name} (storage)" for name in FOLDERS if storage.keys(name)]
    if held:
        raise ConflictError(
            f"This installation is not empty: it has {', '.join(held)}. Nothing was changed",
            "Restore into an empty data folder (HIPPOVIEW_DATA_DIR) and storage; move away what is "
            "there, and keep it until the restored server has been looked at.",
            code="not_empty",
        )


def _take_up(
    settings: Settings, storage: PartedStorage, manifest: Manifest, source: Path,
    on_file: Callable[[int], None],
) -> None:  # fmt: skip
    """Write all files; and remove what an earlier call took up of another backup."""
    stored, data = manifest.below(STORAGE), manifest.below(DATA)
    told_of_copy = manifest.below(DATABASE)[databases.COPY]
    for folder in FOLDERS:
        for key in storage.keys(folder):
            if key not in stored:
                storage.delete(key)
    with in_words():
        for folder in (RECEIVED, JOBS):
            for path in [*(settings.data_dir / folder).rglob("*")]:
                if path.is_file() and path.relative_to(settings.data_dir).as_posix() not in data:
                    path.unlink()

    def put(key: str) -> None:
        storage.write(key, _as_told(parts_of(source / STORAGE / key), stored[key]))

    done = 0
    with _pool() as pool:
        for done, _ in enumerate(pool.map(put, stored), 1):
            on_file(done)
    checkpoint = Path(settings.audit_checkpoint or settings.data_dir / audit.CHECKPOINT_FILE)
    for count, (name, told) in enumerate(data.items(), done + 1):
        target = settings.data_dir / name
        if name.startswith(audit.CHECKPOINT_FILE):
            # One on another disk tells of the installation of before: it is evidence, and stays.
            target = Path(f"{checkpoint}{name.removeprefix(audit.CHECKPOINT_FILE)}")
            if settings.audit_checkpoint and target.exists():
                continue
        with in_words():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(target, _as_told(parts_of(source / DATA / name), told), 0o600)
        on_file(count)
    with in_words():
        copy = _as_told(parts_of(source / DATABASE / databases.COPY), told_of_copy)
        databases.put_back(copy, settings.data_dir)


def _settle(settings: Settings, engine: Engine, manifest: Manifest) -> int:
    """Bring the database to what a restore makes of it; returns the number of cases."""
    audit.set_up(engine, settings)
    note = f"the installation, from backup {manifest.id} of {manifest.ended_at[:19]}"
    with audit.recording(engine) as connection:
        for table in (SESSIONS, CODES):
            connection.execute(table.delete())
        for case_id in manifest.removed_cases:
            connection.execute(CASES.delete().where(CASES.c.id == case_id))
        audit.record(connection, "restore", note=note)
    return len(databases.cases_of(engine))


def _as_told(parts: Iterable[bytes], told: str) -> Iterator[bytes]:
    """The parts of a file, if they are those of the manifest.

    Raises
    ------
    InputError
        At the end, before whoever writes them puts the file into its place.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
        yield part
    if digest.hexdigest() != told:
        raise InputError(
            "The backup is damaged: a file is not what it was a moment ago",
            "Look at the disk that the backup lies on, then call again.",
            code="backup_damaged",
        )


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(_AT_ONCE, "restore") as pool:
        try:
            yield pool
        finally:  # what is not begun need not be, if one failed
            pool.shutdown(cancel_futures=True)
