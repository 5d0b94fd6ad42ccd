"""nnU-Net's resampling with SciPy alone: the same numbers as its own.

After nnU-Net 2.8.1, ``preprocessing/resampling/default_resampling.py`` (Apache 2.0), and
scikit-image 0.26, ``transform.resize`` (BSD-3), which it calls.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.predictor.recipe import Resampling

_ANISOTROPY = 3.0


def new_shape(
    shape: Sequence[int], spacing: Sequence[float], target_spacing: Sequence[float]
) -> tuple[int, ...]:
    """Voxels along each axis after resampling to another spacing."""
    return tuple(
        round(old / new * n) for n, old, new in zip(shape, spacing, target_spacing, strict=True)
    )


def resample(
    data: NDArray[np.float32],
    shape: Sequence[int],
    spacing: Sequence[float],
    target_spacing: Sequence[float],
    how: Resampling,
) -> NDArray[np.float32]:
    """Values on another grid over the same field of view.

    Parameters
    ----------
    data : ndarray, shape (C, X, Y, Z)
    shape
        Of the result, without its channels. The same shape returns ``data`` itself.
    spacing, target_spacing
        Before and after, mm: scans with thick slices are resampled slice by slice.
    """
    if data.shape[1:] == tuple(shape):
        return data
    axis = _thick_axis(spacing, target_spacing, how.force_separate_z)
    result = np.empty((len(data), *shape), np.float32)
    for channel, values in enumerate(data):
        if axis is None:
            result[channel] = _resized(values, shape, how.order)
        else:
            result[channel] = _slice_by_slice(values, shape, axis, how)
    return result


def _slice_by_slice(
    values: NDArray[np.float32], shape: Sequence[int], axis: int, how: Resampling
) -> NDArray[np.float64]:
    flat = [n for i, n in enumerate(shape) if i != axis]
    slices = np.stack([_resized(s, flat, how.order) for s in np.moveaxis(values, axis, 0)])
    if len(slices) != shape[axis]:
        scale = len(slices) / shape[axis]
        positions = scale * (np.arange(shape[axis]) + 0.5) - 0.5
        if how.order_z == 0:
            nearest = np.clip(np.floor(positions + 0.5).astype(int), 0, len(slices) - 1)
            slices = slices[nearest]
        else:
            grid = np.meshgrid(positions, *(np.arange(n) for n in flat), indexing="ij")
            slices = ndimage.map_coordinates(slices, grid, order=how.order_z, mode="nearest")
    return np.moveaxis(slices, 0, axis)


def _resized(values: NDArray[np.float32], shape: Sequence[int], order: int) -> NDArray[np.float64]:
    """scikit-image's ``resize`` with ``mode="edge"`` and without smoothing."""
    exact = values.astype(np.float64)
    zoom = [new / old for new, old in zip(shape, exact.shape, strict=True)]
    result: NDArray[np.float64] = ndimage.zoom(
        exact, zoom, order=order, mode="nearest", grid_mode=True
    )
    if order > 1:  # a spline overshoots
        np.clip(result, exact.min(), exact.max(), out=result)
    return result


def _thick_axis(
    spacing: Sequence[float], target_spacing: Sequence[float], force: bool | None
) -> int | None:
    """The axis to be resampled on its own, if there is one."""
    if force is False:
        return None
    for candidate in (spacing, target_spacing):
        largest = max(candidate)
        if force or largest / min(candidate) > _ANISOTROPY:
            thick = [axis for axis, mm in enumerate(candidate) if mm == largest]
            return thick[0] if len(thick) == 1 else None
    return None
