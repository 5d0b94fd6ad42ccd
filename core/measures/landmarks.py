"""Points in a mask that are worth a look: the viewer jumps from one to the next."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.anatomy import LABELS, SIDES
from core.image.volume import box_around
from core.wording import counted

_CORONAL = 1
_MAX_FRAGMENTS = 5


@dataclass(frozen=True)
class Landmark:
    """One point to look at.

    Attributes
    ----------
    words : str
        What is there.
    voxel : tuple of int
        Index on the RAS+ grid, within the structure.
    axis : int
        The axis (R, A, S) that is perpendicular to the slice to show.
    """

    words: str
    voxel: tuple[int, int, int]
    axis: int

    def as_dict(self) -> dict[str, Any]:
        """For the viewer."""
        return {"words": self.words, "voxel": list(self.voxel), "axis": self.axis}


def landmarks(labels: NDArray[np.uint8], where: NDArray[np.uint8] | None = None) -> list[Landmark]:
    """The largest coronal section of each label, then the fragments apart from its main piece.

    Parameters
    ----------
    labels
        Shape (R, A, S), RAS+.
    where
        Of a head, same shape: 1 nearer to the left hippocampus, 2 to the right one.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5), np.uint8)
    >>> mask[1:4, 2, 1:4] = 1
    >>> landmarks(mask)
    [Landmark(words='Largest section of anterior', voxel=(2, 2, 2), axis=1)]
    """
    box = box_around(labels)
    if box is None:
        return []
    corner = [part.start for part in box]
    points = []
    for number, side in enumerate(SIDES, start=1):
        part = labels[box] if where is None else np.where(where[box] == number, labels[box], 0)
        for landmark in _of_side(part, "" if where is None else f"{side} "):
            i, j, k = (int(n) + c for n, c in zip(landmark.voxel, corner, strict=True))
            points.append(replace(landmark, voxel=(i, j, k)))
        if where is None:
            break
    return points


def _of_side(labels: NDArray[Any], side: str) -> list[Landmark]:
    points = []
    for name, value in LABELS.items():
        inside = labels == value
        if inside.any():
            where = int(inside.sum(axis=(0, 2)).argmax())
            section = np.zeros_like(inside)
            section[:, where] = inside[:, where]
            points.append(
                Landmark(f"Largest section of {side}{name}", _centre_voxel(section), _CORONAL)
            )
    for name, value in LABELS.items():
        pieces, _ = ndimage.label(labels == value, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        for piece in np.argsort(-sizes, kind="stable")[1 : 1 + _MAX_FRAGMENTS]:
            size = int(sizes[piece])
            words = f"Fragment of {side}{name}, {counted(size, 'voxel')}"
            points.append(Landmark(words, _centre_voxel(pieces == piece + 1), _CORONAL))
    return points


def _centre_voxel(inside: NDArray[np.bool_]) -> tuple[int, int, int]:
    """The voxel of a region that is nearest to its centre."""
    voxels = np.argwhere(inside)
    nearest = ((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()
    i, j, k = (int(n) for n in voxels[nearest])
    return i, j, k
