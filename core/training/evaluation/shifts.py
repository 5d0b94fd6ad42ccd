"""Labelled crops changed in ways that scans differ by: what a mask's expected overlap is fitted on.

Each kind draws its strength at random; a seed always gives the same copy. The labels follow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.anatomy import LABELS

Random = np.random.Generator
UNSHIFTED = "as it is"
# Voxels that are at least half inside belong to the labels of a resampled copy.
_HALF = 0.5
# Distance (voxels) from the hippocampus over which its surroundings fill what it lost.
_REACH = 4.0


@dataclass(frozen=True, eq=False)
class LabelledCrop:
    """A crop with an expert's labels.

    Attributes
    ----------
    data : ndarray of float32, shape (X, Y, Z)
        RAS+.
    labels : ndarray of uint8, shape (X, Y, Z)
        1 anterior, 2 posterior.
    affine : ndarray, shape (4, 4)
        Indices to mm.
    truth_mm3 : dict of str to float
        Volume of each label as the expert drew it, before any resampling.
    """

    data: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    truth_mm3: dict[str, float]

    @classmethod
    def of(
        cls, data: NDArray[np.float32], labels: NDArray[np.uint8], affine: NDArray[np.float64]
    ) -> "LabelledCrop":
        """A crop as it is."""
        return cls(data, labels, affine, volumes_mm3(labels, affine))

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel edges."""
        return np.asarray(voxel_sizes(self.affine))


Shift = Callable[[LabelledCrop, Random], LabelledCrop]


def volumes_mm3(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> dict[str, float]:
    """Volume of each label."""
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    return {name: float((labels == value).sum()) * voxel_mm3 for name, value in LABELS.items()}


def as_it_is(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """No change."""
    return crop


def blurred(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """A Gaussian blur of 0.4 to 4 mm (sigma)."""
    sigma = random.uniform(0.4, 4.0) / crop.spacing_mm
    return replace(crop, data=np.asarray(ndimage.gaussian_filter(crop.data, sigma), np.float32))


def noisy(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """Rician noise of 3 to 80 % of the range of the grey values."""
    level = random.uniform(0.03, 0.80) * _range(crop.data)
    real, imaginary = random.normal(0, level, (2, *crop.data.shape))
    return replace(crop, data=np.hypot(crop.data + real, imaginary).astype(np.float32))


def another_gamma(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """A gamma curve with an exponent of 0.2 to 5."""
    low, high = float(crop.data.min()), float(crop.data.max())
    unit = (crop.data - low) / (high - low)
    exponent = np.exp(random.uniform(-1.6, 1.6))
    return replace(crop, data=(unit**exponent * (high - low) + low).astype(np.float32))


def shaded(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """A bias field that changes brightness by a factor of up to 25 from end to end."""
    direction = random.normal(size=3)
    direction /= np.linalg.norm(direction)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in crop.data.shape), indexing="ij")
    along = sum(part * grid for part, grid in zip(direction, grids, strict=True))
    field = np.exp(random.uniform(0.2, 1.6) * np.asarray(along))
    low = float(crop.data.min())
    return replace(crop, data=((crop.data - low) * field + low).astype(np.float32))


def thick_slices(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """Slices of 2 to 4 mm along an axis, each the mean over its thickness."""
    thickness_mm = random.uniform(2.0, 4.0)
    steps_mm = crop.spacing_mm.copy()
    axis = int(random.integers(3))
    steps_mm[axis] = max(thickness_mm, steps_mm[axis])
    return coarser(crop, steps_mm)


def misplaced(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """A crop that lies 3 to 18 mm away: what it lost is cut off, what it gained is not known.

    Half of them are smaller for it, half are filled up with the values at the end.
    """
    direction = random.normal(size=3)
    direction *= random.uniform(3.0, 18.0) / np.linalg.norm(direction)
    voxels = np.rint(direction / crop.spacing_mm).astype(int)
    part = tuple(
        slice(max(0, n), size + min(0, n)) for n, size in zip(voxels, crop.data.shape, strict=True)
    )
    data, labels, affine = crop.data[part], crop.labels[part], crop.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [p.start for p in part]
    if random.random() < _HALF:
        widths = [(max(0, -n), max(0, n)) for n in voxels]
        data, labels = np.pad(data, widths, mode="edge"), np.pad(labels, widths)
        affine[:3, 3] -= affine[:3, :3] @ [before for before, _ in widths]
    # What lies outside of an image is not measured; the mask is judged by what lies inside.
    return LabelledCrop.of(data, labels, affine)


def atrophied(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """A hippocampus that lost 10 to 50 % of its volume, its surroundings drawn inwards."""
    inside = crop.labels > 0
    ys = np.flatnonzero(inside.any((0, 2)))
    if not ys.size:
        return crop
    x, _, z = np.indices(crop.data.shape)
    counts = np.maximum(inside.sum((0, 2)), 1)
    every = np.arange(inside.shape[1])
    middle = [
        ndimage.gaussian_filter1d(
            np.interp(every, ys, ((inside * grid).sum((0, 2)) / counts)[ys]), 2.0
        )
        for grid in (x, z)
    ]
    factor = np.sqrt(1 - random.uniform(0.10, 0.50))  # of each edge of a coronal section
    outside_mm = ndimage.distance_transform_edt(~inside, sampling=crop.spacing_mm)
    stretch = 1 + (1 / factor - 1) * np.exp(-((outside_mm / _REACH) ** 2))
    at = [
        middle[0][None, :, None] + (x - middle[0][None, :, None]) * stretch,
        np.broadcast_to(every[None, :, None], inside.shape),
        middle[1][None, :, None] + (z - middle[1][None, :, None]) * stretch,
    ]
    data = ndimage.map_coordinates(crop.data, at, order=1, mode="nearest")
    shares = [
        ndimage.map_coordinates((crop.labels == value).astype(np.float32), at, order=1)
        for value in LABELS.values()
    ]
    return LabelledCrop.of(np.asarray(data, np.float32), _labels(np.stack(shares)), crop.affine)


def ghosted(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """Ghosts of motion: two faint copies along an axis."""
    axis, strength = int(random.integers(3)), random.uniform(0.1, 0.8)
    distance = int(random.integers(6, 14))
    ghost = np.roll(crop.data, distance, axis) + np.roll(crop.data, -distance, axis)
    data = (1 - strength) * crop.data + strength * ghost / 2
    return replace(crop, data=data.astype(np.float32))


def turned(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """Turned by 8 to 45 degrees about its middle."""
    axis = random.normal(size=3)
    axis *= np.deg2rad(random.uniform(8, 45)) / np.linalg.norm(axis)
    return _linear(crop, Rotation.from_rotvec(axis).as_matrix())


def coarse_cubes(crop: LabelledCrop, random: Random) -> LabelledCrop:
    """Voxels of 1.4 to 3 mm along all axes."""
    return coarser(crop, np.maximum(crop.spacing_mm, random.uniform(1.4, 3.0)))


# What an expected overlap is fitted on, and what it is tested on beside it.
CALIBRATED: dict[str, Shift] = {
    UNSHIFTED: as_it_is, "blur": blurred, "noise": noisy, "gamma": another_gamma, "bias": shaded,
    "thick slices": thick_slices, "misplaced": misplaced, "atrophy": atrophied,
}  # fmt: skip
OTHERS: dict[str, Shift] = {"ghosts": ghosted, "turned": turned, "coarse cubes": coarse_cubes}


def coarser(crop: LabelledCrop, steps_mm: NDArray[np.float64]) -> LabelledCrop:
    """Longer voxels, each the mean over its extent; the true volumes stay those of the crop."""
    factors = steps_mm / crop.spacing_mm
    data = _means(crop.data, factors)
    shares = [_means((crop.labels == v).astype(np.float32), factors) for v in LABELS.values()]
    affine = crop.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((factors - 1) / 2)
    affine[:3, :3] = affine[:3, :3] * factors
    return LabelledCrop(data, _labels(np.stack(shares)), affine, crop.truth_mm3)


def _means(values: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Means over voxels that are longer by any factors; an incomplete last one is dropped."""
    for axis, factor in enumerate(factors):
        size = values.shape[axis]
        ends = np.arange(int(size / factor + 1e-6) + 1) * factor
        sums = np.insert(np.cumsum(values, axis=axis, dtype=np.float64), 0, 0, axis=axis)
        low = np.minimum(ends.astype(int), size - 1)
        shape = [1, 1, 1]
        shape[axis] = -1
        share = (ends - low).reshape(shape)
        at = np.take(sums, low, axis) * (1 - share) + np.take(sums, low + 1, axis) * share
        values = (np.diff(at, axis=axis) / factor).astype(np.float32)
    return values


def _linear(crop: LabelledCrop, matrix: NDArray[np.float64]) -> LabelledCrop:
    middle = (np.array(crop.data.shape) - 1) / 2
    offset = middle - matrix @ middle
    data = ndimage.affine_transform(crop.data, matrix, offset, order=1, mode="nearest")
    shares = [
        ndimage.affine_transform((crop.labels == v).astype(np.float32), matrix, offset, order=1)
        for v in LABELS.values()
    ]
    labels = _labels(np.stack(shares))
    return LabelledCrop.of(np.asarray(data, np.float32), labels, crop.affine)


def _labels(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels of voxels that are at least half inside."""
    inside = shares.sum(0) >= _HALF
    return np.where(inside, 1 + shares.argmax(0), 0).astype(np.uint8)


def _range(data: NDArray[np.float32]) -> float:
    low, high = np.percentile(data, [1, 99])
    return float(high - low)
