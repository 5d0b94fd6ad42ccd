"""``worker``: trains what is queued, on this machine."""

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from core.settings import Settings
from core.state.database import connect
from core.state.storage import open_storage
from core.training.config import check_installed
from core.training.worker import FOLDER, Worker

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``worker``."""
    command = commands.add_parser(
        "worker",
        help="train what is queued on the Retrain page",
        description="Train queued jobs, one at a time, until it is stopped (SIGTERM), which hands "
        "its job back at once. Start one on each machine that shall train, with the database, the "
        "storage and the keys of the server, and the server with HIPPOVIEW_ENGINE=workers.",
    )
    command.add_argument("--job", metavar="N", type=int, help="train this job alone, then end")
    command.add_argument(
        "--folder", type=Path,
        help=f"where its trainings work (default: {FOLDER} in the data folder)",
    )  # fmt: skip
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    engine = connect(settings.data_dir)
    folder = options.folder or settings.data_dir / FOLDER
    worker = Worker(engine, open_storage(settings), folder.resolve(), settings.lease_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    return worker.run(options.job)
