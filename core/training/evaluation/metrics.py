"""Compares one label of a mask with the expert's."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.image.volume import box_around

Figures = dict[str, float | None]
_PERCENTILE = 95


def compare(
    mask: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> Figures:
    """Compare a mask with an expert's.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (X, Y, Z)
    spacing_mm

    Returns
    -------
    dict
        ``dice``, 0 to 1; ``sensitivity``, the share of the truth in the mask, None if the truth is
        empty; ``precision``, the share of the mask in the truth, None if the mask is empty;
        ``hd95_mm`` and ``asd_mm``: see `distances`; ``volume_mm3`` and ``truth_mm3``;
        ``volume_error_percent`` of the true volume, negative if the mask is too small.
    """
    mask_voxels, truth_voxels = int(mask.sum()), int(truth.sum())
    both = int((mask & truth).sum())
    voxel_mm3 = float(np.prod(spacing_mm))
    hd95_mm, asd_mm = distances(mask, truth, spacing_mm)
    return {
        "dice": dice_of(mask, truth),
        "sensitivity": both / truth_voxels if truth_voxels else None,
        "precision": both / mask_voxels if mask_voxels else None,
        "hd95_mm": hd95_mm,
        "asd_mm": asd_mm,
        "volume_mm3": mask_voxels * voxel_mm3,
        "truth_mm3": truth_voxels * voxel_mm3,
        "volume_error_percent": 100 * (mask_voxels - truth_voxels) / truth_voxels
        if truth_voxels
        else 0.0,
    }


def dice_of(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Overlap of two masks, 0 to 1; 1 where both are empty.

    >>> dice_of(np.array([True, True, False]), np.array([False, True, True]))
    0.5
    """
    voxels = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / voxels if voxels else 1.0


def distances(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[float | None, float | None]:
    """Distances between two masks' surfaces in mm; None where either mask is empty.

    Surfaces are the voxels with a neighbour outside (6-connected), distances are between voxel
    centres, as MONAI measures.

    Returns
    -------
    hd95
        The larger of the two directions' 95th percentiles.
    asd
        The average over both surfaces.
    """
    box = box_around(a | b)
    if box is None or not a.any() or not b.any():
        return None, None
    # Outside of the image is outside of the mask.
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (a, b)]
    from_a, from_b = (
        ndimage.distance_transform_edt(~to, sampling=spacing_mm)[of]
        for of, to in (surfaces, surfaces[::-1])
    )
    hd95_mm = max(float(np.percentile(d, _PERCENTILE)) for d in (from_a, from_b))
    return hd95_mm, float(np.concatenate([from_a, from_b]).mean())
