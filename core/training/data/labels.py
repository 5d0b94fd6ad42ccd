"""The values of a label file: whole numbers that are known, and all of them there."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.errors import InputError

# Labels 0 to 2 in 8 bits with a slope miss their whole number by at most 2 / 255 / 2.
_SLOPE_TOLERANCE = 0.005
_ROUNDING = 1e-3


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
