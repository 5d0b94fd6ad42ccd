"""nnU-Net's preprocessing of an image, and the way back from logits to labels.

After nnU-Net 2.8.1, ``preprocessing/preprocessors/default_preprocessor.py`` and
``inference/export_prediction.py`` (Apache 2.0); `tests/core/predictor` compares with them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.predictor.recipe import Recipe
from core.predictor.resample import new_shape, resample

_SMALLEST_DEVIATION = 1e-8


@dataclass(frozen=True, eq=False)
class Prepared:
    """A preprocessed image, and what is needed to bring logits back to its grid.

    Attributes
    ----------
    data : ndarray of float32, shape (A, B, C)
        Along the network's own axes, at its own spacing, normalised.
    shape : tuple of int
        Before the crop, along the network's own axes.
    box : tuple of slice
        The part that is not zero.
    spacing_mm : tuple of float
        Before resampling, along the network's own axes.
    """

    data: NDArray[np.float32]
    shape: tuple[int, ...]
    box: tuple[slice, ...]
    spacing_mm: tuple[float, ...]


def prepare(
    data: NDArray[np.float32], spacing_mm: tuple[float, float, float], recipe: Recipe
) -> Prepared:
    """Crop to what is not zero, normalise and resample. ``data`` is not changed.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
        RAS+, not constant, values from 0 upwards: `core.image.volume.Volume.unit`.
    spacing_mm
        Along the same axes.
    """
    # nnU-Net's own order is that of SimpleITK: z first.
    image = data.transpose(2, 1, 0).transpose(recipe.forward)
    spacing = tuple(spacing_mm[::-1][axis] for axis in recipe.forward)
    box = _box_of(image != 0)
    cropped = np.array(image[box], order="C")  # always a copy
    inside = ndimage.binary_fill_holes(cropped != 0) if recipe.masks_background else ...
    chosen = cropped[inside]
    cropped[inside] = (chosen - chosen.mean()) / max(chosen.std(), _SMALLEST_DEVIATION)
    shape = new_shape(cropped.shape, spacing, recipe.spacing_mm)
    resampled = resample(cropped[None], shape, spacing, recipe.spacing_mm, recipe.image)
    return Prepared(resampled[0], image.shape, box, spacing)


def restore(logits: NDArray[np.float32], prepared: Prepared, recipe: Recipe) -> NDArray[np.uint8]:
    """Labels on the grid that `prepare` was given.

    Parameters
    ----------
    logits : ndarray, shape (classes, A, B, C)
        On the grid of ``prepared.data``.

    Returns
    -------
    ndarray of uint8, shape (X, Y, Z)
    """
    resampled = _resampled(logits, prepared, recipe)
    labels = np.zeros(prepared.shape, np.uint8)
    labels[prepared.box] = resampled.argmax(0)
    return np.ascontiguousarray(labels.transpose(recipe.backward).transpose(2, 1, 0))


def probabilities(
    logits: NDArray[np.float32], prepared: Prepared, recipe: Recipe
) -> NDArray[np.float32]:
    """Softmax on the grid that `prepare` was given, shape (classes, X, Y, Z)."""
    resampled = _resampled(logits, prepared, recipe)
    exponentials = np.exp(resampled - resampled.max(0))
    softmax = np.zeros((len(resampled), *prepared.shape), np.float32)
    softmax[0] = 1  # background where the image is zero, outside of the crop
    softmax[:, *prepared.box] = exponentials / exponentials.sum(0)
    axes = (0, *(1 + axis for axis in recipe.backward))
    return np.ascontiguousarray(softmax.transpose(axes).transpose(0, 3, 2, 1))


def _resampled(
    logits: NDArray[np.float32], prepared: Prepared, recipe: Recipe
) -> NDArray[np.float32]:
    cropped = tuple(part.stop - part.start for part in prepared.box)
    return resample(logits, cropped, recipe.spacing_mm, prepared.spacing_mm, recipe.logits)


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box around what is true."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        indices = np.flatnonzero(mask.any(others))
        box.append(slice(int(indices[0]), int(indices[-1]) + 1))
    return tuple(box)
