"""Compares one label of a mask with the expert's."""

import os
import warnings

import numpy as np
from numpy.typing import NDArray

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
    centres. By MONAI.

    Returns
    -------
    hd95
        The larger of the two directions' 95th percentiles.
    asd
        The average over both surfaces.
    """
    if not a.any() or not b.any():
        return None, None
    # Not before it is needed: importing MONAI takes ten seconds. It reads the account's name then,
    # and a container's user may have no account.
    os.environ.setdefault("LOGNAME", str(os.getuid()))
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_distance import compute_average_surface_distance

    pair = [torch.from_numpy(mask[None, None].astype(np.uint8)) for mask in (a, b)]
    spacing = list(spacing_mm)
    with warnings.catch_warnings():
        # MONAI triggers its own deprecation: github.com/Project-MONAI/MONAI/issues/9059
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(
            pair[0], pair[1], True, percentile=_PERCENTILE, spacing=spacing
        )
        asd = compute_average_surface_distance(
            pair[0], pair[1], True, symmetric=True, spacing=spacing
        )
    return float(hd95), float(asd)
