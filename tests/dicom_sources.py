"""A small head as a DICOM series' headers with its mask, in any orientation, and its case."""

import gzip
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from core.anatomy import NOTICE
from core.cases.case import Case, CaseImages, Review
from core.image.dicom.origin import Origin
from core.image.voxels import Voxels
from core.measures.measure import appraise_head, measure

# Axes of a series (columns, rows, slices run along) in the patient's LPS.
AXES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "axial, slices reversed": ((1, 0, 0), (0, -1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "oblique": ((0.96, 0.28, 0), (-0.28 * 0.8, 0.96 * 0.8, -0.6)),
}
COUNT = (40, 34, 26)  # columns, rows, slices
SPACING = (2.6, 2.6, 3.7)
CENTRES = {"left": [-26.0, -10.0, -8.0], "right": [26.0, -10.0, -8.0]}
# mm, RAS+: half the axes of the hippocampus.
_RADII = np.array((6.0, 12.0, 6.0))
NAME, ID, BORN = "Müller^Änne", "PID-77", "19500203"


def affine_of(axes: str) -> NDArray[np.float64]:
    """Indices (column, row, slice) to mm, RAS+; the volume's middle is the origin."""
    row, column = (np.array(a, float) for a in AXES[axes])
    lps = np.stack((row, column, np.cross(row, column)), axis=1) * SPACING
    affine = np.eye(4)
    affine[:3, :3] = np.diag((-1, -1, 1)) @ lps
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(COUNT) - 1) / 2)
    return affine


def labels_on(axes: str, sides: tuple[str, ...] = ("left", "right")) -> NDArray[np.uint8]:
    """1 and 2 left anterior and posterior, 3 and 4 right: shape (columns, rows, slices)."""
    affine = affine_of(axes)
    points = apply_affine(affine, np.moveaxis(np.indices(COUNT), 0, -1))
    labels = np.zeros(COUNT, np.uint8)
    for side in sides:
        apart = (points - CENTRES[side]) / _RADII
        inside = (apart**2).sum(axis=-1) <= 1
        first = 1 if side == "left" else 3
        labels[inside] = np.where(apart[inside][:, 1] > 0.2, first, first + 1)
    return labels


def source_of(axes: str, *, enhanced: bool = False, bare: bool = False) -> Origin:
    """Where the head came from."""
    affine = affine_of(axes)
    row, column = AXES[axes]
    positions = [
        (np.diag((-1, -1, 1)) @ apply_affine(affine, (0, 0, k))).round(6).tolist()
        for k in range(COUNT[2])
    ]
    orientation = [*row, *column]
    if not enhanced:
        headers = tuple(
            _header(MRImageStorage, k, bare=bare, ImagePositionPatient=position,
                    ImageOrientationPatient=orientation, PixelSpacing=[SPACING[1], SPACING[0]],
                    SliceThickness=SPACING[2])
            for k, position in enumerate(positions)
        )  # fmt: skip
        return Origin(headers, (1,) * COUNT[2])
    shared = _item(
        PlaneOrientationSequence=[_item(ImageOrientationPatient=orientation)],
        PixelMeasuresSequence=[_item(PixelSpacing=[SPACING[1], SPACING[0]],
                                     SliceThickness=SPACING[2])],
    )  # fmt: skip
    # The frames lie in the file the other way round.
    frames = tuple(range(COUNT[2], 0, -1))
    by_frame = sorted(zip(frames, positions, strict=True))
    header = _header(
        EnhancedMRImageStorage, 0, NumberOfFrames=COUNT[2],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[
            _item(
                PlanePositionSequence=[_item(ImagePositionPatient=position)],
                FrameContentSequence=[_item(StackID="1", InStackPositionNumber=number)],
            )
            for number, position in by_frame
        ],
    )  # fmt: skip
    return Origin((header,), frames)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _header(sop_class: UID, number: int, *, bare: bool = False, **values: Any) -> Dataset:
    """``bare``: without the attributes that a source may lack."""
    about = {} if bare else {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": NAME, "PatientID": ID,
        "PatientBirthDate": BORN, "PatientSex": "F", "StudyDate": "20240506",
        "StudyTime": "101112", "StudyID": "S1", "AccessionNumber": "A1",
        "ReferringPhysicianName": "Ref^Doc",
    }  # fmt: skip
    header = _item(
        **about, SOPClassUID=sop_class, SOPInstanceUID=f"1.2.3.4.{number + 1}",
        StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", SeriesNumber=3, Modality="MR",
        InstanceNumber=number + 1, FrameOfReferenceUID="1.2.3.9", Rows=COUNT[1],
        Columns=COUNT[0], **values,
    )  # fmt: skip
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def case_of(
    labels: NDArray[np.uint8], axes: str, *, version: int = 0, review: Review | None = None,
    sides: tuple[str, ...] = ("left", "right"), is_crop: bool = False,
) -> Case:  # fmt: skip
    """The case of a mask with 1 to 4 (1 and 2 of a crop)."""
    affine = affine_of(axes)
    parts = np.where(labels > 2, labels - 2, labels).astype(np.uint8)
    head = {
        "sides": {s: {"centre_mm": CENTRES[s]} for s in sides}, "brain_ml": 1200.0, "scale": 1.0,
        "confidence": "check", "reasons": [],
    }  # fmt: skip
    if is_crop:
        measures, findings = measure(parts, affine), []
    else:
        appraisal = appraise_head(parts, affine, head)
        measures, findings = appraisal.measures, [f.as_dict() for f in appraisal.findings]
        head |= {
            "confidence": appraisal.judgement.confidence,
            "reasons": list(appraisal.judgement.reasons),
        }
    report = {
        "notice": NOTICE, "measures": measures.as_dict(), "warnings": findings,
        "model": {"version": "7", "name": "tiny", "sha256": "ab" * 32},
        "input": {"shape": list(COUNT), "spacing_mm": list(SPACING), "orientation": "LPS",
                  "sha256": "cd" * 32},
        "head": None if is_crop else head,
    }  # fmt: skip
    if version:
        report["mask"] = {"version": version, "author": "Ada"}
    return Case("HV-TEST01", "a name of the user's", "2026-11-30T05:56:07.000+00:00", report,
                version, review or Review())  # fmt: skip


def images_of() -> CaseImages:
    """The axial head's scan and labels, RAS+."""
    affine = affine_of("axial") @ np.diag((-1.0, -1.0, 1.0, 1.0))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(COUNT) - 1) / 2)
    labels = labels_on("axial")[::-1, ::-1]
    labels = np.where(labels > 2, labels - 2, labels).astype(np.uint8)
    values = np.random.default_rng(1).normal(100, 20, COUNT).astype(np.float32) + 60 * labels
    return CaseImages(Voxels(values), labels, affine)


def analysis_of(axes: str, *, dicom: bool = True) -> Any:
    """What `core.cases.store.Cases.add` takes: the head as a converted series."""
    labels = labels_on(axes)
    report = case_of(labels, axes).report
    parts = np.where(labels > 2, labels - 2, labels).astype(np.uint8)
    values = np.random.default_rng(1).normal(100, 20, COUNT).astype(np.float32)
    scan, mask = (nib.Nifti1Image(array, affine_of(axes)) for array in (values, parts))
    return SimpleNamespace(
        as_dict=lambda: report | {"device": "cpu"}, features={"number": 1.0},
        scan_file=lambda: gzip.compress(scan.to_bytes(), 1, mtime=0),
        mask_file=gzip.compress(mask.to_bytes(), 1, mtime=0),
        origin=source_of(axes) if dicom else None,
    )  # fmt: skip
