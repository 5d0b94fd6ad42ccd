"""One side's mask on the scan's grid, from what the network makes of two crops of 1 mm.

A mask of 2 mm that has every voxel whose centre lies inside varies by a percent or two with how the
voxels happen to lie. So the mask gets as many voxels as its volume on the crops' own grid asks for,
those that the network is surest of; the anterior part likewise (decision 52).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core.anatomy import LABELS
from core.image.volume import Volume, box_around
from core.image.voxels import Box
from core.predictor.heads import CROP_STEP_MM
from core.predictor.signals import Signals

# Margins are read up to this: beyond it the network is sure, and a spline would overshoot.
_LARGEST_MARGIN = 6.0
# A crop's voxels with less of a margin are not looked at on the scan's grid.
_LEAST_MARGIN = -3.0
_SPLINE, _LINEAR = 3, 1
_26_NEIGHBOURS = np.ones((3, 3, 3))


@dataclass(frozen=True, eq=False)
class CropResult:
    """One crop and what the network makes of it.

    Attributes
    ----------
    grid : ndarray, shape (4, 4)
        From the crop's voxels to mm, RAS+.
    probabilities : ndarray, shape (classes, *CROP)
    """

    grid: NDArray[np.float64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SideMask:
    """One side's labels, from two crops about one centre.

    Attributes
    ----------
    box
        A part of the volume's grid with all of the mask in it.
    labels : ndarray of uint8
        In that box.
    certainty, agreement : float
        See `core.predictor.heads.Side`.
    signals : dict of str to float
        `core.predictor.signals`, their mean over both crops.
    """

    centre_mm: NDArray[np.float64]
    box: Box
    labels: NDArray[np.uint8]
    certainty: float
    agreement: float
    signals: Signals = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Reading:
    """A crop's probabilities as logs of ratios, shape CROP, at most `_LARGEST_MARGIN`.

    ``margin`` is the foreground's over the background's, ``first`` the anterior label's over the
    posterior one's.
    """

    grid: NDArray[np.float64]
    margin: NDArray[np.float32]
    first: NDArray[np.float32]


def merged(
    volume: Volume, centre_mm: NDArray[np.float64], first: CropResult, second: CropResult
) -> SideMask:
    """The mask of a side: both crops averaged on the volume's grid, the largest piece.

    What is resampled are logs of ratios, those of the whole by cubic splines: linear interpolation
    of probabilities cuts a percent off a mask.
    """
    readings = [_read(crop) for crop in (first, second)]
    box = _box_of(volume, readings)
    x, y, z = box
    labels = np.zeros((x.stop - x.start, y.stop - y.start, z.stop - z.start), np.uint8)
    if not labels.size:
        return SideMask(centre_mm, box, labels, 0.0, 0.0)
    margins = [
        _on_volume_grid(volume, r.grid, r.margin, box, _SPLINE, -_LARGEST_MARGIN) for r in readings
    ]
    masks = [margin > 0 for margin in margins]
    total = masks[0].sum() + masks[1].sum()
    agreement = float(2 * (masks[0] & masks[1]).sum() / total) if total else 0.0
    mean = (margins[0] + margins[1]) / 2
    inside = _largest_piece(mean > 0)
    if not inside.any():
        return SideMask(centre_mm, box, labels, 0.0, agreement)
    whole, anterior = np.mean([_voxels_of(volume, reading) for reading in readings], axis=0)
    # Voxels next to the mask may come to it, no others.
    near = ndimage.binary_dilation(inside, _26_NEIGHBOURS)
    inside = _highest(mean, near, round(whole))
    towards_first = sum(
        (_on_volume_grid(volume, r.grid, r.first, box, _LINEAR, 0.0) for r in readings),
        np.zeros(labels.shape, np.float32),
    )
    labels[inside] = LABELS["posterior"]
    labels[_highest(towards_first, inside, round(anterior))] = LABELS["anterior"]
    certainty = float((1 / (1 + np.exp(-mean[inside]))).mean()) if inside.any() else 0.0
    return SideMask(centre_mm, box, labels, certainty, agreement)


def _read(crop: CropResult) -> _Reading:
    background, anterior, posterior = crop.probabilities
    return _Reading(crop.grid, _log_ratio(1 - background, background),
                    _log_ratio(anterior, posterior))  # fmt: skip


def _log_ratio(over: NDArray[np.float32], under: NDArray[np.float32]) -> NDArray[np.float32]:
    least = np.float32(np.exp(-2 * _LARGEST_MARGIN))
    ratio = np.log(np.maximum(over, least) / np.maximum(under, least))
    return np.asarray(ratio.clip(-_LARGEST_MARGIN, _LARGEST_MARGIN), np.float32)


def _voxels_of(volume: Volume, reading: _Reading) -> tuple[float, float]:
    """How many of the volume's voxels a crop's mask is worth, and its anterior part.

    Counted on the crop's own grid, in the largest piece, where the volume reaches.
    """
    places = np.argwhere(_largest_piece(reading.margin > 0))
    indices = apply_affine(np.linalg.inv(volume.affine) @ reading.grid, places)
    within = ((indices > -0.5) & (indices < np.array(volume.shape) - 0.5)).all(axis=1)
    places = places[within]
    share = CROP_STEP_MM**3 / abs(float(np.linalg.det(volume.affine[:3, :3])))
    return len(places) * share, int((reading.first[tuple(places.T)] > 0).sum()) * share


def _largest_piece(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(inside, _26_NEIGHBOURS)
    if count <= 1:
        return inside
    return np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def _highest(
    values: NDArray[np.floating], among: NDArray[np.bool_], count: int
) -> NDArray[np.bool_]:
    """The voxels with the highest values, so many of those given."""
    candidates = np.flatnonzero(among)
    order = np.argsort(-values.ravel()[candidates], kind="stable")
    chosen = np.zeros(values.size, bool)
    chosen[candidates[order[:count]]] = True
    return chosen.reshape(values.shape)


def _box_of(volume: Volume, readings: Sequence[_Reading]) -> Box:
    """The part of the volume's grid that the crops' masks may lie in; it may be empty."""
    from_mm = np.linalg.inv(volume.affine)
    corners = [np.empty((0, 3))]
    for reading in readings:
        near = box_around(reading.margin > _LEAST_MARGIN)
        if near is not None:
            ends = np.array(list(product(*((part.start, part.stop - 1) for part in near))))
            corners.append(apply_affine(from_mm @ reading.grid, ends))
    points = np.concatenate(corners)
    if not len(points):
        return slice(0, 0), slice(0, 0), slice(0, 0)
    begin = np.clip(np.floor(points.min(0)).astype(int), 0, volume.shape)
    end = np.clip(np.ceil(points.max(0)).astype(int) + 1, 0, volume.shape)
    x, y, z = (slice(int(a), int(max(a, b))) for a, b in zip(begin, end, strict=True))
    return x, y, z


def _on_volume_grid(
    volume: Volume, grid: NDArray[np.float64], values: NDArray[np.float32], box: Box, order: int,
    outside: float,
) -> NDArray[np.float32]:  # fmt: skip
    """Values of a crop's voxels on a box of the volume's grid."""
    to_crop = np.linalg.inv(grid) @ volume.affine
    start = [part.start for part in box]
    resampled: NDArray[np.float32] = ndimage.affine_transform(
        values, to_crop[:3, :3], to_crop[:3, :3] @ start + to_crop[:3, 3],
        tuple(part.stop - part.start for part in box), order=order, mode="constant", cval=outside,
    )  # fmt: skip
    return resampled
