"""Checks of what is kept: storage, keys, database, trail, models, clock, accounts.

Nothing is changed but a probe in the storage, which goes again; an older database is looked at as
it is, and brought up to date by the next start alone.
"""

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, func, select

from core.cases.origins import KEY_FILE as ORIGINS_KEY_FILE
from core.errors import HippoViewError, StorageError
from core.models.folder import load_model
from core.models.registry import Registry
from core.people import audit
from core.people.audit_verify import verify
from core.people.kept import can_have_accounts, no_accounts
from core.settings import GS_PREFIX, Settings, variable_of
from core.state.database import DATABASE_NAME, connect, is_shared, reading
from core.state.encrypted_storage import EncryptedStorage
from core.state.encryption import Keyring, missing_key
from core.state.keys import agree_on_keys
from core.state.storage import UNFINISHED, PartedStorage, Storage, bare_storage
from core.state.tables import ACCOUNTS, TRAIL
from core.upkeep.checked import Checked, or_ok, wrong
from core.upkeep.of_postgresql import MOST_OFF_S, of_postgresql, of_step

_PROBE = "doctor/probe-"


def of_state(settings: Settings) -> Iterator[Checked]:
    """All of them; without an installation only what a first start needs."""
    if not settings.data_dir.is_dir():
        yield from _model(settings)
        yield from _accounts(settings)
        if settings.database_url:
            yield from of_postgresql(settings.database_url)[0]
            return
        yield Checked("installation", "ok", "there is none yet: the first start makes it")
        return
    try:
        bare = bare_storage(settings)
        storage = EncryptedStorage(bare, Keyring.of(settings), settings.data_dir / "opened")
        yield from _storage(bare, settings)
        yield from or_ok("keys", _keys(storage, settings), "every key is set that it takes")
    except HippoViewError as error:
        yield wrong("storage", error)
        storage = None
    if settings.database_url:
        faults, can_look = of_postgresql(settings.database_url)
    else:
        faults = list(_database_file(settings))
        is_there = (settings.data_dir / DATABASE_NAME).is_file()
        can_look = is_there and all(each.level == "ok" for each in faults)
    yield from faults
    if not can_look:
        yield from _model(settings)
        if all(each.level == "ok" for each in faults):
            yield from _accounts(settings)
        return
    try:
        keys = Keyring.of(settings)
        engine = connect(settings.data_dir, keys, agree=False, url=settings.database_url)
    except HippoViewError as error:
        yield wrong("database", error)
        return
    try:
        if storage is not None:
            yield from _models(engine, storage, settings)
            yield from or_ok("trail", _trail(engine, storage, settings), "as it was written")
        yield from or_ok("accounts", _people(engine, settings), "there are some, or none is needed")
        yield from or_ok("clock", _newest(engine), "nothing here is of the future")
    except HippoViewError as error:
        yield wrong("database", error)
    finally:
        engine.dispose()


def _storage(bare: PartedStorage, settings: Settings) -> Iterator[Checked]:
    """Write a probe, read it, look at its time, delete it."""
    kind = "bucket" if settings.storage.startswith(GS_PREFIX) else "folder"
    if bare.head(UNFINISHED, 1):
        yield Checked("storage", "wrong", "A restore into this storage has not ended",
                      "Call python -m core restore again with the same backup.")  # fmt: skip
    key, content = f"{_PROBE}{secrets.token_hex(8)}", secrets.token_bytes(1000)
    try:
        before_s = time.time()
        bare.write(key, content)
        if bare.read(key) != content:
            yield Checked("storage", "wrong", "The storage gives back something else than was "
                          "written", "Look at its disk or its service.")  # fmt: skip
            return
        written_s, after_s = bare.written_at_s(key), time.time()
        bare.delete(key)
        if bare.head(key, 1):
            yield Checked("storage", "wrong", "What was deleted in the storage is still there",
                          "Grant the server the right to delete.")  # fmt: skip
            return
    except HippoViewError as error:
        yield wrong("storage", error)
        return
    yield Checked("storage", "ok", f"a probe was written to the {kind}, read and deleted")
    off_s = max(before_s - written_s, written_s - after_s, 0.0)
    if off_s > MOST_OFF_S:
        yield Checked("clock", "wrong", f"This machine's clock and the storage's differ by "
                      f"{off_s:,.0f} s", "Have both follow a time server (NTP).")  # fmt: skip


def _keys(storage: EncryptedStorage, settings: Settings) -> Iterator[Checked]:
    needed = storage.needed()[1]
    missing = [key for key in needed if key not in storage.keyring.ids]
    if missing:
        yield wrong("keys", missing_key(storage.keyring, missing))
    file = settings.encryption_key_file
    if file and Path(file).stat().st_mode & 0o077:
        yield Checked("keys", "warning", f"Others may read the file of "
                      f"{variable_of('encryption_key_file')}", "chmod 600 it.")  # fmt: skip
    if storage.inner.folders("origins") or storage.inner.keys("origins"):
        has_file = (settings.data_dir / ORIGINS_KEY_FILE).is_file()
        if not settings.origins_key and not has_file:
            yield Checked(
                "keys", "wrong", "The key of the DICOM patients is missing: no case leads back to "
                "its patient", f"Set {variable_of('origins_key')}, or put {ORIGINS_KEY_FILE} back "
                "from a backup.",
            )  # fmt: skip


def _database_file(settings: Settings) -> Iterator[Checked]:
    """Whether SQLite can read the file, all of it, and which steps it has taken."""
    file = settings.data_dir / DATABASE_NAME
    if not file.is_file():
        yield Checked("database", "ok", "there is none: cases and models are taken in again from "
                      "the storage at the next start")  # fmt: skip
        return
    hint = "Restore a backup; or move it away: cases and models are taken in from the storage."
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            told = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            steps = {row[0] for row in database.execute("SELECT number FROM migrations")}
            homeless = database.execute("PRAGMA foreign_key_check").fetchone()
    except (sqlite3.Error, OSError) as error:
        yield Checked("database", "wrong", f"It cannot be read: {error}", hint)
        return
    if told != "ok" or homeless:
        yield Checked("database", "wrong", "It is damaged", hint)
    else:
        yield from of_step(max(steps, default=0), "whole")


def _model(settings: Settings) -> Iterator[Checked]:
    try:
        model = load_model(settings.model_dir)
    except HippoViewError as error:
        yield wrong("models", error)
    else:
        yield Checked("models", "ok", f"{model.name}: every file has its SHA-256")


def _models(engine: Engine, storage: Storage, settings: Settings) -> Iterator[Checked]:
    """The files of every version that was registered."""
    registry = Registry(engine, storage, settings.model_dir)
    versions = registry.find()
    if not versions:
        yield from _model(settings)
        return
    broken = []
    for version in versions:
        try:
            with registry.open(version.number):
                pass
        except HippoViewError as error:
            serves = version.number == registry.serving().number
            broken.append(Checked(
                "models", "wrong" if serves else "warning",
                f"Version {version.number}{', which serves' if serves else ''}: {error.message}",
                error.hint,
            ))  # fmt: skip
    yield from or_ok("models", broken, f"{len(versions)} registered, every file has its SHA-256")


def _trail(engine: Engine, storage: Storage, settings: Settings) -> Iterator[Checked]:
    secret = settings.audit_key or settings.origins_key
    with reading(engine) as connection:
        has_lines = audit.trail_end(connection) is not None
    if has_lines and not secret and not (settings.data_dir / audit.KEY_FILE).is_file():
        yield Checked(
            "trail", "wrong", f"Its key is missing ({audit.KEY_FILE}): nobody can tell whether "
            "it is as it was written",
            f"Put it back from a backup, or set {variable_of('audit_key')}.",
        )  # fmt: skip
        return
    if not has_lines:
        return
    trail = audit.set_up(engine, settings)
    if is_shared(engine):
        keys = {"audit_key": trail.derived("key")}
        try:
            agree_on_keys(engine, keys, only_look=True)
        except StorageError as error:
            yield wrong("keys", error)
            return
    for fault in verify(engine, storage).faults:
        yield Checked("trail", "wrong", fault, "Run: python -m core audit verify")


def _people(engine: Engine, settings: Settings) -> Iterator[Checked]:
    with reading(engine) as connection:
        has_accounts = connection.scalar(select(ACCOUNTS.c.id).limit(1)) is not None
    if settings.for_others and not has_accounts and not settings.admin_password:
        yield wrong("accounts", no_accounts(settings))


def _accounts(settings: Settings) -> Iterator[Checked]:
    if settings.for_others and not can_have_accounts(settings):
        yield wrong("accounts", no_accounts(settings))


def _newest(engine: Engine) -> Iterator[Checked]:
    """Whether the clock went back since the last act."""
    with reading(engine) as connection:
        newest = connection.scalar(select(func.max(TRAIL.c.at)))
    ahead = datetime.fromisoformat(newest) - datetime.now(UTC) if newest else timedelta()
    if ahead.total_seconds() > MOST_OFF_S:
        yield Checked("clock", "wrong", "The newest line of the trail is "
                      f"{ahead.total_seconds() / 60:,.0f} minutes in the future",
                      "Set this machine's clock by a time server (NTP).")  # fmt: skip
