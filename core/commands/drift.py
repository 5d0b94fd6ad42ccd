"""``drift``: whether scans still look like others, crops and heads each apart."""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.commands.installation import in_service, write
from core.drift.comparison import Drift, compare
from core.errors import HippoViewError, InputError
from core.exports.drift_report import Part, report_html
from core.image import volume
from core.image.header import is_nifti_name
from core.image.intake import vetted
from core.limits import MIB
from core.measures.features import Values, features_of
from core.measures.head_features import HEAD_FEATURES
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import Settings
from core.wording import shown

if TYPE_CHECKING:
    from core.commands.installation import Commands


@dataclass
class Scans:
    """The scans of one kind in a folder: drift features, and file names in the same order."""

    features: list[Values] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class Folder:
    """The scans of a folder; ``left_out`` by file name, with the reason."""

    crops: Scans = field(default_factory=Scans)
    heads: Scans = field(default_factory=Scans)
    left_out: dict[str, str] = field(default_factory=dict)


def add_commands(commands: "Commands") -> None:
    """``drift``."""
    command = commands.add_parser(
        "drift",
        help="compare scans with those that are as they should be",
        description="Print 'state: quiet', 'watch', 'act' or 'not enough yet' of the crops, and "
        "the reasons; where a folder holds whole heads, 'heads: ...' likewise. Heads are "
        f"segmented first. {NOTICE}",
    )
    command.add_argument("--reference", metavar="DIR", type=Path, required=True,
                         help="scans that are as they should be")  # fmt: skip
    command.add_argument("--window", metavar="DIR", type=Path, required=True,
                         help="scans to compare with them")  # fmt: skip
    command.add_argument("--html", metavar="FILE", type=Path, help="write a page that needs no net")
    command.add_argument("--json", metavar="FILE", type=Path, help="write the figures")
    command.set_defaults(run=_drift)


def _drift(options: argparse.Namespace, settings: Settings) -> int:
    # The model in service is loaded when the first head is met.
    inference = InferenceOptions.from_settings(settings)
    predictors = Predictors(lambda: in_service(settings)(), inference, 1)
    try:
        reference, window = (
            scans_in(folder, settings, predictors) for folder in (options.reference, options.window)
        )
    finally:
        predictors.close()
    crops = compare(reference.crops.features, window.crops.features)
    heads = None
    if reference.heads.names or window.heads.names:
        heads = compare(reference.heads.features, window.heads.features, HEAD_FEATURES)
    _print_state("state", crops)
    if heads:
        _print_state("heads", heads)
    for where, folder in (("reference", reference), ("window", window)):
        for file, why in folder.left_out.items():
            sys.stdout.write(f"  left out of the {where}: {file}: {why}\n")
    if options.json:
        record = crops.as_dict() | {
            "left_out": window.left_out, "left_out_of_reference": reference.left_out,
            "cases": window.crops.names, "values": window.crops.features,
            "heads": heads
            and heads.as_dict() | {"cases": window.heads.names, "values": window.heads.features},
        }  # fmt: skip
        write(options.json, json.dumps(record, indent=1).encode(), "report")
    if options.html:
        parts = [
            Part(title, drift, before.features, after.features, after.names)
            for title, drift, before, after in (
                ("Crops", crops, reference.crops, window.crops),
                ("Heads", heads, reference.heads, window.heads),
            )
            if drift
        ]
        write(options.html, report_html(parts), "report")
    return 0


def _print_state(word: str, drift: Drift) -> None:
    sys.stdout.write(f"{word}: {drift.state}\n")
    for reason in drift.reasons:
        sys.stdout.write(f"  {reason}\n")


def scans_in(folder: Path, settings: Settings, predictors: Predictors) -> Folder:
    """Drift features of the scans in a folder.

    Raises
    ------
    InputError
        It is not a folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"{shown(folder.name)} is not a folder", "Give a folder of .nii or .nii.gz files."
        )
    scans = Folder()
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.iterdir()):
            name = shown(path.name)
            if path.name.startswith(".") or not is_nifti_name(path.name) or not path.is_file():
                scans.left_out[name] = "not a .nii or .nii.gz file"
                continue
            try:
                is_head, features = _described(path, Path(scratch), settings, predictors)
            except HippoViewError as error:
                scans.left_out[name] = error.message
            except OSError as error:
                scans.left_out[name] = f"cannot be read: {os.strerror(error.errno or 0)}"
            else:
                kind = scans.heads if is_head else scans.crops
                kind.features.append(features)
                kind.names.append(name)
    return scans


def _described(
    path: Path, scratch: Path, settings: Settings, predictors: Predictors
) -> tuple[bool, Values]:
    """Whether a file is a head, which is segmented for it, and its features."""
    max_bytes = settings.max_upload_mib * MIB
    with path.open("rb") as stream, vetted(stream, scratch, max_bytes) as file:
        image = volume.load(file)
        if not image.is_head:
            return False, features_of(image.data, image.spacing_mm)
    with path.open("rb") as stream:
        analysis = analyse(stream, predictors.on("auto"), scratch, max_bytes=max_bytes)
        return True, analysis.features
