"""The commands of ``python -m core`` for data sets and drift."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.drift.comparison import compare
from core.errors import HippoViewError, InputError
from core.exports.drift_report import report_html
from core.image import volume
from core.image.header import is_nifti_name
from core.image.intake import vetted
from core.measures.features import Values, features_of
from core.settings import Settings
from core.state.storage import open_storage, write_whole
from core.training.data.download import TASK04_URL, download
from core.training.data.patients import read_table
from core.training.data.prepare import TooFewCasesError, prepare
from core.wording import counted, shown

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_data(commands: "Commands") -> None:
    """``data prepare``."""
    data = commands.add_parser("data", help="data sets to train on")
    actions = data.add_subparsers(dest="action", required=True)
    command = actions.add_parser(
        "prepare",
        help="clean a data set and split it",
        description="A folder or tar in the Decathlon's layout (imagesTr, labelsTr) becomes a "
        "data set in nnU-Net's raw layout, with a frozen test set and five folds by patient. What "
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
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=_prepare)


def add_drift(commands: "Commands") -> None:
    """``drift``."""
    command = commands.add_parser(
        "drift",
        help="compare scans with those that a model was trained on",
        description="Print 'state: quiet', 'watch', 'act' or 'not enough yet', and the reasons. "
        f"{NOTICE}",
    )
    command.add_argument("--reference", metavar="DIR", type=Path, required=True,
                         help="scans that are as they should be")  # fmt: skip
    command.add_argument("--window", metavar="DIR", type=Path, required=True,
                         help="scans to compare with them")  # fmt: skip
    command.add_argument("--html", metavar="FILE", type=Path, help="write a page that needs no net")
    command.add_argument("--json", metavar="FILE", type=Path, help="write the figures")
    command.set_defaults(run=_drift)


def _prepare(options: argparse.Namespace, settings: Settings) -> int:
    name = options.name or Path(options.source).resolve().name.removesuffix(".tar")
    source = Path(options.source)
    if options.source.startswith("https://"):
        expected = f"sha256:{options.sha256}" if options.sha256 else None
        source = download(options.source, settings.data_dir / "downloads", expected)
    table = read_table(options.patients) if options.patients else None
    try:
        dataset, report = prepare(source, open_storage(settings), name, table=table)
    except TooFewCasesError as error:
        sys.stdout.write("\n".join(error.report.lines()) + "\n")
        raise
    if options.json:
        record = {"dataset": name, "sha256": dataset.sha256, "test": dataset.test}
        sys.stdout.write(json.dumps(record | report.as_dict()) + "\n")
        return 0
    sys.stdout.write("\n".join(report.lines()) + "\n")
    sys.stdout.write(
        f"Data set {name}: {counted(len(dataset.training), 'case')} to train on in five folds, "
        f"{len(dataset.test)} in the frozen test set\n"
    )
    return 0


def _drift(options: argparse.Namespace, settings: Settings) -> int:
    reference, _, refused_before = features_in(options.reference, settings)
    window, names, refused = features_in(options.window, settings)
    drift = compare(list(reference), list(window))
    sys.stdout.write(f"state: {drift.state}\n")
    for reason in drift.reasons:
        sys.stdout.write(f"  {reason}\n")
    for where, files in (("reference", refused_before), ("window", refused)):
        for file, why in files.items():
            sys.stdout.write(f"  left out of the {where}: {file}: {why}\n")
    if options.json:
        record = drift.as_dict() | {
            "left_out": refused, "left_out_of_reference": refused_before, "cases": names
        }  # fmt: skip
        _write(options.json, json.dumps(record, indent=1).encode())
    if options.html:
        _write(options.html, report_html(drift, list(reference), list(window), names))
    return 0


def features_in(folder: Path, settings: Settings) -> tuple[list[Values], list[str], dict[str, str]]:
    """Drift features of the scans in a folder.

    Returns
    -------
    features, names, left_out
        The last by file name, with the reason.
    """
    if not folder.is_dir():
        raise InputError(
            f"{shown(folder.name)} is not a folder", "Give a folder of .nii or .nii.gz files."
        )
    features, names, left_out = [], [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not is_nifti_name(path.name) or not path.is_file():
                left_out[shown(path.name)] = "not a .nii or .nii.gz file"
                continue
            try:
                with (
                    path.open("rb") as stream,
                    vetted(stream, Path(scratch), settings.max_upload_mib * 2**20) as file,
                ):
                    image = volume.load(file)
            except HippoViewError as error:
                left_out[shown(path.name)] = error.message
                continue
            except OSError as error:
                left_out[shown(path.name)] = f"cannot be read: {os.strerror(error.errno or 0)}"
                continue
            if image.is_head:  # as of cases: the features describe crops
                left_out[path.name] = "It is a whole head; only crops are compared"
                continue
            features.append(features_of(image.data, image.spacing_mm))
            names.append(shown(path.name))
    return features, names, left_out


def _write(target: Path, content: bytes) -> None:
    try:
        write_whole(target, content)
    except OSError as error:
        raise InputError(
            f"The report cannot be written: {os.strerror(error.errno or 0)}",
            "Check that the folder exists and may be written to.",
            code="unwritable",
        ) from error
