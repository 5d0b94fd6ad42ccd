"""Places in a mask that are worth a look: the viewer jumps from one to the next."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.segmentation import LABELS

_CORONAL = 1
_MAX_FRAGMENTS = 5


@dataclass(frozen=True)
class Landmark:
    """One place.

    Attributes
    ----------
    words : str
        What is there.
    voxel : tuple of int
        Of the RAS+ grid, within the structure.
    axis : int
        The axis (R, A, S) that the plane to look at cuts.
    """

    words: str
    voxel: tuple[int, int, int]
    axis: int

    def as_dict(self) -> dict[str, Any]:
        """For the viewer."""
        return {"words": self.words, "voxel": list(self.voxel), "axis": self.axis}


def landmarks(labels: NDArray[np.uint8]) -> list[Landmark]:
    """The largest coronal section of each label, then the pieces apart from its main one.

    Parameters
    ----------
    labels
        Shape (R, A, S), RAS+.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5), np.uint8)
    >>> mask[1:4, 2, 1:4] = 1
    >>> landmarks(mask)
    [Landmark(words='Largest section of anterior', voxel=(2, 2, 2), axis=1)]
    """
    found = []
    for name, value in LABELS.items():
        inside = labels == value
        if inside.any():
            where = int(inside.sum(axis=(0, 2)).argmax())
            section = np.zeros_like(inside)
            section[:, where] = inside[:, where]
            found.append(Landmark(f"Largest section of {name}", _middle(section), _CORONAL))
    for name, value in LABELS.items():
        pieces, _ = ndimage.label(labels == value, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        for piece in np.argsort(-sizes, kind="stable")[1 : 1 + _MAX_FRAGMENTS]:
            size = int(sizes[piece])
            words = f"Fragment of {name}, {size:,} voxel{'s' * (size > 1)}"
            found.append(Landmark(words, _middle(pieces == piece + 1), _CORONAL))
    return found


def _middle(inside: NDArray[np.bool_]) -> tuple[int, int, int]:
    """The voxel of a region that is nearest to its centre."""
    voxels = np.argwhere(inside)
    nearest = ((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()
    i, j, k = (int(n) for n in voxels[nearest])
    return i, j, k
