"""Whether a scan has the contrast of a T1-weighted image: white matter brighter than grey.

The networks were trained on no other contrast. What they draw in an inverted, T2-weighted or FLAIR
image may pass for a small hippocampus. White and grey matter are looked up in the ICBM 152 template
(Fonov et al., 2009); intensities are compared by rank, so that gain, offset and gamma change
nothing.
"""

import functools
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import fft, ndimage

from core.anatomy import LEFT_MM
from core.findings import Finding
from core.image.example import template_file
from core.image.volume import box_around
from core.image.voxels import Voxels

# The finding about the scan: it holds for every mask of it.
CONTRAST_CODE = "contrast_not_t1"
CONTRAST_WORDS = (
    "white matter is not brighter than grey matter, as it is in a T1-weighted scan: the contrast "
    "is inverted, T2-weighted or FLAIR"
)
# A voxel of the template counts as a tissue above this share of the tissue map's maximum.
_TISSUE_SHARE = 0.6
# Template voxels (1 mm) between two points at which a head is sampled.
_HEAD_STEP = 4
# Points of each tissue that must lie within the image.
_LEAST_POINTS = 100
# A crop is compared, in voxels of this edge, with the part of the template that all crops of
# Task04 show: its size, and its centre relative to the hippocampus' (right, anterior, superior).
_CROP_STEP_MM = 2.0
_CROP_MM = np.array((28.0, 38.0, 22.0))
_CENTRE_OFFSET_MM = np.array((2.4, -1.3, 2.3))
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class _Template:
    """The part of the template around the left hippocampus: ranks, and masks of both tissues."""

    ranks: NDArray[np.float64]
    white: NDArray[np.bool_]
    grey: NDArray[np.bool_]


def head_contrast(
    voxels: Voxels, affine: NDArray[np.float64], frame: NDArray[np.float64] | None
) -> float | None:
    """How much brighter a head's white matter is than its grey matter.

    Parameters
    ----------
    voxels : Voxels, shape (X, Y, Z)
    affine : ndarray, shape (4, 4)
        Indices of ``voxels`` to mm, RAS+.
    frame : ndarray, shape (4, 4), or None
        From the template's mm to the head's; see `core.predictor.localiser.Location`.

    Returns
    -------
    float or None
        Median rank of white matter minus that of grey matter, -1 to 1. None where the image shows
        too little brain.
    """
    if frame is None:
        return None
    to_voxels = np.linalg.inv(affine) @ frame
    values = []
    for points_mm in _tissue_points_mm():
        at = np.rint(apply_affine(to_voxels, points_mm)).astype(np.intp)
        inside = ((at >= 0) & (at < np.array(voxels.shape))).all(axis=1)
        values.append(voxels.at(at[inside]))
    if min(len(tissue) for tissue in values) < _LEAST_POINTS:
        return None
    return _difference(*values)


def brain_seen(
    frame: NDArray[np.float64],
    affine: NDArray[np.float64],
    extent: tuple[tuple[int, int], ...],
) -> float:
    """The share of the template's brain that lies within a head's image, 0 to 1.

    Parameters
    ----------
    frame : ndarray, shape (4, 4)
        From the template's mm to the head's; see `core.predictor.localiser.Location`.
    affine : ndarray, shape (4, 4)
        Indices of the image's voxels to mm, RAS+.
    extent
        Begin and end of the image in voxels, by axis.
    """
    points_mm = np.concatenate(_tissue_points_mm())
    at = apply_affine(np.linalg.inv(affine) @ frame, points_mm)
    begin, end = np.array(extent).T
    return float(((at >= begin - 0.5) & (at <= end - 0.5)).all(axis=1).mean())


def crop_contrast(
    data: NDArray[np.floating], spacing_mm: tuple[float, float, float]
) -> float | None:
    """How much brighter the white matter about a hippocampus is than the grey matter.

    Measured where the crop fits the template best, mirrored or not, inverted or not.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
        RAS+.

    Returns
    -------
    float or None
        As `head_contrast`.
    """
    box = box_around(data > data.min(), margin=0)
    zoom = [mm / _CROP_STEP_MM for mm in spacing_mm]
    image = _ranks(ndimage.zoom(data if box is None else data[box], zoom, order=1))
    fits = []
    for mirror in (1, -1):
        part = [array[::mirror] for array in vars(_crop_template()).values()]
        ranks, white, grey = (_central_part(array, image.shape) for array in part)
        correlations = np.abs(_correlations(image, ranks))
        corner = np.unravel_index(int(correlations.argmax()), correlations.shape)
        matched = image[tuple(slice(a, a + n) for a, n in zip(corner, ranks.shape, strict=True))]
        fits.append((float(correlations.max()), matched[white], matched[grey]))
    _, white_values, grey_values = max(fits, key=lambda fit: fit[0])
    if min(white_values.size, grey_values.size) < _LEAST_POINTS:
        return None
    return _difference(white_values, grey_values)


def prepare() -> None:
    """Load the template now, so that the first scan does not wait for it."""
    _crop_template()
    _tissue_points_mm()


def is_t1(contrast: float | None, least: float) -> bool:
    """Whether the contrast is that of a T1-weighted scan, or could not be measured."""
    return contrast is None or contrast >= least


def contrast_finding() -> Finding:
    """The finding about a scan that is not T1-weighted; it holds for every mask of it."""
    words = CONTRAST_WORDS[0].upper() + CONTRAST_WORDS[1:]
    return Finding(
        "warning", CONTRAST_CODE,
        f"{words}. The model knows T1-weighted scans alone: send that series.",
    )  # fmt: skip


def crop_findings(
    data: NDArray[np.floating], spacing_mm: tuple[float, float, float], least: float
) -> list[Finding]:
    """Findings about a crop's contrast: one about the model's mask, one about the scan."""
    if is_t1(crop_contrast(data, spacing_mm), least):
        return []
    message = f"The mask is unreliable: {CONTRAST_WORDS}."
    return [Finding("warning", "unreliable", message), contrast_finding()]


def _difference(white: NDArray[np.float64], grey: NDArray[np.float64]) -> float:
    ranks = _ranks(np.concatenate([white, grey]))
    return float(np.median(ranks[: len(white)]) - np.median(ranks[len(white) :]))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The values' ranks, from 0 to 1; equal values share theirs."""
    # As `scipy.stats.rankdata`, whose import would cost each start 0.4 s and 40 MiB.
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(ranks[which].reshape(values.shape) / values.size)


def _central_part(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The central part of an array that fits into a shape."""
    cut = []
    for length, most_length in zip(array.shape, shape, strict=True):
        size = min(length, most_length)
        cut.append(slice((length - size) // 2, (length - size) // 2 + size))
    return array[tuple(cut)]


def _correlations(image: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of a part with each window of an image; both 3-D."""
    part = (part - part.mean()) / np.sqrt(max(float(part.var()), _LEAST_VARIANCE))
    means = _window_sums(image, part.shape) / part.size
    variance = _window_sums(image**2, part.shape) / part.size - means**2
    product = fft.rfftn(image) * np.conj(fft.rfftn(part, image.shape))
    sums = fft.irfftn(product, image.shape)[tuple(slice(0, n) for n in means.shape)]
    return np.asarray(sums / part.size / np.sqrt(np.maximum(variance, _LEAST_VARIANCE)))


def _window_sums(image: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The sum over each window of a shape, by running sums along each axis."""
    for axis, size in enumerate(shape):
        running = np.insert(np.cumsum(image, axis=axis), 0, 0, axis=axis)
        ahead = np.take(running, np.arange(size, running.shape[axis]), axis)
        image = ahead - np.take(running, np.arange(running.shape[axis] - size), axis)
    return image


def _template(kind: str) -> Any:
    """An image of the template, read lazily; see `core.image.example`."""
    return nib.load(template_file(kind))


@functools.cache
def _crop_template() -> _Template:
    size = np.round(_CROP_MM / _CROP_STEP_MM).astype(int)
    first_mm = LEFT_MM + _CENTRE_OFFSET_MM - (size - 1) / 2 * _CROP_STEP_MM
    to_voxels = np.linalg.inv(_template("t1").affine)
    first = np.round(apply_affine(to_voxels, first_mm)).astype(int)
    every = tuple(
        slice(start, start + n * int(_CROP_STEP_MM), int(_CROP_STEP_MM))
        for start, n in zip(first, size, strict=True)
    )
    t1, white, grey = (np.asarray(_template(kind).dataobj[every]) for kind in ("t1", "wm", "gm"))
    return _Template(_ranks(t1), _is_tissue(white), _is_tissue(grey))


@functools.cache
def _tissue_points_mm() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of white and of grey matter in the template, mm, shape (N, 3) each."""
    points_mm = []
    for kind in ("wm", "gm"):
        template = _template(kind)
        share = np.asarray(template.dataobj[::_HEAD_STEP, ::_HEAD_STEP, ::_HEAD_STEP])
        at = np.argwhere(_is_tissue(share)) * _HEAD_STEP
        points_mm.append(np.asarray(apply_affine(template.affine, at), np.float64))
    return points_mm[0], points_mm[1]


def _is_tissue(share: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(share > _TISSUE_SHARE * share.max())
