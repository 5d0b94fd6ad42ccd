"""From DICOM files to one NIfTI file on the series' own grid."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from core import limits
from core.errors import HippoViewError, InputError, TooLargeError
from core.findings import Finding
from core.image.dicom.choice import choose
from core.image.dicom.compressed import has_true_sizes
from core.image.dicom.geometry import arranged
from core.image.dicom.headers import Frame, damaged, frames_of, read_header
from core.image.dicom.origin import Origin, origin_of
from core.image.dicom.plain import plain_pixels
from core.image.dicom.series import Series, series_of
from core.image.dicom.unpack import files_of


@dataclass(frozen=True)
class Converted:
    """A series as NIfTI.

    Attributes
    ----------
    path : Path
        Voxels by column, row and slice; no text of the DICOM files.
    findings : list of Finding
    origin : Origin or None
        Its study and its instances; None if the files do not say which they are.
    """

    path: Path
    findings: list[Finding]
    origin: Origin | None


def converted(source: Path, folder: Path, uid: str = "") -> Converted:
    """Convert the T1-weighted series of an export.

    Parameters
    ----------
    source
        A folder, a zip or one DICOM file.
    folder
        Where the result is written, and a zip is unpacked. Both stay: the caller removes it.
    uid
        Of the series to take; by default the one that is plausible alone.

    Raises
    ------
    InputError, TooLargeError
        It is not one regular T1-weighted volume.
    """
    files = files_of(source, folder)
    try:
        headers = [h for file in files if (h := read_header(file)) is not None]
        series = choose(series_of(headers), uid)
        frames, affine = arranged([frame for h in series.headers for frame in frames_of(h)])
        voxels = _voxels(frames)
        origin = origin_of(frames)
    except (HippoViewError, MemoryError):
        raise
    except Exception as error:  # values are read when they are asked for, and may be anything
        if isinstance(error, OSError) and error.errno is not None:  # pydicom's own have none
            raise
        raise damaged() from error
    path = folder / "series.nii"
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return Converted(path, _findings(series), origin)


def _findings(series: Series) -> list[Finding]:
    if not series.has_contrast_agent:
        return []
    return [Finding(
        "warning", "contrast_agent",
        "A contrast agent was given before this series. The model was trained on scans without.",
    )]  # fmt: skip


def _voxels(frames: list[Frame]) -> NDArray[np.generic]:
    """Stored values by column, row and slice: integers, if no slope makes them others."""
    first = frames[0].header.values
    rows, columns = int(first.get("Rows") or 0), int(first.get("Columns") or 0)
    count = rows * columns * len(frames)
    if count > limits.MAX_VOXELS:
        raise TooLargeError(
            f"The series has {columns} x {rows} x {len(frames)} voxels",
            "At most 512 x 512 x 512 are read: export it with fewer.",
        )
    if max(rows, columns) > limits.MAX_DICOM_MATRIX:
        raise TooLargeError(
            f"The slices have {columns} x {rows} pixels",
            f"At most {limits.MAX_DICOM_MATRIX} x {limits.MAX_DICOM_MATRIX} are read.",
        )
    for header in {id(frame.header): frame.header for frame in frames}.values():
        if not has_true_sizes(header.path, header.syntax, rows, columns):
            raise damaged()
    scaled = any((frame.slope, frame.intercept) != (1.0, 0.0) for frame in frames)
    kind = np.float32 if scaled else _kind(frames)
    voxels = np.empty((columns, rows, len(frames)), kind, order="F")
    for k, frame in enumerate(frames):
        values = _pixels(frame, rows, columns)
        if scaled:
            values = values.astype(np.float32) * frame.slope + frame.intercept
        voxels[:, :, k] = values.T
    if first.get("PhotometricInterpretation") == "MONOCHROME1":  # the largest value is black
        low, high = voxels.min(), voxels.max()
        np.subtract(high, voxels - low, out=voxels)
    return voxels


def _kind(frames: list[Frame]) -> type[np.generic]:
    values = [frame.header.values for frame in frames]
    signed = {int(v.get("PixelRepresentation") or 0) for v in values}
    bits = max(int(v.get("BitsAllocated") or 16) for v in values)
    if len(signed) > 1 or bits > 16:
        return np.int32
    if bits <= 8:
        return np.int16 if signed == {1} else np.uint8
    return np.int16 if signed == {1} else np.uint16


def _pixels(frame: Frame, rows: int, columns: int) -> NDArray[np.generic]:
    values = frame.header.values
    if (int(values.get("Rows") or 0), int(values.get("Columns") or 0)) != (rows, columns):
        raise InputError(
            f"Slice {frame.number} has another matrix than the first",
            "Export the original images.",
            code="dicom_matrix",
        )
    pixels = plain_pixels(frame.header, frame.index, rows, columns)
    if pixels is not None:
        return pixels
    try:
        pixels = pixel_array(frame.header.path, index=frame.index, raw=True)
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise damaged() from error
    if pixels.shape != (rows, columns):
        raise damaged()
    return pixels
