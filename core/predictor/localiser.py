"""Where the two hippocampi lie in a whole head, by a small network at 4 mm.

The network was trained on synthetic heads alone: the ICBM 152 template and its tissue maps,
deformed, with random contrasts, skulls, necks, cuts and noise, in the manner of SynthSeg (Billot et
al., Medical Image Analysis 86, 2023). See `core.training.heads.localiser`.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core.anatomy import LEFT_MM, SIDES
from core.errors import InputError
from core.image.volume import Volume
from core.predictor.engine import Engine, ScanRun

STEP_MM = 4.0
# Its input window, voxels of `STEP_MM` along R, A, S.
GRID = (48, 56, 48)
# Unit of the template coordinates that the network gives.
TEMPLATE_UNIT_MM = 100.0
# Template coordinate (mm) of the input window's centre, averaged over the training heads.
_WINDOW_CENTRE_MM = np.array((0.0, -15.0, -10.0))
# Channels of the network's output; 0 and 1 are the heats of the left and the right hippocampus.
_BRAIN, _TEMPLATE = 2, slice(3, 6)
# How far up and down the search starts again, and the `Location.off_mm` that ends it (4 to 7 in
# heads).
_HIGHER_MM = np.array((0.0, 0.0, 30.0))
_FITS_MM = 8.0
# Fitting the template to the head: rounds, and the largest distance, in medians, of a voxel that
# the next round still uses.
_ROUNDS, _NEAR_MEDIANS = 4, 2.5
_LEAST_BRAIN = 600  # voxels; fewer fit no template
_LEAST_DETERMINANT = 0.2
# First guess of the head: its centre this far below its top, its height, and the share of the
# image's brightest values below which a voxel is air.
_BELOW_TOP_MM = 90.0
_TALLEST_MM = 180.0
_AIR_SHARE = 0.1
# A hippocampus is looked for this far from where the template has it.
_SEARCH_MM = 20.0
# Its centre is the mean of the voxels this near to the highest heat that have this share of it.
_REACH_MM = 10.0
_REACH_SHARE = 0.3


@dataclass(frozen=True)
class Detection:
    """One hippocampus as the localiser detects it.

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
    """Where a head and its hippocampi lie, as one run of the localiser has it.

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


def locate(volume: Volume, engine: Engine, run: ScanRun) -> Location:
    """Run the localiser twice: on the head as it lies, then turned upright by what it saw.

    Where the second run does not fit the template, the head's centre was guessed wrong: the
    search starts again from other centres, and the run that fits best counts.
    """
    data, affine = _reduced(volume)

    def look(centre_mm: NDArray[np.float64], axes: NDArray[np.float64]) -> Location:
        grid = _window_grid(centre_mm, axes)
        image = normalised(sample(data, affine, grid, GRID))
        return read(engine.localiser_heat(image, run), grid)

    guess_mm = _guessed_centre_mm(data, affine)
    centre_mm = apply_affine(affine, (np.array(data.shape) - 1) / 2)
    starts = (guess_mm, guess_mm + _HIGHER_MM, centre_mm, guess_mm - _HIGHER_MM)
    looks = []
    for start_mm in starts:
        as_it_lies = look(start_mm, np.eye(3))
        looks.append(as_it_lies)
        if as_it_lies.frame is not None:
            upright = look(apply_affine(as_it_lies.frame, _WINDOW_CENTRE_MM), as_it_lies.axes)
            looks.append(upright)
            if upright.off_mm < _FITS_MM:
                return upright
    return min(looks, key=lambda location: location.off_mm)


def read(output: NDArray[np.float32], grid: NDArray[np.float64]) -> Location:
    """Read the network's output.

    Parameters
    ----------
    output : ndarray, shape (6, *GRID)
        Heat of the left and of the right hippocampus, logit of the brain, each voxel's template
        coordinate in units of `TEMPLATE_UNIT_MM`.
    grid : ndarray, shape (4, 4)
        From its voxels to mm, RAS+.
    """
    inside = output[_BRAIN] > 0
    at_mm = np.asarray(apply_affine(grid, np.argwhere(inside)), np.float64)
    template_mm = np.asarray(output[_TEMPLATE][:, inside].T * TEMPLATE_UNIT_MM, np.float64)
    frame, off_mm = _fitted(template_mm, at_mm)
    location = Location({}, len(at_mm) * STEP_MM**3 / 1000, frame, off_mm)
    for heat, side in zip(output, SIDES, strict=False):
        expected_mm = location.expected_mm(side)
        if expected_mm is not None:  # the heats of both sides look alike
            expected = apply_affine(np.linalg.inv(grid), expected_mm)
            distance = np.linalg.norm(np.moveaxis(np.indices(GRID), 0, -1) - expected, axis=-1)
            heat = np.where(distance * STEP_MM <= _SEARCH_MM, heat, 0)
        peak = np.array(np.unravel_index(int(heat.argmax()), heat.shape))
        points = np.argwhere(heat > _REACH_SHARE * heat.max())
        near = points[np.linalg.norm(points - peak, axis=1) * STEP_MM <= _REACH_MM]
        weights = heat[tuple(near.T)]
        centre = peak if weights.sum() <= 0 else (near * weights[:, None]).sum(0) / weights.sum()
        r, a, s = (float(n) for n in apply_affine(grid, centre))
        location.detections[side] = Detection((r, a, s), float(heat.max()))
    return location


def _fitted(
    template_mm: NDArray[np.float64], head_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, float]:
    """The affine from the template to the head, and how far (mm) the voxels are off in the median.

    Parameters
    ----------
    template_mm, head_mm : ndarray, shape (N, 3)
        Where each voxel of the brain lies in the template, and in the head.
    """
    if len(template_mm) < _LEAST_BRAIN:
        return None, np.inf
    ones = np.column_stack([head_mm, np.ones(len(head_mm))])
    kept = np.ones(len(template_mm), bool)
    for _ in range(_ROUNDS):
        to_template = np.linalg.lstsq(ones[kept], template_mm[kept], rcond=None)[0]
        off = np.linalg.norm(ones @ to_template - template_mm, axis=1)
        kept = off < _NEAR_MEDIANS * np.median(off)
    affine = np.eye(4)
    affine[:3] = to_template.T
    if np.linalg.det(affine) < _LEAST_DETERMINANT:
        return None, np.inf
    return np.asarray(np.linalg.inv(affine), np.float64), float(np.median(off))


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


def _window_grid(centre_mm: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine from the voxels of an input window along some axes to mm, RAS+."""
    grid = np.eye(4)
    grid[:3, :3] = axes * STEP_MM
    grid[:3, 3] = centre_mm - grid[:3, :3] @ ((np.array(GRID) - 1) / 2)
    return grid


def normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clipped to its 1st and 99.5th percentile, then mean 0 and standard deviation 1."""
    low, high = np.percentile(image, (1, 99.5))
    clipped = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray((clipped - clipped.mean()) / max(clipped.std(), 1e-6), np.float32)


def _reduced(volume: Volume) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The volume at nearly the network's voxel size, by means of blocks; values from 0 upwards."""
    x, y, z = (max(1, int(STEP_MM // mm)) for mm in volume.spacing_mm)
    blocks, affine = volume.block_means((x, y, z))
    return blocks - blocks.min(), affine


def _guessed_centre_mm(
    data: NDArray[np.float32], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the head's centre may be: by its top, and its width and depth below that."""
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
    centre = (head.min(0) + head.max(0)) / 2
    centre[2] = top - _BELOW_TOP_MM
    return np.asarray(centre)
