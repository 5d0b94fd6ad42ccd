"""``train`` and ``sweep``: models from data sets."""

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from core.cases.store import Cases
from core.commands.evaluate import measured
from core.commands.installation import in_service, warn_of_split
from core.models.registry import reference_of
from core.settings import Settings
from core.state.claim import claim
from core.state.database import connect, has_database
from core.state.storage import open_storage, write_whole
from core.training.config import PRESETS, TrainingRequest, check_installed, share_cores
from core.training.data.dataset import Datasets
from core.training.data.reviewed import follow_before
from core.training.jobs import Jobs
from core.training.run_folder import dataset_of, is_run, train
from core.training.sweep import SWEEP_NAME, check_held_out, folder_of, grid, table_of

if TYPE_CHECKING:
    from core.commands.installation import Commands

_OVERRIDES = "such as epochs=10, fold=-1 or augmentation=strong; all names: core/training/config.py"


def add_commands(commands: "Commands") -> None:
    """``train`` and ``sweep``."""
    presets = " ".join(f"{name}: {what}" for name, what in PRESETS.items())
    command = commands.add_parser(
        "train",
        help="train a model on a prepared data set",
        description=f"Train in a folder of its own. {presets} Killed and called again, it goes on "
        "after its last epoch. The folder gets run.json (what was asked, versions, hashes), "
        "events.jsonl (a line an epoch), log.txt, progress.png, and model/ in the end.",
    )
    _add_request(command)
    command.add_argument("--out", metavar="RUN", type=Path, required=True, help="its folder")
    command.add_argument("--plan-only", action="store_true",
                         help="stop when the data is planned and preprocessed")  # fmt: skip
    command.add_argument("--end-now", action="store_true",
                         help="make the model of the last epoch that was done, in float32, "
                         "without the epochs that remain")  # fmt: skip
    command.set_defaults(run=_train)
    command = commands.add_parser(
        "sweep",
        help="train over a grid of values and compare",
        description="As train, with several values: --preset cpu --set learning_rate=0.01,0.003 "
        "features=8,16. Each is a run of its own, evaluated on the fold that it held out, never on "
        "the frozen test set. Killed and called again, it goes on.",
    )
    _add_request(command)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="FOLDER", type=Path, help="of all its runs")
    where.add_argument("--queue", action="store_true",
                       help="queue one training each instead, which workers or Ray do side by "
                       "side: each becomes a candidate; Retrain has the pseudo-Dice of the fold "
                       "that it held out")  # fmt: skip
    command.set_defaults(run=_sweep)


def _add_request(command: argparse.ArgumentParser) -> None:
    command.add_argument("dataset", metavar="DATASET", help="name of a prepared data set")
    command.add_argument("--preset", choices=list(PRESETS), default="quick")
    command.add_argument(
        "--set", metavar="NAME=VALUE", dest="overrides", nargs="+", default=[], help=_OVERRIDES
    )


def _train(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    share_cores()
    if not is_run(options.out):
        _follow_reviews(options.dataset, settings)
    warn_of_split(dataset_of(options.out, Datasets(open_storage(settings)), options.dataset))
    with redirect_stdout(sys.stderr):  # nnU-Net talks
        model_folder = train(
            TrainingRequest(options.dataset, options.preset, options.overrides), options.out,
            Datasets(open_storage(settings)), in_service(settings), settings.device,
            plan_only=options.plan_only, end_now=options.end_now,
        )  # fmt: skip
    sys.stdout.write(f"{'Planned' if options.plan_only else model_folder}\n")
    return 0


def _sweep(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    share_cores()
    requests = grid(TrainingRequest(options.dataset, options.preset, options.overrides))
    datasets = Datasets(open_storage(settings))
    if options.queue or not options.out.exists():
        _follow_reviews(options.dataset, settings)
    with in_service(settings)() as model:
        seen = {case["content_sha256"] for case in reference_of(model)}
    for request in requests:
        check_held_out(request.config(), datasets.get(options.dataset), seen)
    warn_of_split(datasets.get(options.dataset))
    if options.queue:
        jobs = Jobs(connect(settings.data_dir), settings.data_dir)
        for request in requests:
            job = jobs.submit(request.as_dict())
            sys.stdout.write(f"job {job.id}: {' '.join(request.overrides)}\n")
        return 0
    claim(
        options.out, "sweep",
        known=lambda folder: all(is_run(p) or p.name == SWEEP_NAME for p in folder.iterdir()),
    )  # fmt: skip
    outcomes, sets = [], []
    for request in requests:
        folder = folder_of(request, options.out)
        with redirect_stdout(sys.stderr):
            model_folder = train(request, folder, datasets, in_service(settings), settings.device)
        dataset = dataset_of(folder, datasets, options.dataset)
        figures = measured([str(model_folder)], dataset, "fold", folder, settings)
        outcomes.append(tuple(d["mean"] for d in figures["dice"].values()))
        sets.append(figures["test_key"])
    table = table_of(requests, outcomes, sets)
    write_whole(options.out / SWEEP_NAME, table.encode())
    sys.stdout.write(table)
    return 0


def _follow_reviews(name: str, settings: Settings) -> None:
    """Bring the data set of the reviewed cases up to date, if it is the one named."""
    if has_database(settings):
        storage = open_storage(settings)
        follow_before(name, Cases(connect(settings.data_dir), storage), storage)
