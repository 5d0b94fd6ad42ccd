"""What all DICOM objects of a case share: where they belong, their UIDs, their times, their words.

A UID follows from the case, the mask's version and the kind of object: sending twice is the same
instance, with the same bytes.
"""

import io
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.sr.coding import Code
from pydicom.uid import UID

from core.anatomy import LABELS, NOTICE, SIDES
from core.cases.case import Case
from core.cases.side_labels import VALUES
from core.errors import InputError
from core.image.dicom.origin import Origin

MANUFACTURER = "HippoView"
HIPPOCAMPUS = Code("5366008", "SCT", "Hippocampus")
LATERALITY = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}
PARTS = {
    "anterior": Code("255549009", "SCT", "Anterior"),
    "posterior": Code("255551008", "SCT", "Posterior"),
}
_NAMESPACE = uuid.UUID("6f0d5d3e-6f0a-5d0c-9c0e-0d2f6a0b4c33")
# Attributes that highdicom copies and that may be missing in a source; DICOM lets them be empty.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip

# Dates and times as PS3.5, 6.2 has them; de-identified files may hold others.
_DATE = re.compile(r"(\d{8})?")
_TIME = re.compile(r"(([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?)?")


def _is_date(value: Any) -> bool:
    text = str(value or "").strip()
    if not _DATE.fullmatch(text):
        return False
    try:
        return not text or bool(datetime.strptime(text, "%Y%m%d"))
    except ValueError:
        return False


_VALID: dict[str, Callable[[Any], bool]] = {
    "PatientSex": lambda value: value in (None, "", "M", "F", "O"),
    "PatientBirthDate": _is_date,
    "StudyDate": _is_date,
    "StudyTime": lambda value: bool(_TIME.fullmatch(str(value or "").strip())),
}


def present_segments(labels: NDArray[np.uint8], case: Case) -> list[tuple[str, str, int]]:
    """Side, label and value of each segment that has a voxel; on a crop the side is empty.

    Parameters
    ----------
    labels : ndarray, shape (columns, rows, slices)
        On the source's grid: 1 to 4 of a head as `core.cases.side_labels.VALUES`, 1 and 2 of a
        crop as `core.anatomy.LABELS`.
    """
    if case.report.get("head"):
        values = [(side, name, VALUES[side, name]) for side in SIDES for name in LABELS]
    else:
        values = [("", name, value) for name, value in LABELS.items()]
    return [row for row in values if (labels == row[2]).any()]


def refuse_other_grid(origin: Origin, labels: NDArray[np.uint8]) -> None:
    """Refuse a mask that does not lie on the source's frames.

    Raises
    ------
    InputError
    """
    first = origin.headers[0]
    expected = (int(first.Columns), int(first.Rows), len(origin.frames))
    if labels.shape != expected:
        raise InputError(
            f"The mask has {labels.shape} voxels, the DICOM series {expected}",
            "Segment the series again.", code="other_grid",
        )  # fmt: skip


def completed(origin: Origin) -> list[Dataset]:
    """Copies of the source's headers in which no attribute of patient and study is missing.

    A sex, a date or a time that DICOM does not know, such as ``***``, is left empty.
    """
    headers = []
    known = next((h.FrameOfReferenceUID for h in origin.headers if "FrameOfReferenceUID" in h), "")
    for header in origin.headers:
        copy = Dataset()
        copy.update(header)
        if hasattr(header, "file_meta"):
            copy.file_meta = header.file_meta
        for name in _MAY_BE_EMPTY:
            if name not in copy:
                setattr(copy, name, "")
        if "FrameOfReferenceUID" not in copy:  # the segmentation has to lie in one
            copy.FrameOfReferenceUID = known or _own_uid(
                copy.SeriesInstanceUID, "frame of reference"
            )
        for name, is_valid in _VALID.items():
            if not is_valid(copy.get(name)):
                setattr(copy, name, "")
        headers.append(copy)
    return headers


def uid_of(origin: Origin, case: Case, version: int | None, *kind: Any) -> UID:
    """The UID of an object of a case.

    Parameters
    ----------
    version
        Of the mask; None for what all versions share, such as a series.
    kind
        What it is: ``"seg"``, and all else that its content follows from.
    """
    series = origin.headers[0].SeriesInstanceUID
    return _own_uid(series, case.id, case.created_at, version, *kind)


def _own_uid(*parts: Any) -> UID:
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, chr(10).join(map(str, parts))).int}")


def written_at(case: Case) -> datetime:
    """The time that stands in a case's objects: it is the case's, so that none changes."""
    return datetime.fromisoformat(case.created_at)


def description(what: str) -> str:
    """SeriesDescription: at most 64 characters, with the notice's first sentence."""
    return f"HippoView {what}, {NOTICE.split('.')[0].lower()}"[:64]


def software_versions(case: Case) -> str:
    """The model version as equipment says it."""
    return f"model {case.report['model']['version']}"[:64]


def file_bytes(dataset: Dataset, case: Case) -> bytes:
    """Write an object as a DICOM file, with the case's time in place of the clock's."""
    at = written_at(case)
    for name in ("Content", "InstanceCreation", "Series"):
        if f"{name}Date" in dataset:
            setattr(dataset, f"{name}Date", at.strftime("%Y%m%d"))
            setattr(dataset, f"{name}Time", at.strftime("%H%M%S"))
    for contribution in dataset.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in contribution:
            contribution.ContributionDateTime = at.strftime("%Y%m%d%H%M%S")
    out = io.BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def code_sequence(codes: Sequence[Code]) -> list[Dataset]:
    """Codes as items of a code sequence."""
    items = []
    for code in codes:
        item = Dataset()
        item.CodeValue = code.value
        item.CodingSchemeDesignator = code.scheme_designator
        item.CodeMeaning = code.meaning
        items.append(item)
    return items
