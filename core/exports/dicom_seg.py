"""A case's mask as a DICOM Segmentation, in the frames of the series that it was drawn on."""

import io

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from core.anatomy import LABEL_RGB
from core.cases.case import MODEL_MASK, Case
from core.errors import InputError
from core.exports.dicom import (
    HIPPOCAMPUS,
    LATERALITY,
    MANUFACTURER,
    PARTS,
    code_sequence,
    completed,
    description,
    file_bytes,
    present_segments,
    refuse_other_grid,
    software_versions,
    uid_of,
)
from core.image.dicom.origin import Origin

_SERIES_NUMBER = 8801


def segmentation_file(
    origin: Origin, labels: NDArray[np.uint8], case: Case, *, empty_frames: bool = False
) -> bytes:
    """Write the mask as a binary DICOM Segmentation (PS3.3 A.51).

    Parameters
    ----------
    origin
        The series.
    labels : ndarray, shape (columns, rows, slices)
        See `core.exports.dicom.present_segments`. A segment without a voxel is not in the object.
    case
        With the report on this mask.
    empty_frames
        Also write frames without a voxel, for viewers that need them.

    Raises
    ------
    InputError
        The mask is empty, or lies on another grid.
    """
    return file_bytes(_segmentation(origin, labels, case, empty_frames), case)


def empty_mask() -> InputError:
    """Why there is no Segmentation of a mask."""
    return InputError(
        "The mask is empty: there is nothing that a DICOM Segmentation could hold",
        "Draw the mask first. The PDF and the SR can be had without it.",
        code="mask_empty",
    )


def read_segmentation(content: bytes) -> Segmentation:
    """Open what `segmentation_file` wrote, to refer to it."""
    return Segmentation.from_dataset(dcmread(io.BytesIO(content)))


def segmentation_uid(
    origin: Origin, case: Case, version: int, *, empty_frames: bool = False
) -> UID:
    """SOPInstanceUID of the Segmentation of a mask version."""
    return uid_of(origin, case, version, "seg", *(["empty frames"] if empty_frames else []))


def tracking_of(origin: Origin, case: Case, side: str, label: str) -> tuple[str, UID]:
    """Tracking id and UID of a segment; the same in all versions of the mask and in the SR."""
    name = "-".join(part for part in (case.id, side, label) if part)
    return name, uid_of(origin, case, None, "tracking", side, label)


def _segmentation(
    origin: Origin, labels: NDArray[np.uint8], case: Case, empty_frames: bool
) -> Segmentation:
    refuse_other_grid(origin, labels)
    segments = present_segments(labels, case)
    if not segments:
        raise empty_mask()
    version = case.mask_version
    replaced = ""
    if version != MODEL_MASK:
        before = segmentation_uid(origin, case, version - 1, empty_frames=empty_frames)
        replaced = f"v{version}, replaces {before}"[:64]
    segmentation = Segmentation(
        completed(origin),
        _frames(origin, labels, [value for _, _, value in segments]),
        SegmentationTypeValues.BINARY,
        [
            _segment(origin, case, number, side, label)
            for number, (side, label, _) in enumerate(segments, start=1)
        ],
        series_instance_uid=uid_of(origin, case, None, "seg series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=segmentation_uid(origin, case, version, empty_frames=empty_frames),
        instance_number=version + 1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=software_versions(case),
        device_serial_number="0",
        omit_empty_frames=not empty_frames,
        content_label="HIPPOCAMPUS",
        content_description=replaced or "Hippocampus, research use only",
        series_description=description("hippocampus masks"),
    )
    _fix_dimension_uid(segmentation, uid_of(origin, case, version, "dimensions"))
    return segmentation


def _frames(origin: Origin, labels: NDArray[np.uint8], values: list[int]) -> NDArray[np.uint8]:
    """Frames in the order of the source's: shape (frames, rows, columns, segments)."""
    columns, rows, slices = labels.shape
    headers = origin.headers
    count = int(headers[0].NumberOfFrames) if len(headers) == 1 and slices > 1 else slices
    stacked = np.zeros((count, rows, columns, len(values)), np.uint8)
    for k in range(slices):
        place = origin.frames[k] - 1 if len(headers) == 1 else k
        for number, value in enumerate(values):
            stacked[place, :, :, number] = value == labels[:, :, k].T
    return stacked


def _segment(origin: Origin, case: Case, number: int, side: str, label: str) -> SegmentDescription:
    model = case.report["model"]
    algorithm = AlgorithmIdentificationSequence(
        name="HippoView",
        family=codes.DCM.ArtificialIntelligence,
        version=str(model["version"]),
        parameters={"model": str(model.get("name", "")), "sha256": str(model.get("sha256", ""))},
    )
    is_drawn = case.mask_version != MODEL_MASK
    kind = SegmentAlgorithmTypeValues
    name, uid = tracking_of(origin, case, side, label)
    segment = SegmentDescription(
        segment_number=number,
        segment_label=f"{side} hippocampus, {label}".strip().capitalize(),
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=HIPPOCAMPUS,
        algorithm_type=kind.SEMIAUTOMATIC if is_drawn else kind.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=uid,
        tracking_id=name,
        display_color=CIELabColor.from_rgb(*LABEL_RGB[label]),
    )
    segment.SegmentDescription = "Side unknown: the scan is a crop" if not side else label
    modifiers = [*([LATERALITY[side]] if side else []), PARTS[label]]
    kind_of_part: Dataset = segment.SegmentedPropertyTypeCodeSequence[0]
    kind_of_part.SegmentedPropertyTypeModifierCodeSequence = code_sequence(modifiers)
    return segment


def _fix_dimension_uid(segmentation: Segmentation, uid: UID) -> None:
    """Replace highdicom's random UID: the same mask is the same file."""
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
