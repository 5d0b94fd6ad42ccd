"""A case on another grid, to look at: upright along the head's axes, or across the hippocampus.

Scan and labels are resampled for the eye. Nothing is measured or corrected there: both belong on
the file's own voxels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from core.cases.case import CaseImages
from core.image.volume import box_around
from core.image.voxels import Voxels
from core.predictor.heads import halves

Plane = Literal["coronal", "long axis"]
# Finer steps than this show no more of a scan of 1 mm; a browser without a graphics card draws so
# many voxels in a few seconds.
_FINEST_MM = 0.8
_MOST_VOXELS = 16_000_000
# Beyond it, an axis of the grid would be closer to another axis of the scanner, whose letters it
# would then have.
MOST_TILT_DEG = 44.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels to resample to: their number along each axis, and the affine to mm, RAS+."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]


def axes_of(
    head: dict[str, Any], points: Mapping[str, NDArray[np.float64]], plane: Plane
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Right, front and up as unit vectors, RAS+: the head's own, turned to the long axis.

    Parameters
    ----------
    head
        `core.predictor.heads.Head.as_dict`.
    points
        By side the places of its labels, mm, shape (N, 3).
    plane
        Coronal, or across the long axis, which is that of both sides together.
    """
    boxes = [side["box"]["affine"] for side in head["sides"].values() if side.get("box")]
    axes = np.array(boxes[0])[:3, :3] if boxes else np.eye(3)
    right, front, up = (axes / np.linalg.norm(axes, axis=0)).T
    if plane == "coronal":
        return right, front, up
    # In the head's own sagittal plane, of both sides about their own middles.
    centred = np.concatenate([mm - mm.mean(axis=0) for mm in points.values()])
    flat = np.stack((centred @ front, centred @ up))
    ahead, above = np.linalg.eigh(flat @ flat.T)[1][:, -1]
    if ahead < 0:
        ahead, above = -ahead, -above
    return right, ahead * front + above * up, ahead * up - above * front


def points_of(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], head: dict[str, Any]
) -> dict[str, NDArray[np.float64]]:
    """By side the places of its labels, mm, shape (N, 3); a side without a label has none."""
    parts = halves(labels, affine, head)
    return {
        name: np.asarray(apply_affine(affine, np.argwhere(part)), np.float64)
        for name, part in parts.items()
        if part.any()
    }


def grid_along(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> Grid | None:
    """The grid that covers a scan, with cubes along some axes; None where they lie too far askew.

    Parameters
    ----------
    shape, affine
        Of the scan, RAS+.
    axes
        Unit vectors close to right, front and up, at right angles.

    Examples
    --------
    >>> grid_along((10, 20, 30), np.eye(4), tuple(np.eye(3))).shape
    (10, 20, 30)
    """
    turn = np.column_stack(axes)
    if np.degrees(np.arccos(np.clip(np.diag(turn), -1, 1))).max() > MOST_TILT_DEG:
        return None
    ends = np.array(list(product(*((-0.5, n - 0.5) for n in shape))))
    along = np.asarray(apply_affine(affine, ends), np.float64) @ turn
    low, high = along.min(axis=0), along.max(axis=0)
    step = max(_FINEST_MM, float(voxel_sizes(affine).min()))
    while np.prod(np.ceil((high - low) / step - 1e-6)) > _MOST_VOXELS:
        step *= 1.05
    counts = np.maximum(1, np.ceil((high - low) / step - 1e-6)).astype(int)
    grid = np.eye(4)
    grid[:3, :3] = turn * step
    grid[:3, 3] = turn @ ((low + high) / 2 - (counts - 1) / 2 * step)
    return Grid((int(counts[0]), int(counts[1]), int(counts[2])), grid)


def scan_on(
    images: CaseImages, grid: Grid, move: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """The scan on a grid, linear between voxels, its lowest value outside; shape of the grid.

    Parameters
    ----------
    move : (4, 4), optional
        From the scan's mm to the grid's; left out, they are the same.
    """
    to_voxels = _to_voxels(images.affine, grid, move)
    scan = images.voxels.read_float32()
    return np.asarray(
        ndimage.affine_transform(
            scan, to_voxels[:3, :3], to_voxels[:3, 3], grid.shape, order=1, mode="constant",
            cval=float(scan.min()),
        ),
        np.float32,
    )  # fmt: skip


def labels_on(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    grid: Grid,
    move: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Labels on a grid: where half of a voxel is labelled, the label with the larger share.

    Parameters
    ----------
    affine
        Of ``labels``.
    move : (4, 4), optional
        From their mm to the grid's; left out, they are the same.
    """
    on_grid = np.zeros(grid.shape, np.uint8)
    box = box_around(labels, 2)
    if box is None:
        return on_grid
    to_voxels = _to_voxels(affine, grid, move)
    ends = np.array(list(product(*((part.start - 1, part.stop) for part in box))))
    corners = apply_affine(np.linalg.inv(to_voxels), ends)
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, grid.shape)
    if (high <= low).any():
        return on_grid
    offset = to_voxels[:3, :3] @ low + to_voxels[:3, 3] - [part.start for part in box]
    size = tuple(int(n) for n in high - low)
    values = [int(value) for value in np.unique(labels[box]) if value]
    shares = [
        ndimage.affine_transform(
            (labels[box] == value).astype(np.float32), to_voxels[:3, :3], offset, size, order=1
        )
        for value in values
    ]  # fmt: skip
    best = np.array(values, np.uint8)[np.argmax(shares, axis=0)]
    into = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    on_grid[into] = np.where(np.sum(shares, axis=0) >= 0.5, best, 0)
    return on_grid


def images_on(
    images: CaseImages, grid: Grid, move: NDArray[np.float64] | None = None
) -> CaseImages:
    """Scan and labels on a grid; see `scan_on` and `labels_on`."""
    labels = labels_on(images.labels, images.affine, grid, move)
    return CaseImages(Voxels(scan_on(images, grid, move)), labels, grid.affine)


def _to_voxels(
    affine: NDArray[np.float64], grid: Grid, move: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """From the grid's voxels to those of ``affine``."""
    back = np.eye(4) if move is None else np.linalg.inv(move)
    return np.asarray(np.linalg.inv(affine) @ back @ grid.affine, np.float64)
