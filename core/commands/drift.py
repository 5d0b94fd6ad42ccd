"""``drift``: whether scans still look like those that a model was trained on."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.commands.installation import write
from core.drift.comparison import compare
from core.errors import HippoViewError, InputError
from core.exports.drift_report import report_html
from core.image import volume
from core.image.header import is_nifti_name
from core.image.intake import vetted
from core.measures.features import Values, features_of
from core.settings import Settings
from core.wording import shown

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
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
        write(options.json, json.dumps(record, indent=1).encode(), "report")
    if options.html:
        page = report_html(drift, list(reference), list(window), names)
        write(options.html, page, "report")
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
