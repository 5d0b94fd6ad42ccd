"""Where the two hippocampi lie in a whole head: a small network at 4 mm, and what speaks for it.

The network was trained on synthetic heads alone: the ICBM 152 template and its tissue maps,
deformed, with random contrasts, skulls, necks, cuts and noise, in the manner of SynthSeg (Billot et
al., Medical Image Analysis 86, 2023). See `core.training.heads.localiser`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core.anatomy import LEFT_MM, SIDES
from core.errors import InputError
from core.image.volume import Volume

STEP_MM = 4.0
# What the network sees at once, voxels of `STEP_MM` along R, A, S.
GRID = (48, 56, 48)
# Unit of the places in the template that the network gives.
PLACE_MM = 100.0
# What the window's middle shows of the template, in the mean of the training.
_MIDDLE_MM = np.array((0.0, -15.0, -10.0))
# Channels of the network's output.
_BRAIN, _PLACES = 2, slice(3, 6)
# Another start of the search, and the `Location.off_mm` that ends it (4 to 7 in heads).
_HIGHER_MM = np.array((0.0, 0.0, 30.0))
_FITS_MM = 8.0
# Fitting the template to the head: rounds, and what counts in the next one, in medians.
_ROUNDS, _NEAR_MEDIANS = 4, 2.5
_LEAST_BRAIN = 600  # voxels
_LEAST_DETERMINANT = 0.2
# The window's middle below the highest point of what is not air.
_BELOW_TOP_MM = 90.0
_TALLEST_MM = 180.0
_AIR_SHARE = 0.1
# Around the highest value, what counts for the place.
_REACH_MM = 10.0
# How far from where the template has it a hippocampus is looked for.
_SEARCH_MM = 20.0
_REACH_SHARE = 0.3


@dataclass(frozen=True)
class Detection:
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
    detections : dict of str to Detection
        By side, the patient's.
    brain_ml : float
        An estimate: the voxels of 4 mm that look like brain.
    frame : ndarray, shape (4, 4), or None
        From the template's mm to the head's, RAS+, as the voxels of the brain agree on it; None
        where there is too little brain or they do not agree.
    off_mm : float
        Median distance of those voxels from where the frame puts them, in the template.
    """

    detections: dict[str, Detection]
    brain_ml: float
    frame: NDArray[np.float64] | None
    off_mm: float

    def expected_mm(self, side: str) -> NDArray[np.float64] | None:
        """Where the template has a side's hippocampus in this head."""
        if self.frame is None:
            return None
        mirror = (1, 1, 1) if side == SIDES[0] else (-1, 1, 1)
        return np.asarray(apply_affine(self.frame, LEFT_MM * mirror))

    @property
    def axes(self) -> NDArray[np.float64]:
        """The head's own right, anterior and superior, as columns, RAS+: a rotation."""
        if self.frame is None:
            return np.eye(3)
        u, _, v = np.linalg.svd(self.frame[:3, :3])
        return np.asarray(u @ v)

    @property
    def scale(self) -> float:
        """Edge of the head against the template's; 1 where there is no frame."""
        return 1.0 if self.frame is None else float(np.cbrt(np.linalg.det(self.frame[:3, :3])))


def locate(volume: Volume, heat: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Location:
    """Look at a head twice: as it lies, then turned upright by what was seen.

    Where the second look does not fit the template, the head's middle was guessed wrong: the
    search starts again from other places, and the look that fits best counts.

    Parameters
    ----------
    heat
        The network: for an image of shape `GRID` its output, shape (6, *GRID).
    """
    data, affine = _reduced(volume)

    def look(middle_mm: NDArray[np.float64], axes: NDArray[np.float64]) -> Location:
        grid = _grid_about(middle_mm, axes)
        return read(heat(normalised(sample(data, affine, grid, GRID))), grid)

    guess_mm = _middle_mm(data, affine)
    centre_mm = apply_affine(affine, (np.array(data.shape) - 1) / 2)
    starts = (guess_mm, guess_mm + _HIGHER_MM, centre_mm, guess_mm - _HIGHER_MM)
    looks = []
    for start_mm in starts:
        found = look(start_mm, np.eye(3))
        looks.append(found)
        if found.frame is not None:
            looks.append(look(apply_affine(found.frame, _MIDDLE_MM), found.axes))
            if looks[-1].off_mm < _FITS_MM:
                return looks[-1]
    return min(looks, key=lambda found: found.off_mm)


def read(output: NDArray[np.float32], grid: NDArray[np.float64]) -> Location:
    """Read the network's output.

    Parameters
    ----------
    output : ndarray, shape (6, *GRID)
        Heat of the left and of the right hippocampus, logit of the brain, each voxel's place in
        the template, in units of `PLACE_MM`.
    grid : ndarray, shape (4, 4)
        From its voxels to mm, RAS+.
    """
    inside = output[_BRAIN] > 0
    at_mm = np.asarray(apply_affine(grid, np.argwhere(inside)), np.float64)
    in_template_mm = np.asarray(output[_PLACES][:, inside].T * PLACE_MM, np.float64)
    frame, off_mm = _fitted(in_template_mm, at_mm)
    found = Location({}, len(at_mm) * STEP_MM**3 / 1000, frame, off_mm)
    for heat, side in zip(output, SIDES, strict=False):
        expected_mm = found.expected_mm(side)
        if expected_mm is not None:  # the heats of both sides look alike
            middle = apply_affine(np.linalg.inv(grid), expected_mm)
            far = np.linalg.norm(np.moveaxis(np.indices(GRID), 0, -1) - middle, axis=-1)
            heat = np.where(far * STEP_MM <= _SEARCH_MM, heat, 0)
        peak = np.array(np.unravel_index(int(heat.argmax()), heat.shape))
        points = np.argwhere(heat > _REACH_SHARE * heat.max())
        near = points[np.linalg.norm(points - peak, axis=1) * STEP_MM <= _REACH_MM]
        weights = heat[tuple(near.T)]
        middle = peak if weights.sum() <= 0 else (near * weights[:, None]).sum(0) / weights.sum()
        r, a, s = (float(n) for n in apply_affine(grid, middle))
        found.detections[side] = Detection((r, a, s), float(heat.max()))
    return found


def _fitted(
    places: NDArray[np.float64], points_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, float]:
    """The affine from the template to the head, and how far the voxels are off in the median."""
    if len(places) < _LEAST_BRAIN:
        return None, np.inf
    ones = np.column_stack([points_mm, np.ones(len(points_mm))])
    kept = np.ones(len(places), bool)
    for _ in range(_ROUNDS):
        to_template = np.linalg.lstsq(ones[kept], places[kept], rcond=None)[0]
        off = np.linalg.norm(ones @ to_template - places, axis=1)
        kept = off < _NEAR_MEDIANS * np.median(off)
    whole = np.eye(4)
    whole[:3] = to_template.T
    if np.linalg.det(whole) < _LEAST_DETERMINANT:
        return None, np.inf
    return np.asarray(np.linalg.inv(whole), np.float64), float(np.median(off))


def sample(
    data: NDArray[np.float32],
    affine: NDArray[np.float64],
    grid: NDArray[np.float64],
    shape: tuple[int, int, int],
) -> NDArray[np.float32]:
    """Values on another grid, linear between voxels, 0 outside of the image.

    Parameters
    ----------
    grid : ndarray, shape (4, 4)
        From the grid's indices to mm, RAS+.
    """
    return _sampled(data, np.linalg.inv(affine) @ grid, shape)


def sample_unit(
    volume: Volume, grid: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """As `sample`, of a volume's values from 0 to 1: only the part under the grid is read."""
    to_voxels = np.linalg.inv(volume.affine) @ grid
    ends = np.array(list(product(*((0, n - 1) for n in shape))))
    corners = apply_affine(to_voxels, ends)
    begin = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, volume.shape)
    end = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 0, volume.shape)
    if (end <= begin).any():
        return np.zeros(shape, np.float32)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))
    to_voxels[:3, 3] -= begin
    return _sampled(volume.unit_in((x, y, z)), to_voxels, shape)


def _sampled(
    data: NDArray[np.float32], to_voxels: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    values: NDArray[np.float32] = ndimage.affine_transform(
        data, to_voxels[:3, :3], to_voxels[:3, 3], shape, order=1, mode="constant"
    )
    return values


def _grid_about(middle_mm: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the voxels of a window along some axes, with its middle there, to mm."""
    grid = np.eye(4)
    grid[:3, :3] = axes * STEP_MM
    grid[:3, 3] = middle_mm - grid[:3, :3] @ ((np.array(GRID) - 1) / 2)
    return grid


def normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without its darkest and brightest voxels, mean 0 and deviation 1."""
    low, high = np.percentile(image, (1, 99.5))
    clipped = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray((clipped - clipped.mean()) / max(clipped.std(), 1e-6), np.float32)


def _reduced(volume: Volume) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Means of as many voxels as fit into one of the network's, from 0 upwards."""
    x, y, z = (max(1, int(STEP_MM // mm)) for mm in volume.spacing_mm)
    blocks, affine = volume.block_means((x, y, z))
    return blocks - blocks.min(), affine


def _middle_mm(data: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the window's middle should be: by the top of the head and its width there."""
    inside = data > _AIR_SHARE * np.percentile(data, 99.5)
    if not inside.any():  # what there was lay at an edge that the reduction cuts off
        raise InputError(
            "There is nothing in this image but background",
            "Check that the right file was exported.",
            code="nothing_found",
        )
    pieces, count = ndimage.label(inside)
    if count > 1:
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    points = apply_affine(affine, np.argwhere(inside))
    top = points[:, 2].max()
    head = points[points[:, 2] > top - _TALLEST_MM]
    middle = (head.min(0) + head.max(0)) / 2
    middle[2] = top - _BELOW_TOP_MM
    return np.asarray(middle)
