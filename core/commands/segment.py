"""``segment``: scans in, masks and measures out."""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from core.anatomy import NOTICE
from core.cases.case import confidence_of, distinct_warnings
from core.commands.installation import in_service, print_error, unwritable, write
from core.errors import HippoViewError, InputError
from core.image.dicom.unpack import files_of, zipped
from core.image.header import stem_of
from core.limits import MAX_DICOM_MIB, MIB
from core.measures.expected import masks_in_words
from core.measures.measure import why_too_small
from core.pipeline import Analysis, analyse
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import DEVICES, Settings
from core.wording import shown

if TYPE_CHECKING:
    from core.commands.installation import Commands

# Endings of a file of each format, and of its name in a folder.
_ENDINGS = {
    "nifti": (".nii.gz", "_mask.nii.gz"), "seg": (".dcm", "_seg.dcm"), "sr": (".dcm", "_sr.dcm"),
    "pdf": (".dcm", "_pdf.dcm"), "zip": (".zip", "_dicom.zip"),
}  # fmt: skip
# A name that ends in one of these is a folder's.
_SEPARATORS = tuple(separator for separator in (os.sep, os.altsep) if separator)


def add_commands(commands: "Commands") -> None:
    """``segment``."""
    segment = commands.add_parser(
        "segment",
        help="draw the anterior and posterior hippocampus in a scan",
        description=f"{NOTICE} Write the mask of a T1-weighted head, or of a crop around one "
        "hippocampus (.nii, .nii.gz, or DICOM as a folder or .zip): 0 background, 1 anterior, "
        "2 posterior.",
    )
    segment.add_argument("inputs", metavar="IN", nargs="+", type=Path, help="one or more scans")
    segment.add_argument(
        "-o", dest="out", metavar="OUT", required=True,
        help="the mask (.nii.gz); with several scans, or a / at its end, a folder for IN's name + "
        "_mask.nii.gz",
    )  # fmt: skip
    segment.add_argument(
        "--format", choices=tuple(_ENDINGS), default="nifti",
        help="of a DICOM series instead of the NIfTI mask: a DICOM Segmentation, a structured "
        "report, the report as an encapsulated PDF (.dcm), or a .zip of the three",
    )  # fmt: skip
    segment.add_argument(
        "--json", action="store_true",
        help="print volumes in mm3, model version, warnings and timings as JSON lines",
    )  # fmt: skip
    segment.add_argument("--series", metavar="UID", default="", help="of DICOM: which series")
    segment.add_argument("--device", choices=DEVICES, help="default auto, or HIPPOVIEW_DEVICE")
    segment.set_defaults(run=_segment)


def _segment(options: argparse.Namespace, settings: Settings) -> int:
    targets = _targets(options.inputs, options.out, options.format)
    predictors = Predictors(in_service(settings), InferenceOptions.from_settings(settings), 1)
    failed = 0
    try:
        predictor = predictors.on(options.device or "auto")
        for source, target in targets:
            try:
                analysis = _analyse_file(source, predictor, settings.max_upload_mib, options.series)
                content = _content(analysis, options.format, settings)
                write(target, content, "mask")
            except HippoViewError as error:
                failed += 1
                print_error(error, source)
                if options.json:
                    _print_json({"file": shown(source), **error.as_dict()})
                continue
            if options.json:
                kind = "mask" if options.format == "nifti" else options.format
                files = {"file": shown(source), kind: shown(target)}
                record = analysis.as_dict()
                _print_json(files | record | {"confidence": confidence_of(record)})
            else:
                _print_summary(target, analysis)
    finally:
        predictors.close()
    return 1 if failed else 0


def _content(analysis: Analysis, form: str, settings: Settings) -> bytes:
    if form == "nifti":
        return analysis.mask_file
    # highdicom takes seconds to import: only who asks for it waits.
    from core.exports.dicom_case import KINDS, analysis_object

    kind = next(kind for kind in KINDS if kind == form)
    return analysis_object(analysis, kind, empty_frames=settings.seg_frames == "all")


def _targets(inputs: list[Path], out: str, form: str) -> list[tuple[Path, Path]]:
    """Where each mask goes: into a folder for several scans, or if ``out`` says or is a folder."""
    folder = Path(out)
    ending, in_folder = _ENDINGS[form]
    if len(inputs) == 1 and not out.endswith(_SEPARATORS) and not folder.is_dir():
        if not out.lower().endswith(ending):
            raise InputError(
                f"The mask's name {shown(folder.name)} does not end in {ending}",
                f"Write -o MASK{ending}, or -o FOLDER/ with a slash at its end.",
                code="bad_request",
            )
        targets = [(inputs[0], folder)]
    else:
        targets = [(source, folder / f"{stem_of(source.name)}{in_folder}") for source in inputs]
        if len({target for _, target in targets}) < len(targets):
            raise InputError(
                "Two scans have the same name", "Segment them into two folders.", code="bad_request"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(error, "mask") from error
    scans = {source.resolve() for source in inputs}
    if any(target.resolve() in scans for _, target in targets):
        raise InputError(
            "A mask would be written over a scan", "Choose another -o.", code="bad_request"
        )
    return targets


def _analyse_file(source: Path, predictor: Predictor, max_upload_mib: int, series: str) -> Analysis:
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            max_bytes = max_upload_mib * MIB
            if source.is_dir():
                max_bytes = MAX_DICOM_MIB * MIB
                files = files_of(source, folder)
                source = folder / "export.zip"
                with source.open("wb") as target:
                    zipped(files, target)
            file = stack.enter_context(source.open("rb"))
            return analyse(file, predictor, folder, max_bytes=max_bytes, series=series)
    except OSError as error:
        raise InputError(
            f"The file cannot be read: {os.strerror(error.errno or 0)}",
            "Check its name and its permissions.",
            code="unreadable",
        ) from error


def _print_summary(target: Path, analysis: Analysis) -> None:
    m = analysis.measures
    sys.stdout.write(
        f"{shown(target)}: anterior {m.anterior.volume_mm3:,.0f} mm3, posterior "
        f"{m.posterior.volume_mm3:,.0f} mm3, total {m.total.volume_mm3:,.0f} mm3. {NOTICE}\n"
    )
    for side, parts in m.sides.items():
        sys.stdout.write(f"  {side}: " + ", ".join(
            f"{name} {part.volume_mm3:,.0f} mm3" for name, part in parts.items()
        ) + "\n")  # fmt: skip
    for sentence, _ in masks_in_words(analysis.as_dict()):
        sys.stdout.write(f"  {sentence}\n")
    if remark := why_too_small(m.as_dict()):
        sys.stdout.write(f"  volume {remark}\n")
    for finding in distinct_warnings(analysis.as_dict()):
        sys.stdout.write(f"  {finding['level']}: {finding['message']}\n")


def _print_json(record: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()
