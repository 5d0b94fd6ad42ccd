"""One scan moved onto another one of the same person: a rigid move, and how sure it is.

Of a head only what lies around the hippocampi counts, sampled on a grid along the head's own axes,
so that a jaw, a neck or another field of view turns nothing; of a crop all that both crops show.
SimpleITK (Apache 2.0) looks for the move with the largest mutual information (Mattes et al., IEEE
TMI 22, 2003), which other contrasts of the two scans do not disturb.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import InputError

# What is moved is sampled so far beyond the region, for turns and shifts.
_MARGIN_MM = 16.0
_BINS, _ITERATIONS, _SEED = 32, 60, 1
# A start by the localiser is nearer than this.
_MOST_SHIFT_MM, _MOST_TURN_DEG = 15.0, 15.0


@dataclass(frozen=True, eq=False)
class Region:
    """The part of a scan that is compared, along the axes of `Sampled`.

    Attributes
    ----------
    half_mm, middle_mm : ndarray, shape (3,)
        Half of its edges, and its middle against `Sampled.middle_mm`.
    step_mm : float
        Of the grid on which it is sampled.
    share : float
        Of the grid's points that are taken, 0 to 1.
    is_whole : bool
        Whether the scan ends where the region does: points beyond either scan are then left out.
    """

    half_mm: NDArray[np.float64]
    middle_mm: NDArray[np.float64]
    step_mm: float = 2.0
    share: float = 0.3
    is_whole: bool = False


# The brain around the hippocampi, without neck and face.
OF_HEAD = Region(np.array((64.0, 64.0, 48.0)), np.array((0.0, -6.0, 14.0)))
_CROP_STEP_MM = 1.0


@dataclass(frozen=True, eq=False)
class Sampled:
    """A scan, and where its head lies.

    Attributes
    ----------
    values : ndarray of float32, shape (X, Y, Z)
    affine : ndarray, shape (4, 4)
        To mm, RAS+.
    axes : ndarray, shape (3, 3)
        The head's own right, front and up, as columns: a rotation; of a crop those of its voxels.
    middle_mm : ndarray, shape (3,)
        Half way between the hippocampi; of a crop the middle of its hippocampus.
    region : Region
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    axes: NDArray[np.float64]
    middle_mm: NDArray[np.float64]
    region: Region = OF_HEAD

    @property
    def frame(self) -> NDArray[np.float64]:
        """From mm along the head's axes, about the middle, to the scan's mm: rigid, (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.axes, self.middle_mm
        return matrix


def sampled_crop(
    values: NDArray[np.float32], affine: NDArray[np.float64], middle_mm: NDArray[np.float64]
) -> Sampled:
    """A crop, all of which is compared.

    Parameters
    ----------
    values : ndarray of float32, shape (X, Y, Z)
    affine
        To mm, RAS+.
    middle_mm
        Of its hippocampus.
    """
    u, _, v = np.linalg.svd(affine[:3, :3])
    axes = u @ v
    ends = np.array(list(product(*((0, n - 1) for n in values.shape))))
    along = (apply_affine(affine, ends) - middle_mm) @ axes
    low = np.maximum(along.min(axis=0), -OF_HEAD.half_mm)
    high = np.minimum(along.max(axis=0), OF_HEAD.half_mm)
    region = Region((high - low) / 2, (low + high) / 2, _CROP_STEP_MM, 1.0, is_whole=True)
    return Sampled(values, affine, axes, middle_mm, region)


@dataclass(frozen=True, eq=False)
class Move:
    """A rigid move from one scan's mm to another's.

    Attributes
    ----------
    matrix : ndarray, shape (4, 4)
    residual_mm : float
        How far apart this move and the one that was found the other way round put the places that
        were asked for, root mean square; it holds no error that both have.
    """

    matrix: NDArray[np.float64]
    residual_mm: float


def move_onto(fixed: Sampled, moved: Sampled, places_mm: NDArray[np.float64]) -> Move:
    """The rigid move that lays one scan of a person onto another.

    Parameters
    ----------
    fixed, moved
    places_mm : ndarray, shape (N, 3)
        In ``moved``, where the residual is taken.

    Raises
    ------
    InputError
        No move was found: the scans show too little in common.
    """
    onto = _found(fixed, moved)
    back = _found(moved, fixed)
    apart = apply_affine(back @ onto, places_mm) - places_mm
    return Move(onto, float(np.sqrt((apart**2).sum(axis=1).mean())))


def _found(fixed: Sampled, moved: Sampled) -> NDArray[np.float64]:
    """From the mm of ``moved`` to those of ``fixed``, rigid, (4, 4)."""
    # Takes a second to import, which a start need not wait for.
    sitk: Any = import_module("SimpleITK")  # it has no types
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    region = fixed.region
    method.SetMetricSamplingPercentage(region.share, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, _ITERATIONS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    # In mm along the head's axes both ways: the move that is looked for is small.
    start = sitk.Euler3DTransform()
    start.SetCenter(region.middle_mm.tolist())
    method.SetInitialTransform(start, inPlace=False)
    if region.is_whole:
        method.SetMetricMovingMask(_image(sitk, _shown(moved), region, _MARGIN_MM, np.uint8))
    try:
        transform = method.Execute(
            _image(sitk, fixed, region, 0.0), _image(sitk, moved, region, _MARGIN_MM)
        )
    except RuntimeError as error:
        raise _not_found() from error
    probes = np.vstack([np.zeros(3), np.eye(3)]) * 10
    ends = np.array([transform.TransformPoint(p.tolist()) for p in probes])
    turn = (ends[1:] - ends[0]).T / 10
    to_moved = np.eye(4)
    to_moved[:3, :3], to_moved[:3, 3] = turn, ends[0]
    cosine = np.clip((np.trace(turn) - 1) / 2, -1, 1)
    shift_mm = np.linalg.norm(apply_affine(to_moved, region.middle_mm) - region.middle_mm)
    if np.degrees(np.arccos(cosine)) > _MOST_TURN_DEG or shift_mm > _MOST_SHIFT_MM:
        raise _not_found()
    matrix = fixed.frame @ np.linalg.inv(to_moved) @ np.linalg.inv(moved.frame)
    return np.asarray(matrix, np.float64)


def _shown(scan: Sampled) -> Sampled:
    """1 wherever a scan shows anything; outside its grid `_image` has 0."""
    shown = np.pad(np.ones(scan.values.shape, np.float32), 1)
    affine = scan.affine.copy()
    affine[:3, 3] = apply_affine(affine, [-1, -1, -1])
    return replace(scan, values=shown, affine=affine)


def _image(
    sitk: Any, scan: Sampled, region: Region, margin_mm: float, kind: Any = np.float32
) -> Any:
    """A region of a scan as SimpleITK's image, in mm along the head's axes."""
    low = region.middle_mm - region.half_mm - margin_mm
    step_mm = region.step_mm
    counts = np.round(2 * (region.half_mm + margin_mm) / step_mm).astype(int) + 1
    grid = np.diag([step_mm, step_mm, step_mm, 1.0])
    grid[:3, 3] = low
    values, affine = _smoothed(scan, scan.frame @ grid, counts, step_mm)
    to_voxels = np.linalg.inv(affine) @ scan.frame @ grid
    sampled = ndimage.affine_transform(
        values, to_voxels[:3, :3], to_voxels[:3, 3], tuple(counts), order=1, mode="constant",
        cval=float(values.min()),
    )  # fmt: skip
    if kind is np.uint8:
        sampled = sampled > 0.5
    image = sitk.GetImageFromArray(np.ascontiguousarray(sampled.T.astype(kind)))
    image.SetSpacing([step_mm] * 3)
    image.SetOrigin(low.tolist())
    return image


def _smoothed(
    scan: Sampled, grid: NDArray[np.float64], counts: NDArray[np.int64], step_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The part of a scan under a grid, without detail finer than its step, and its affine."""
    values, affine = scan.values, scan.affine
    ends = np.array(list(product(*((0, n - 1) for n in counts))))
    corners = apply_affine(np.linalg.inv(affine) @ grid, ends)
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, values.shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 3, 0, values.shape)
    if (high - low < 2).any():
        raise _not_found()
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    sigmas = np.sqrt(np.maximum(0, step_mm**2 - edges**2)) / edges / 2.355
    moved = affine.copy()
    moved[:3, 3] = apply_affine(affine, low)
    return np.asarray(ndimage.gaussian_filter(values[box], sigmas), np.float32), moved


def _not_found() -> InputError:
    return InputError(
        "The two scans could not be laid onto each other",
        "They may be of two persons, or one shows too little of the brain. Look at them beside "
        "each other instead.",
        code="not_registered",
    )
