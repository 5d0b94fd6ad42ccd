"""Takes a backup up into an empty installation.

From the first file to the last the storage says that a restore has not ended, and nobody opens it:
one that is killed serves nothing, and the next call begins anew.
"""

import hashlib
import json
import os
import secrets
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
from core.state.database import DATABASE_NAME, connect, is_shared
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
# In the data folder from the beginning of a restore to its end.
_MARK = "restore.unfinished"
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
        The folder is no backup, or a damaged one, or of a newer version.
    ConflictError
        A server runs on the data folder or the PostgreSQL, or the installation holds something.
        Nothing was changed.
    StorageError
        A key is missing; or the disk or the storage fails: call again.
    """
    manifest = Manifest.read(source)
    databases.check_known(manifest.schema)
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
        _begin(settings, storage, manifest)
        _take_up(settings, storage, manifest, source, on_file)
        if not settings.database_url:
            with in_words():
                databases.put_back(_copy(manifest, source), settings.data_dir)
        # Of an empty PostgreSQL the keys are noted with the rows that need them.
        is_here = not settings.database_url
        engine = connect(settings.data_dir, keys, agree=is_here, url=settings.database_url)
        try:
            _settle(settings, engine, manifest, source)
            cases = len(databases.cases_of(engine))
            with in_words():
                for place, *_ in os.walk(settings.data_dir):
                    sync_folder(Path(place))
            storage.delete(UNFINISHED)
            with in_words():
                (settings.data_dir / _MARK).unlink(missing_ok=True)
            faults = verify(engine, open_storage(settings)).faults
        finally:
            engine.dispose()
    return Restored(manifest, cases, faults)


def _check_places(manifest: Manifest) -> None:
    """Refuse a backup without a database, or with a file that no backup puts where it is."""
    odd = [key for key in manifest.below(STORAGE)
           if not is_key(key) or "/" not in key or key.split("/")[0] not in FOLDERS]  # fmt: skip
    odd += [
        name for name in manifest.below(DATA)
        if name not in _SMALL_FILES[1:]
        and not (name.startswith((f"{RECEIVED}/", f"{JOBS}/")))
        and not (name.startswith(audit.CHECKPOINT_FILE) and "/" not in name)
    ]  # fmt: skip
    if odd or {*manifest.below(DATABASE)} != {DATABASE_NAME}:
        raise InputError(
            "The backup lacks its database, or holds a file that no backup has",
            "Take another backup: somebody may have changed this one.",
            code="backup_damaged",
        )


def _begin(settings: Settings, storage: PartedStorage, manifest: Manifest) -> None:
    """Refuse what is not empty, unless by an earlier call that did not end; mark both places.

    The storage may be a bucket that others name too: that a restore into it has begun says nothing
    of this data folder, unless both have the same token.
    """
    mark, told = settings.data_dir / _MARK, storage.head(UNFINISHED, 1000)
    with in_words():
        token = mark.read_text() if mark.is_file() else ""
    is_ours = bool(token) and f'"{token}"'.encode() in told
    held = [] if told else [f"{name} (storage)" for name in FOLDERS if storage.keys(name)]
    if not is_ours:
        folder, token = settings.data_dir, secrets.token_hex(16)
        held += [name for name in _SMALL_FILES if (folder / name).exists()]
        held += [
            n for n in (RECEIVED, JOBS) if (folder / n).is_dir() and any((folder / n).iterdir())
        ]
    if held:
        raise ConflictError(
            f"This installation is not empty: it has {', '.join(held)}. Nothing was changed",
            "Name an empty data folder (HIPPOVIEW_DATA_DIR) and an empty storage.",
            code="not_empty",
        )
    if settings.database_url and not is_ours:
        databases.check_can_be_filled(settings)
    with in_words():
        write_whole(mark, token.encode(), 0o600)
    storage.write(UNFINISHED, json.dumps({"backup": manifest.id, "by": token}).encode())


def _copy(manifest: Manifest, source: Path) -> Iterator[bytes]:
    """The database of a backup, compared with its hash while it is read."""
    told = manifest.below(DATABASE)[DATABASE_NAME]
    return _as_told(parts_of(source / DATABASE / DATABASE_NAME), told)


def _take_up(
    settings: Settings, storage: PartedStorage, manifest: Manifest, source: Path,
    on_file: Callable[[int], None],
) -> None:  # fmt: skip
    """Write all files; and remove what an earlier call took up of another backup."""
    stored, data = manifest.below(STORAGE), manifest.below(DATA)
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


def _settle(settings: Settings, engine: Engine, manifest: Manifest, source: Path) -> None:
    """Bring the database to what a restore makes of it.

    In a PostgreSQL the rows come with it, all in one transaction: one that was killed has left
    nothing there, or has done all.
    """
    audit.set_up(engine, settings)
    note = f"the installation, from backup {manifest.id} of {manifest.ended_at[:19]}"
    with audit.recording(engine, needed=False) as connection:
        if is_shared(engine):
            if databases.holds_restored(connection, note):
                return
            databases.check_unused(settings)
            databases.fill_postgresql(_copy(manifest, source), settings.data_dir, connection)
        for table in (SESSIONS, CODES):
            connection.execute(table.delete())
        for case_id in manifest.removed_cases:
            connection.execute(CASES.delete().where(CASES.c.id == case_id))
        audit.record(connection, "restore", note=note)


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
