"""How a slice lies on a picture; `core.exports.painter` paints it."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.anatomy import Convention

# By the axis (R, A, S) that is cut: the axes drawn across and up.
ACROSS_UP = ((1, 2), (0, 2), (0, 1))
# By axis: the letters where it begins and ends.
ENDS = ("LR", "PA", "IS")
_Scalar = TypeVar("_Scalar", bound=np.generic)


def as_drawn(plane: NDArray[_Scalar], axis: int, convention: Convention) -> NDArray[_Scalar]:
    """Turn a plane of a RAS+ volume so that it lies as on the picture.

    Parameters
    ----------
    plane : (A, B)
        The two axes that are left, in the order R, A, S.
    axis
        The axis that is cut.

    Returns
    -------
    drawn : (B, A)
        Rows from below upwards, columns from left to right.
    """
    return plane.T[:, ::-1] if _is_mirrored(axis, convention) else plane.T


def letters_of(axis: int, convention: Convention) -> str:
    """The letters at the left, right, lower and upper edge of a picture."""
    across, up = ACROSS_UP[axis]
    return (ENDS[across][::-1] if _is_mirrored(axis, convention) else ENDS[across]) + ENDS[up]


def size_mm(
    shape: tuple[int, ...], spacing_mm: NDArray[np.float64], axis: int
) -> tuple[float, float]:
    """Width and height of a picture of a whole slice.

    Parameters
    ----------
    shape, spacing_mm
        Of the volume: three each.
    """
    across, up = ACROSS_UP[axis]
    return float(shape[across] * spacing_mm[across]), float(shape[up] * spacing_mm[up])


def _is_mirrored(axis: int, convention: Convention) -> bool:
    # R to the right of the picture is the neurological way.
    return ACROSS_UP[axis][0] == 0 and convention == "radiological"
