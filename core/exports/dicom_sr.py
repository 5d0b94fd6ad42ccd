"""A case's measures as a DICOM structured report, TID 1500 (PS3.16)."""

from typing import Any

import numpy as np
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    RelationshipTypeValues,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from core.anatomy import NOTICE
from core.cases.case import MODEL_MASK, Case, confidence_of, distinct_warnings
from core.exports.dicom import (
    HIPPOCAMPUS,
    LATERALITY,
    MANUFACTURER,
    PARTS,
    completed,
    description,
    file_bytes,
    present_segments,
    refuse_other_grid,
    software_versions,
    uid_of,
)
from core.exports.dicom_seg import read_segmentation, segmentation_file, tracking_of
from core.image.dicom.origin import Origin

_SERIES_NUMBER = 8802
_SCHEME = "99HIPPOVIEW"
_CONFIDENCE = Code("confidence", _SCHEME, "Confidence in the masks")
_FINDING = {
    "warning": Code("warning", _SCHEME, "Warning"),
    "note": Code("note", _SCHEME, "Note"),
}
_WORDS = {
    "high": Code("high", _SCHEME, "High: every check passed"),
    "check": Code("check", _SCHEME, "Check the masks before use"),
    "unreliable": Code("unreliable", _SCHEME, "Unreliable: do not use as they are"),
}
_PROCEDURE = Code("24590-2", "LN", "MR Brain")
_QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")


def report_file(
    origin: Origin,
    labels: NDArray[np.uint8],
    case: Case,
    *,
    empty_frames: bool = False,
    segmentation_bytes: bytes | None = None,
) -> bytes:
    """Write the measures as a Comprehensive 3D SR that follows TID 1500.

    Each label of each side is a group with its volume that refers to its segment; the total of a
    side, and a part without a voxel, are groups without a segment.

    Parameters
    ----------
    origin, labels, case
        As for `core.exports.dicom_seg.segmentation_file`.
    empty_frames
        Of the Segmentation that it refers to.
    segmentation_bytes
        That Segmentation, if it was written already.

    Raises
    ------
    InputError
        The mask lies on another grid.
    """
    refuse_other_grid(origin, labels)
    headers = completed(origin)
    segments = [(side, label) for side, label, _ in present_segments(labels, case)]
    segmentation = None
    if segments:
        if segmentation_bytes is None:
            segmentation_bytes = segmentation_file(origin, labels, case, empty_frames=empty_frames)
        segmentation = read_segmentation(segmentation_bytes)
    content = MeasurementReport(
        observation_context=_observer(origin, case),
        procedure_reported=_PROCEDURE,
        imaging_measurements=_groups(origin, case, segments, segmentation),
        title=codes.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.append(_judgement(case))
    version = case.mask_version
    series_uid = uid_of(origin, case, None, "sr series")
    report = Comprehensive3DSR(
        evidence=[*headers, *([segmentation] if segmentation else [])],
        content=content[0],
        series_instance_uid=series_uid,
        series_number=_SERIES_NUMBER,
        sop_instance_uid=_uid(origin, case, version, empty_frames),
        instance_number=version + 1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        previous_versions=_replaced(origin, case, empty_frames),
        series_description=description("hippocampus volumes"),
        manufacturer_model_name=MANUFACTURER,
        software_versions=software_versions(case),
        device_serial_number="0",
    )
    return file_bytes(report, case)


def _observer(origin: Origin, case: Case) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of(origin, case, None, "device"), name=MANUFACTURER,
        manufacturer_name=MANUFACTURER, model_name=software_versions(case),
    )  # fmt: skip
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _groups(
    origin: Origin, case: Case, segments: list[tuple[str, str]], segmentation: Segmentation | None
) -> list[Any]:
    measures = case.report["measures"]
    model = case.report["model"]
    algorithm = AlgorithmIdentification(
        MANUFACTURER, str(model["version"]),
        [f"model {model.get('name', '')}", f"sha256 {model.get('sha256', '')}"],
    )  # fmt: skip
    groups: list[Any] = []
    for side, parts in (measures.get("sides") or {"": measures}).items():
        for label in ("anterior", "posterior", "total"):
            name, uid = tracking_of(origin, case, side, label)
            shared: dict[str, Any] = {
                "tracking_identifier": TrackingIdentifier(uid, name),
                "finding_type": codes.SCT.AnatomicalStructure,
                "finding_sites": [
                    FindingSite(HIPPOCAMPUS, LATERALITY.get(side), PARTS.get(label))
                ],
                "measurements": [
                    Measurement(
                        codes.SCT.Volume, float(parts[label]["volume_mm3"]),
                        codes.UCUM.CubicMillimeter, algorithm_id=algorithm,
                    )
                ],
            }  # fmt: skip
            if segmentation is None or (side, label) not in segments:
                groups.append(MeasurementsAndQualitativeEvaluations(**shared))
                continue
            number = segments.index((side, label)) + 1
            segment = ReferencedSegment.from_segmentation(segmentation, number)
            groups.append(
                VolumetricROIMeasurementsAndQualitativeEvaluations(
                    referenced_segment=segment, **shared
                )
            )
    return groups


def _judgement(case: Case) -> ContainerContentItem:
    """Confidence, warnings, notes and the notice: rows 12 to 14 of TID 1500."""
    contains = RelationshipTypeValues.CONTAINS
    container = ContainerContentItem(_QUALITATIVE, relationship_type=contains)
    items: list[Any] = []
    confidence = confidence_of(case.report)
    if confidence:
        items.append(CodeContentItem(_CONFIDENCE, _WORDS[confidence], contains))
    items += [
        TextContentItem(_FINDING[finding["level"]], finding["message"], contains)
        for finding in distinct_warnings(case.report)
    ]
    items.append(TextContentItem(codes.DCM.Comment, NOTICE, contains))
    container.ContentSequence = ContentSequence(items)
    return container


def _uid(origin: Origin, case: Case, version: int, empty_frames: bool) -> UID:
    return uid_of(origin, case, version, "sr", *(["empty frames"] if empty_frames else []))


def _replaced(origin: Origin, case: Case, empty_frames: bool) -> list[Dataset] | None:
    """The SR of the mask version before."""
    if case.mask_version == MODEL_MASK:
        return None
    before = Dataset()
    before.StudyInstanceUID = origin.headers[0].StudyInstanceUID
    before.SeriesInstanceUID = uid_of(origin, case, None, "sr series")
    before.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.34"
    before.SOPInstanceUID = _uid(origin, case, case.mask_version - 1, empty_frames)
    return [before]
