"""``audit``: whether the trail is as it was written, and its lines as a table."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.commands.installation import write
from core.people import audit
from core.people.audit_table import export
from core.people.audit_verify import verify
from core.people.permission import Guard
from core.settings import Settings
from core.state.database import connect
from core.state.storage import open_storage

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``audit verify`` and ``audit export``."""
    command = commands.add_parser(
        "audit", help="the trail of who did what",
        description=f"Look at the trail of who did what, when and from where. {NOTICE}",
    )  # fmt: skip
    actions = command.add_subparsers(dest="action", required=True)
    action = actions.add_parser(
        "verify",
        help="find a line that was changed, removed, moved or cut off",
        description="Check every line of the trail, its checkpoints, and its copies in the "
        "storage. Exits with 1 if something is not as it was written.",
    )
    action.set_defaults(run=_verify)
    action = actions.add_parser("export", help="write the lines as CSV")
    action.add_argument("--out", metavar="FILE", type=Path, required=True)
    action.set_defaults(run=_export)


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    engine = connect(settings.data_dir)
    audit.set_up(engine, settings)
    verified = verify(engine, open_storage(settings))
    for note in verified.notes:
        sys.stdout.write(f"note: {note}\n")
    for fault in verified.faults:
        sys.stdout.write(f"fault: {fault}\n")
    state = "not as it was written" if verified.faults else "as it was written"
    sys.stdout.write(f"trail: {verified.lines:,} lines, {state}\n")
    return 1 if verified.faults else 0


def _export(options: argparse.Namespace, settings: Settings) -> int:
    engine = connect(settings.data_dir)
    audit.set_up(engine, settings)
    write(options.out, export(Guard(engine)), "trail")
    return 0
