"""``data``: data sets to train on."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.installation import warn_of_split
from core.settings import Settings
from core.state.storage import open_storage
from core.training.data.download import TASK04_URL, download
from core.training.data.patients import RULE_KEY, RULES, read_table
from core.training.data.preparation import TooFewCasesError
from core.training.data.prepare import prepare
from core.wording import counted

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``data prepare``."""
    data = commands.add_parser("data", help="data sets to train on")
    actions = data.add_subparsers(dest="action", required=True)
    command = actions.add_parser(
        "prepare",
        help="clean a data set and split it",
        description="A folder or tar in the Decathlon's layout (imagesTr, labelsTr) becomes a "
        "data set in nnU-Net's raw layout, with a frozen test set and five folds by patient. It "
        "may hold crops and whole heads; each side of a head is cut as inference cuts it. What "
        "cannot be trained on is left out by name. Run twice, nothing changes; run with more "
        "cases, the old ones stay where they are. The source is only read. A download goes on "
        f"where it was cut off. The hippocampus of the Decathlon: {TASK04_URL}",
    )
    command.add_argument("source", metavar="SRC", help="folder, .tar, or https address of a .tar")
    command.add_argument("--sha256", metavar="SUM", help="of a downloaded archive")
    command.add_argument("--name", help="default: the name of SRC")
    command.add_argument(
        "--patients", metavar="TABLE", type=Path,
        help="CSV with the columns case,patient. Without it, cases with the same sub-XX in their "
        "names, or that differ only by a side at the end (_L, _R, _left, _right), are of one "
        "patient",
    )  # fmt: skip
    command.add_argument(
        "--patient-rule", choices=RULES, default="",
        help=f"how names tell patients. {'; '.join(f'{n}: {what}' for n, what in RULES.items())}. "
        f"Default: the one that SRC's dataset.json has as {RULE_KEY}; the Decathlon's own has the "
        "first",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace, settings: Settings) -> int:
    name = options.name or Path(options.source).resolve().name.removesuffix(".tar")
    source = Path(options.source)
    if options.source.startswith("https://"):
        expected = f"sha256:{options.sha256}" if options.sha256 else None
        source = download(options.source, settings.data_dir / "downloads", expected)
    table = read_table(options.patients) if options.patients else None
    try:
        dataset, report = prepare(
            source, open_storage(settings), name, table=table, rule=options.patient_rule
        )
    except TooFewCasesError as error:
        sys.stdout.write("\n".join(error.report.lines()) + "\n")
        raise
    if options.json:
        record = {"dataset": name, "sha256": dataset.sha256, "test": dataset.test}
        sys.stdout.write(json.dumps(record | report.as_dict()) + "\n")
        return 0
    sys.stdout.write("\n".join(report.lines()) + "\n")
    warn_of_split(dataset)
    sys.stdout.write(
        f"Data set {name}: {counted(len(dataset.training), 'case')} to train on in five folds, "
        f"{len(dataset.test)} in the frozen test set\n"
    )
    return 0
