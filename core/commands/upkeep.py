"""``backup`` and ``restore`` copy the whole installation; ``doctor`` says what is wrong with it."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.errors import InputError
from core.settings import Settings, variable_of
from core.state.database import DATABASE_NAME, connect
from core.state.looking import look
from core.wording import counted

if TYPE_CHECKING:
    from core.commands.installation import Commands

_EVERY = 1000


def add_commands(commands: "Commands") -> None:
    """``backup DEST``, ``restore SRC`` and ``doctor``."""
    command = commands.add_parser(
        "backup",
        help="copy the whole installation into a folder",
        description="Copy database, storage, keys, received studies and trainings into a folder of "
        "its own, readable by this user alone. A server may run meanwhile. The folder holds "
        f"patients' scans, and keys: keep it as the data folder itself. {NOTICE}",
    )
    command.add_argument("target", metavar="DEST", type=Path, help="a folder that is not there yet")
    command.set_defaults(run=_back_up)
    command = commands.add_parser(
        "restore",
        help="take a backup up into an empty installation",
        description="Take a backup up into the empty data folder and storage of the settings. "
        "Until it has ended no server starts on them; one that broke off is called again. "
        f"{NOTICE}",
    )
    command.add_argument("source", metavar="SRC", type=Path, help="the folder of a backup")
    command.set_defaults(run=_restore)
    command = commands.add_parser(
        "doctor",
        help="say what is wrong with this installation, and what to do",
        description="Check versions, device, models, storage, database, trail, disk, clock, port, "
        "certificates, keys, accounts and settings; nothing is changed. A line for each: ok, "
        "warning or wrong. Exits with 1 if something is wrong.",
    )
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=_doctor, settings=Settings)  # it says itself what they lack


def _back_up(options: argparse.Namespace, settings: Settings) -> int:
    from core.upkeep.backup import back_up

    if settings.database_url:
        if look(settings.database_url).step is None:
            raise InputError(
                "There is no installation in the PostgreSQL",
                f"Correct {variable_of('database_url')}.",
                code="no_installation",
            )
    elif not (settings.data_dir / DATABASE_NAME).is_file():
        raise InputError(
            "There is no installation in the data folder",
            "Set HIPPOVIEW_DATA_DIR to that of the server; and HIPPOVIEW_DATABASE_URL, if it has a "
            "PostgreSQL.",
            code="no_installation",
        )
    manifest = back_up(settings, connect(settings.data_dir), options.target, _telling())
    sys.stdout.write(
        f"backup {manifest.id}: {counted(len(manifest.files), 'file')}, each read again and "
        f"compared; as of {manifest.began_at[:19]} to {manifest.ended_at[:19]} UTC\n"
    )
    if manifest.vanished:
        sys.stdout.write(f"deleted meanwhile: {counted(manifest.vanished, 'file')}\n")
    sys.stdout.write(
        "It holds scans, masks and keys: keep it where only those may read who may read the data "
        "folder.\n"
    )
    if manifest.keys:
        sys.stdout.write(f"It takes the encryption keys {', '.join(manifest.keys)} to read it.\n")
    return 0


def _restore(options: argparse.Namespace, settings: Settings) -> int:
    from core.upkeep.restore import restore

    restored = restore(settings, options.source, _telling())
    manifest = restored.manifest
    sys.stdout.write(
        f"restored from backup {manifest.id} of {manifest.ended_at[:19]} UTC: "
        f"{counted(len(manifest.files), 'file')}, {counted(restored.cases, 'case')}\n"
    )
    for fault in restored.faults:
        sys.stdout.write(f"trail: {fault}\n")
    sys.stdout.write(
        "Next: set the settings that the server had (HIPPOVIEW_AUDIT_KEY, _ORIGINS_KEY and the "
        "others), call `python -m core doctor`, start the server. Everybody signs in anew. Tokens "
        "and accounts are those of the backup: switch off again what was switched off since, and "
        "forget again the patients who were forgotten since.\n"
    )
    return 0


def _doctor(options: argparse.Namespace, settings: Settings) -> int:
    from core.upkeep.doctor import examine

    findings = []
    for found in examine():
        findings.append(found)
        if not options.json:
            hint = f" {found.hint}" if found.hint else ""
            end = "" if found.message.endswith((".", "?")) or not hint else "."
            line = f"{found.level:8} {found.check}: {found.message}{end}{hint}"
            sys.stdout.write(f"{line}\n")
    if options.json:
        sys.stdout.write(f"{json.dumps([asdict(found) for found in findings], indent=1)}\n")
    return int(any(found.level == "wrong" for found in findings))


def _telling() -> Callable[[int], None]:
    def tell(count: int) -> None:
        if count % _EVERY == 0:
            sys.stderr.write(f"{count:,} files\n")

    return tell
