"""Both hippocampi of a whole head: located, segmented in crops along the head's axes, put together.

The network was trained on crops of 1 mm from the Medical Segmentation Decathlon (Task04), all of
which look like a left hippocampus: a right one is mirrored for it, and its mask mirrored back.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core import limits
from core.anatomy import SIDES
from core.errors import InputError
from core.image import contrast
from core.image.volume import Volume, blank_labels, box_around, cut_affine, unit_range
from core.predictor.engine import Engine, ScanRun
from core.predictor.heads import CROP, Head, Side, crop_grid, fingerprint, halves
from core.predictor.localiser import Location, locate, sample_unit
from core.predictor.merge import CropResult, SideMask, merged
from core.predictor.signals import mean_of

# Each side is segmented in two crops, the second moved by this: a good mask does not depend on it.
SECOND_CROP_OFFSET_MM = np.array((1.5, -1.5, 1.5))
_FOREGROUND = 0.5  # probability from which a voxel belongs to the first, quick mask


def segment_head(
    volume: Volume, engine: Engine, run: ScanRun, centres_mm: dict[str, Any] | None = None
) -> tuple[NDArray[np.uint8], Head]:
    """Segment both hippocampi of a head.

    Parameters
    ----------
    centres_mm
        By side, where a person says that a hippocampus is (mm, RAS+); else the localiser says so.

    Returns
    -------
    labels : ndarray of uint8, shape (X, Y, Z)
        On the volume's grid.
    head : Head

    Raises
    ------
    InputError
        There is nothing like a hippocampus in it.
    GoneError
    """
    location = locate(volume, engine, run)
    labels = blank_labels(volume.header)
    sides: dict[str, Side] = {}
    for name in SIDES:
        pointed_mm = (centres_mm or {}).get(name)
        detection = location.detections[name]
        if pointed_mm is None and detection.peak < limits.LEAST_PEAK:
            continue
        start_mm = np.array(detection.centre_mm if pointed_mm is None else pointed_mm, float)
        centres = [start_mm]
        if pointed_mm is None:
            centres = _candidate_centres(volume, engine, run, name, start_mm, location.axes)
        masks = [_side_mask(volume, engine, run, name, c, location.axes) for c in centres]
        best = max(masks, key=lambda mask: mask.agreement)
        if _is_blank(volume, best):
            if pointed_mm is None:
                continue
            best.labels[:] = 0
        part = labels[best.box]
        part[best.labels > 0] = best.labels[best.labels > 0]
        x, y, z = (float(n) for n in best.centre_mm)
        sides[name] = Side(
            (x, y, z), tuple(start_mm.tolist()), detection.peak, best.agreement, best.certainty,
            pointed_mm is not None,
        )  # fmt: skip
        if best.signals and best.labels.any():
            run.of_masks[name] = best.signals
    return labels, _head(volume, labels, location, sides)


def _head(
    volume: Volume, labels: NDArray[np.uint8], location: Location, sides: dict[str, Side]
) -> Head:
    """What is known of the head, with the fingerprint of each side's mask."""
    box = box_around(labels)
    if box is None:
        raise InputError(
            "No hippocampus was found in this image",
            "Is it a T1-weighted head with the temporal lobes in the field of view?",
            code="nothing_found",
        )
    difference = contrast.head_contrast(volume.voxels, volume.affine, location.frame)
    is_t1 = contrast.is_t1(difference, limits.LEAST_HEAD_CONTRAST)
    head = Head(
        sides, location.brain_ml, location.axes, location.off_mm, location.scale, location.frame,
        is_t1,
    )  # fmt: skip
    parts = halves(labels[box], cut_affine(volume.affine, box), head.as_dict())
    marked = {n: replace(side, model_mask=fingerprint(parts[n])) for n, side in sides.items()}
    return replace(head, sides=marked)


def _is_blank(volume: Volume, mask: SideMask) -> bool:
    """Whether a mask lies where the image shows nothing: most of its voxels have one value."""
    values = volume.unit_in(mask.box)[mask.labels > 0]
    if not values.size:
        return False
    _, counts = np.unique(values, return_counts=True)
    return bool(counts.max() > limits.BLANK_SHARE * values.size)


def _candidate_centres(
    volume: Volume, engine: Engine, run: ScanRun, side: str, start_mm: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> list[NDArray[np.float64]]:  # fmt: skip
    """Where the two crops of a side may be centred: about the mask, and where it was detected.

    The second only where the mask of a first, quick look lies far off: either may be wrong then.
    """
    grid = crop_grid(side, start_mm, axes)
    inside = 1 - _crop_probabilities(volume, engine, run, side, grid, quick=True)[0]
    mask_centre = _centre_of_largest_piece(inside > _FOREGROUND)
    if mask_centre is None:
        return [start_mm]
    # Half way: the whole way is worse where the mask is incomplete (decision 0013).
    centred_mm = (start_mm + apply_affine(grid, mask_centre)) / 2
    is_far = np.linalg.norm(centred_mm - start_mm) > limits.SECOND_LOOK_MM
    return [centred_mm, start_mm] if is_far else [centred_mm]


def _side_mask(
    volume: Volume, engine: Engine, run: ScanRun, side: str, centre_mm: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> SideMask:  # fmt: skip
    """Segment a side in two crops about one centre."""
    earlier = len(run.signals)
    first, second = (
        CropResult(grid, _crop_probabilities(volume, engine, run, side, grid, quick=False))
        for grid in (
            crop_grid(side, at_mm, axes)
            for at_mm in (centre_mm, centre_mm + axes @ SECOND_CROP_OFFSET_MM)
        )
    )
    mask = merged(volume, centre_mm, first, second)
    return replace(mask, signals=mean_of(run.signals[earlier:]))


def _crop_probabilities(
    volume: Volume, engine: Engine, run: ScanRun, side: str, grid: NDArray[np.float64],
    *, quick: bool,
) -> NDArray[np.float32]:  # fmt: skip
    """Probabilities in a side's crop, shape (classes, *CROP); a right one is mirrored in x."""
    crop = crop_as_shown(volume, side, grid)
    if crop is None:
        return np.stack([np.ones(CROP, np.float32), *np.zeros((2, *CROP), np.float32)])
    probabilities = engine.crop_probabilities(crop, run, quick=quick)
    return probabilities[:, ::-1] if side == "right" else probabilities


def crop_as_shown(
    volume: Volume, side: str, grid: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """A side's crop as the network is shown it: values from 0 to 1, a right one mirrored in x.

    Parameters
    ----------
    grid : ndarray, shape (4, 4)
        `core.predictor.heads.crop_grid`.

    Returns
    -------
    ndarray, shape CROP, or None
        None where the image shows nothing.
    """
    crop = sample_unit(volume, grid, CROP)
    if side == "right":
        crop = crop[::-1]
    return unit_range(crop) if crop.max() > crop.min() else None


def _centre_of_largest_piece(inside: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Mean index of the largest connected piece, shape (3,); None where there is none."""
    pieces, count = ndimage.label(inside)
    if not count:
        return None
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    return np.asarray(np.argwhere(pieces == largest).mean(0))
