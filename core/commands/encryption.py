"""``encryption``: what is encrypted at rest, with which key; everything encrypted, or nothing."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.cases.origins import KEY_FILE as ORIGINS_KEY_FILE
from core.errors import ConflictError, SettingsError
from core.people.audit import KEY_FILE as TRAIL_KEY_FILE
from core.people.audit import record, recording, set_up
from core.settings import Settings, variable_of
from core.state.database import connect, has_others
from core.state.encrypted_storage import EncryptedStorage
from core.state.encryption import NO_KEYS, Keyring
from core.state.opened import is_shared
from core.state.renewal import KeyCounts, look, renew
from core.state.storage import bare_storage
from core.wording import counted

if TYPE_CHECKING:
    from core.commands.installation import Commands

_EVERY = 100


def add_commands(commands: "Commands") -> None:
    """``encryption status``, ``encryption encrypt`` and ``encryption decrypt``."""
    command = commands.add_parser(
        "encryption", help="what is encrypted at rest, and with which key",
        description=f"Encryption at rest of this installation. {NOTICE}",
    )  # fmt: skip
    actions = command.add_subparsers(dest="action", required=True)
    action = actions.add_parser(
        "status",
        help="say what is encrypted with which key",
        description="Count the files and values that each key encrypted. Exits with 1 unless all "
        "are encrypted with the first key of the settings, or none where there is no key.",
    )
    action.set_defaults(run=_status)
    action = actions.add_parser(
        "encrypt",
        help="encrypt everything with the first key",
        description="Encrypt what is in clear, and what another key encrypted, with the first key "
        "of the settings. A server may run meanwhile; a call that was killed is made again.",
    )
    action.set_defaults(run=lambda options, settings: _renew(settings, decrypt=False))
    action = actions.add_parser(
        "decrypt",
        help="leave nothing encrypted",
        description="Decrypt everything, to switch encryption off: stop the server first, and "
        "unset the key afterwards.",
    )
    action.set_defaults(run=lambda options, settings: _renew(settings, decrypt=True))


def _status(options: argparse.Namespace, settings: Settings) -> int:
    keys = Keyring.of(settings)
    storage = EncryptedStorage(bare_storage(settings), keys, settings.data_dir / "opened")
    counts = look(storage, connect(settings.data_dir, keys, agree=False), _key_files(settings))
    _tell(counts, keys)
    return 1 if counts.left(keys) else 0


def _renew(settings: Settings, *, decrypt: bool) -> int:
    keys = Keyring.of(settings)
    if not keys:
        raise SettingsError(
            f"{variable_of('encryption_key')} is not set",
            "Set the key that is to encrypt, or the one that did.",
        )
    bare, opened = bare_storage(settings), settings.data_dir / "opened"

    def has_server() -> bool:
        return is_shared(settings.data_dir / "incoming") or has_others(settings)

    if not decrypt and has_server() and not EncryptedStorage(bare, keys, opened).needed()[1]:
        raise ConflictError(
            "A server runs on this data folder that has no key, and could read nothing afterwards",
            "Restart it with the key first.",
            code="server_runs",
        )
    if decrypt and has_server():
        raise ConflictError(
            "A server runs on this data folder, and would go on encrypting",
            "Stop it first.",
            code="server_runs",
        )
    engine = connect(settings.data_dir, keys)
    set_up(engine, settings)
    storage = EncryptedStorage.open(bare, keys, opened)
    what = "decrypted at rest" if decrypt else f"encrypted at rest with key {keys.ids[0]}"
    with recording(engine) as connection:
        record(connection, "settings", "encryption", note=what)

    def told(done: int) -> None:
        if done and done % _EVERY == 0:
            sys.stderr.write(f"{done:,} done\n")

    counts = renew(
        storage, engine, _key_files(settings), decrypt=decrypt, on_done=told,
        is_alone=lambda: not (decrypt and has_server()),
    )  # fmt: skip
    to = NO_KEYS if decrypt else keys
    _tell(counts, to)
    if not counts.is_rewritten:
        sys.stderr.write(
            "The database is in use, and its file may still hold what was deleted or changed: "
            "call again when less is going on.\n"
        )
    if counts.left(to):
        sys.stderr.write("Not all is done: look at what is said above, and call again.\n")
    if counts.left(to) or not counts.is_rewritten:
        return 1
    if decrypt and has_server():
        sys.stderr.write("A server was started meanwhile: stop it, and call again.\n")
        return 1
    if not decrypt and len(keys.ids) > 1:
        sys.stderr.write(
            "Before you remove an old key: restart each server with these keys, and see that "
            "`python -m core encryption status` says the same.\n"
        )
    return 0


def _tell(found: KeyCounts, keys: Keyring) -> None:
    """Print how much each key encrypted."""
    for key in [*keys.ids, *sorted(found.by_key.keys() - set(keys.ids) - {""}), ""]:
        count = found.by_key[key]
        if count or key in keys.ids[:1]:
            first = ", the first" if key in keys.ids[:1] else ""
            words = f"key {key}{first}" if key else "not encrypted"
            missing = ": this key is not set" if key and keys and key not in keys.ids else ""
            how_many = counted(count, "file or value", "files or values")
            sys.stdout.write(f"{words}: {how_many}{missing}\n")
    for code, count in sorted({c: found.unreadable.count(c) for c in found.unreadable}.items()):
        sys.stdout.write(f"unreadable ({code}): {counted(count, 'file')}\n")


def _key_files(settings: Settings) -> list[Path]:
    paths = (settings.data_dir / name for name in (ORIGINS_KEY_FILE, TRAIL_KEY_FILE))
    return [path for path in paths if path.is_file()]
