"""Where the two hippocampi lie in a whole head: a small network at 4 mm, and what speaks for it.

The network was trained on synthetic heads alone: the ICBM 152 template and its tissue maps,
deformed, with random contrasts, skulls, necks, cuts and noise, in the manner of SynthSeg (Billot et
al., Medical Image Analysis 86, 2023). See `core.training.localiser`.
"""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from core.volume import Volume

STEP_MM = 4.0
# What the network sees at once, voxels of `STEP_MM` along R, A, S.
GRID = (48, 56, 48)
SIDES = ("left", "right")
# Channels of the network's output.
_BRAIN = 2
# The window's middle below the highest point of what is not air.
_BELOW_TOP_MM = 90.0
_TALLEST_MM = 180.0
_AIR_SHARE = 0.1
# Around the highest value, what counts for the place.
_REACH_MM = 10.0
_REACH_SHARE = 0.3


@dataclass(frozen=True)
class Place:
    """Where a hippocampus seems to be.

    Attributes
    ----------
    centre_mm : (float, float, float)
        RAS+.
    peak : float
        The network's highest value there, about 1 where it is sure, 0 where it sees none.
    """

    centre_mm: tuple[float, float, float]
    peak: float


@dataclass(frozen=True)
class Location:
    """What the network saw in a head.

    Attributes
    ----------
    places : dict of str to Place
        By side, the patient's.
    brain_ml : float
        An estimate: the voxels of 4 mm that look like brain.
    """

    places: dict[str, Place]
    brain_ml: float


def window(volume: Volume) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What the network is shown of a head.

    Returns
    -------
    image : ndarray of float32, shape `GRID`
        Along R, A, S; normalised.
    start_mm : ndarray, shape (3,)
        Centre of its first voxel.
    """
    data, affine = _reduced(volume.data, volume.affine)
    start_mm = _middle_mm(data, affine) - (np.array(GRID) - 1) / 2 * STEP_MM
    return normalised(sample(data, affine, start_mm, GRID, STEP_MM)), start_mm


def location(output: NDArray[np.float32], start_mm: NDArray[np.float64]) -> Location:
    """Read the network's output.

    Parameters
    ----------
    output : ndarray, shape (3, *GRID)
        Heat of the left and of the right hippocampus, logit of the brain.
    """
    places = {}
    for heat, side in zip(output, SIDES, strict=False):
        peak = np.array(np.unravel_index(int(heat.argmax()), heat.shape))
        points = np.argwhere(heat > _REACH_SHARE * heat.max())
        near = points[np.linalg.norm(points - peak, axis=1) * STEP_MM <= _REACH_MM]
        weights = heat[tuple(near.T)]
        middle = peak if weights.sum() <= 0 else (near * weights[:, None]).sum(0) / weights.sum()
        r, a, s = (float(n) for n in start_mm + middle * STEP_MM)
        places[side] = Place((r, a, s), float(heat.max()))
    brain = int(np.count_nonzero(output[_BRAIN] > 0))
    return Location(places, brain * STEP_MM**3 / 1000)


def sample(
    data: NDArray[np.float32],
    affine: NDArray[np.float64],
    start_mm: NDArray[np.float64],
    shape: tuple[int, int, int],
    step_mm: float,
) -> NDArray[np.float32]:
    """Values on an upright grid, linear between voxels, 0 outside of the image.

    Parameters
    ----------
    start_mm
        Centre of the grid's first voxel, RAS+.
    shape, step_mm
        Of the grid, along R, A, S.
    """
    inverse = np.linalg.inv(affine)
    axes = [start + np.arange(n) * step_mm for start, n in zip(start_mm, shape, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    voxels = np.tensordot(inverse[:3, :3], grid, 1) + inverse[:3, 3][:, None, None, None]
    values: NDArray[np.float32] = ndimage.map_coordinates(data, voxels, order=1, mode="constant")
    return values


def normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without its darkest and brightest voxels, mean 0 and deviation 1."""
    low, high = np.percentile(image, (1, 99.5))
    clipped = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray((clipped - clipped.mean()) / max(clipped.std(), 1e-6), np.float32)


def _reduced(
    data: NDArray[np.float32], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Means of as many voxels as fit into one of the network's, from 0 upwards."""
    factors = [max(1, int(STEP_MM // mm)) for mm in voxel_sizes(affine)]
    kept = [n // f * f for n, f in zip(data.shape, factors, strict=True)]
    blocks = data[: kept[0], : kept[1], : kept[2]]
    for axis, factor in enumerate(factors):
        shape = list(blocks.shape)
        shape[axis : axis + 1] = [shape[axis] // factor, factor]
        blocks = blocks.reshape(shape).mean(axis + 1)
    change = np.diag([*factors, 1.0])
    change[:3, 3] = [(f - 1) / 2 for f in factors]
    return np.asarray(blocks - blocks.min(), np.float32), affine @ change


def _middle_mm(data: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the window's middle should be: by the top of the head and its width there."""
    inside = data > _AIR_SHARE * np.percentile(data, 99.5)
    pieces, count = ndimage.label(inside)
    if count > 1:
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    points = apply_affine(affine, np.argwhere(inside))
    top = points[:, 2].max()
    head = points[points[:, 2] > top - _TALLEST_MM]
    middle = (head.min(0) + head.max(0)) / 2
    middle[2] = top - _BELOW_TOP_MM
    return np.asarray(middle)
