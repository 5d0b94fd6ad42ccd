"""Reads the header of one DICOM file, and the place of each of its frames."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from core import limits
from core.errors import InputError
from core.image.dicom.compressed import check_syntax

# Its warnings and log lines quote values, which may be a patient's.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

# What the way back to the study needs, beside the UIDs; see `core.image.dicom.origin`.
OF_ORIGIN = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "Manufacturer",
    "ManufacturerModelName",
    "InstanceNumber",
)
# What is read of a header, beside the sequences that enhanced images have for their frames: tags,
# which pydicom would else look up by their names for each file.
_READ = [Tag(name) for name in (
    *OF_ORIGIN,
    "SOPClassUID", "SOPInstanceUID", "ImageType", "SeriesInstanceUID", "StudyInstanceUID",
    "FrameOfReferenceUID", "ProtocolName",
    "SeriesDate",
    "MRAcquisitionType", "ScanningSequence", "SequenceName", "PulseSequenceName",
    "EchoPlanarPulseSequence", "EchoTime", "InversionTime", "DiffusionBValue",
    "ContrastBolusAgent", "ComplexImageComponent", "AcquisitionContrast",
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames",
    "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)]  # fmt: skip
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "EffectiveEchoTime": "MREchoSequence",
}


@dataclass(frozen=True, eq=False)
class Header:
    """One DICOM file without its pixels.

    Attributes
    ----------
    path : Path
    values : Dataset
        What is read of it.
    syntax : UID
        How the pixels are stored.
    pixels_at : int
        Where in the file their element begins (bytes).
    """

    path: Path
    values: Dataset
    syntax: UID
    pixels_at: int


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice.

    Attributes
    ----------
    header : Header
    index : int
        Of the frame within its file, from 0.
    number : int
        What the file calls it, for people.
    position : ndarray, shape (3,)
        Centre of the first pixel (mm), the patient's left, back and top being positive.
    row, column : ndarray, shape (3,)
        Unit vectors along a row (to the next column) and along a column.
    spacing : tuple of float
        Between rows, and between columns (mm).
    slope, intercept : float
        From stored values to those that are meant.
    """

    header: Header
    index: int
    number: int
    position: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing: tuple[float, float]
    slope: float
    intercept: float


def read_header(path: Path) -> Header | None:
    """The header of a file; None if it is a directory of files (DICOMDIR).

    Raises
    ------
    InputError
        It is damaged, or compressed in a way that is not read.
    """
    try:
        meta = read_file_meta_info(path)
        if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return None
        syntax = UID(meta.TransferSyntaxUID)
        if syntax == DeflatedExplicitVRLittleEndian:  # pydicom would unpack it without a bound
            raise InputError(
                "A file is deflated as a whole, which is not read",
                "Export the series uncompressed, or compressed by JPEG or RLE.",
                code="dicom_compression",
            )
        check_syntax(syntax)
        with path.open("rb") as file:
            values = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_READ)
            pixels_at = file.tell()
    except InputError:
        raise
    except Exception as error:  # pydicom meets hostile bytes with many kinds of exception
        raise damaged() from error
    return Header(path, values, syntax, pixels_at)


def frames_of(header: Header) -> Iterator[Frame]:
    """The frames of a file, with their places.

    Raises
    ------
    InputError
        A place is missing or impossible.
    """
    try:
        values = header.values
        shared = _first(values.get("SharedFunctionalGroupsSequence"))
        per_frame = values.get("PerFrameFunctionalGroupsSequence")
        count = int(values.get("NumberOfFrames") or 1)
        if not 1 <= count <= limits.MAX_DICOM_FILES or (per_frame and len(per_frame) != count):
            raise ValueError("the number of frames")
        for index in range(count):
            own = per_frame[index] if per_frame else None
            first = int(values.get("InstanceNumber") or 0)
            yield _frame(header, index, index + 1 if count > 1 else first, shared, own)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            "A slice does not say where it lies in the patient",
            "The series has no complete position and orientation: export the original images.",
            code="dicom_place",
        ) from error


def group_value(name: str, *places: Dataset | None) -> Any:
    """A value in a frame's own group, in the shared one, or in the header; None if missing."""
    for place in places:
        if place is None:
            continue
        inner = _first(place.get(_GROUPS.get(name, "")))
        for one in (inner, place):
            if one is not None and one.get(name) not in (None, ""):
                return one.get(name)
    return None


def _frame(
    header: Header, index: int, number: int, shared: Dataset | None, own: Dataset | None
) -> Frame:
    def value(name: str) -> Any:
        return group_value(name, own, shared, header.values)

    position = np.array([float(v) for v in value("ImagePositionPatient")])
    orientation = np.array([float(v) for v in value("ImageOrientationPatient")])
    spacing = [float(v) for v in value("PixelSpacing")]
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    is_right = np.allclose(lengths, 1, atol=0.01) and abs(float(row @ column)) < 0.01
    everything = np.concatenate([position, orientation, spacing])
    if position.shape != (3,) or column.shape != (3,) or not np.isfinite(everything).all():
        raise ValueError("not a place")
    if not is_right or len(spacing) != 2 or min(spacing) <= 0:
        raise ValueError("not two axes at right angles, or no distance between pixels")
    slope, intercept = (value(name) for name in ("RescaleSlope", "RescaleIntercept"))
    return Frame(
        header, index, number, position, row / lengths[0], column / lengths[1],
        (spacing[0], spacing[1]),
        1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept),
    )  # fmt: skip


def _first(sequence: Any) -> Dataset | None:
    return sequence[0] if sequence else None


def damaged() -> InputError:
    """The error for a file that cannot be read."""
    return InputError(
        "One of the DICOM files is damaged",
        "It was cut off or changed: copy or export the series again.",
        code="dicom_damaged",
    )
