"""A label file: on its scan's grid, in whole numbers that are known, with every label there."""

from collections.abc import Mapping

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.errors import InputError
from core.image.header import Header
from core.image.volume import Volume

# Labels 0 to 2 in 8 bits with a slope miss their whole number by at most 2 / 255 / 2.
_SLOPE_TOLERANCE = 0.005
_ROUNDING = 1e-3
# A label's grid may differ from its image's by this share of a voxel, from rounding.
_GRID_TOLERANCE = 0.1


def whole_numbers(
    values: NDArray[np.float64], known: Mapping[str, int]
) -> tuple[NDArray[np.uint8], str]:
    """Label values as integers, and what was mended, in words.

    Parameters
    ----------
    values : ndarray, shape (X, Y, Z)
        As the file has them.
    known
        The values that may occur beside 0, by name.

    Raises
    ------
    InputError
        There are others, or values between labels.
    """
    if not np.isfinite(values).all():
        raise InputError("the label has values that are not numbers")
    distinct = np.unique(values)
    off = float(np.abs(distinct - np.round(distinct)).max())
    # A slope moves each label as a whole; interpolation makes many values of one.
    is_scaled = off <= _SLOPE_TOLERANCE and len(np.unique(np.round(distinct))) == len(distinct)
    if off > _ROUNDING and not is_scaled:
        raise InputError("the label has values between the labels: it was interpolated")
    values_there = {int(v) for v in np.round(distinct)}
    unknown = sorted(values_there - {0, *known.values()})
    if unknown:
        names = ", ".join(f"{value} {name}" for name, value in known.items())
        raise InputError(f"the label has the value {unknown[0]}; known are 0 background, {names}")
    mended = ""
    if off > _ROUNDING:
        read = ", ".join(f"{v:.4f} as {v:.0f}" for v in distinct if abs(v - round(v)) > _ROUNDING)
        mended = f"a slope in the header moved the label's values; read {read}"
    elif off:
        mended = "label values were rounded to whole numbers"
    return np.ascontiguousarray(np.round(values).astype(np.uint8)), mended


def refuse_missing(labels: NDArray[np.uint8]) -> None:
    """Raise `InputError` if one of the two labels does not occur."""
    for name, value in LABELS.items():
        if not (labels == value).any():
            raise InputError(f"the label has no voxel of {name} ({value})")


def on_grid_of(scan: Volume, values: NDArray[np.float64], header: Header) -> NDArray[np.float64]:
    """A label's values along the axes of its scan in memory: swapped and flipped, not resampled.

    Raises
    ------
    InputError
        Its grid is not that of the scan.
    """
    turn = io_orientation(np.linalg.inv(scan.affine) @ header.affine)
    if not np.isnan(turn).any():
        turned = np.asarray(apply_orientation(values, turn))
        if turned.shape == scan.shape:
            affine = header.affine @ inv_ornt_aff(turn, header.shape)
            offset = _largest_offset_mm(affine, scan.affine, turned.shape)
            if offset > _GRID_TOLERANCE * min(scan.spacing_mm):
                raise InputError(f"the label lies up to {offset:.1f} mm beside the image")
            return turned
    shapes = (" x ".join(map(str, h.shape)) for h in (header, scan.header))
    raise InputError("the label's grid is {} voxels, the image's {}".format(*shapes))


def _largest_offset_mm(
    a: NDArray[np.float64], b: NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    points = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(((a - b) @ points)[:3], axis=0).max())
