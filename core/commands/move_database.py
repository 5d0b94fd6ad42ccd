"""``move-database``: from the SQLite of the data folder into a PostgreSQL."""

import argparse
import sys
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.people.audit import record_alone, set_up
from core.settings import Settings, variable_of
from core.state.database import DATABASE_NAME, connect
from core.state.moving import move
from core.wording import counted

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``move-database``."""
    command = commands.add_parser(
        "move-database",
        help="move the database from SQLite to PostgreSQL",
        description="Copy the SQLite of HIPPOVIEW_DATA_DIR, of this or any earlier version, into "
        "the empty PostgreSQL that HIPPOVIEW_DATABASE_URL names; every row is compared. Stop the "
        "server first. The SQLite is not changed. Exits with 1, and moves nothing, if something "
        "stands against it.",
    )
    command.set_defaults(run=_move)


def _move(options: argparse.Namespace, settings: Settings) -> int:
    if not settings.database_url:
        raise SettingsError(
            f"{variable_of('database_url')} is not set",
            "Set it to the empty PostgreSQL: postgresql+psycopg://user:password@host:5432/name.",
        )
    counts = move(settings.data_dir, settings.database_url)
    engine = connect(settings.data_dir, url=settings.database_url)
    set_up(engine, settings)
    record_alone(engine, "settings", "database", note="moved from SQLite to PostgreSQL")
    engine.dispose()
    for name, count in counts.items():
        if count:
            sys.stdout.write(f"{name}: {counted(count, 'row')}\n")
    sys.stdout.write(
        f"Moved: {counted(sum(counts.values()), 'row')}, each compared. Start the server with "
        f"{variable_of('database_url')} set as now. {DATABASE_NAME} in the data folder is as it "
        "was and is not used any more: keep it as a backup, elsewhere.\n"
    )
    if not settings.storage:
        sys.stdout.write(
            "Scans, masks and models stay in the data folder. Before a second server is started: "
            f"copy them to a bucket and set {variable_of('storage')}.\n"
        )
    return 0
