"""Numbers that describe a segmented head, to compare heads with each other.

Those of the image are of the two crops as the network saw them, averaged over the sides: a scanner
or a protocol changes both. Those of the result are notes: patients of another age, or another model
version, move them as well, and they say nothing of the scan.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from core.anatomy import LABELS, SIDES
from core.image.volume import Volume
from core.measures.features import FEATURES, Feature, Values, features_of
from core.measures.sizes import Measures
from core.predictor.engine import CROP_SPACING_MM
from core.predictor.head_segmentation import crop_as_shown
from core.predictor.heads import Head, crop_grid
from core.predictor.segmentation import Segmentation

# All crops of heads have one size.
_OF_SIZE = ("size_x", "size_y", "size_z")
_BRIGHTNESS = {
    "log_mean": ("are darker on the whole", "are brighter on the whole"),
    "log_sd": ("use less of their range", "use more of their range"),
}
_RESULT = "of the result: patients of another age or another model version move it as well"
# A difference of voxel sizes or of asymmetries below this is none (mm, %).
_LEAST_MM, _LEAST_PERCENT = 0.05, 1.0
# A head that does not fit the template at all has this misfit (mm).
_WORST_MISFIT_MM = 50.0
# Decimals of voxel sizes (mm): headers round otherwise.
_SPACING_DECIMALS = 2

CROP_FEATURES = tuple(
    replace(f, lower=_BRIGHTNESS[f.key][0], higher=_BRIGHTNESS[f.key][1])
    if f.key in _BRIGHTNESS else f
    for f in FEATURES if f.key not in _OF_SIZE
)  # fmt: skip
HEAD_FEATURES = (
    *CROP_FEATURES,
    Feature("spacing_x", "voxel width (mm)", "have narrower voxels", "have wider voxels",
            least_sd=_LEAST_MM),
    Feature("spacing_y", "voxel depth (mm)", "have voxels that are shorter from back to front",
            "have voxels that are longer from back to front", least_sd=_LEAST_MM),
    Feature("spacing_z", "voxel height (mm)", "have lower voxels", "have higher voxels",
            least_sd=_LEAST_MM),
    Feature("misfit", "misfit of the localiser (mm)", "fit the template better",
            "fit the template worse", least_sd=_LEAST_MM),
    *(
        Feature(f"{side}_{label}", f"{side} {label} volume (mm³)",
                f"have smaller {side} {label} hippocampi", f"have larger {side} {label} hippocampi",
                _RESULT, 1.0)
        for side, label in product(SIDES, LABELS)
    ),
    Feature("asymmetry", "asymmetry index (%)", "have larger right hippocampi",
            "have larger left hippocampi", _RESULT, _LEAST_PERCENT),
    Feature("agreement", "agreement of the two crops", "give masks that depend more on the crop",
            "give masks that depend less on the crop", _RESULT),
)  # fmt: skip


def is_of_head(values: Values) -> bool:
    """Whether features are those of a head."""
    return "misfit" in values


def features_of_head(segmentation: Segmentation, measures: Measures) -> Values:
    """The features of a segmented head; those that it does not have are left out.

    Raises
    ------
    ValueError
        It is a crop.
    """
    head = segmentation.head
    if head is None:
        raise ValueError("a crop, expected a head")
    values = features_of_scan(segmentation.volume, head)
    for side, parts in measures.sides.items():
        if parts["total"].voxels:
            values |= {f"{side}_{label}": parts[label].volume_mm3 for label in LABELS}
    if measures.asymmetry_percent is not None:
        values["asymmetry"] = measures.asymmetry_percent
    if head.sides:
        values["agreement"] = min(side.agreement for side in head.sides.values())
    return values


def features_of_scan(volume: Volume, head: Head) -> Values:
    """Those features of a head that are not of the result: crops, voxels, misfit."""
    shown = [
        crop_as_shown(volume, name, crop_grid(name, np.array(side.centre_mm), head.axes))
        for name, side in head.sides.items()
    ]
    of_crops = [features_of(crop, CROP_SPACING_MM) for crop in shown if crop is not None]
    spacing_mm = (round(mm, _SPACING_DECIMALS) for mm in volume.spacing_mm)
    values = mean_of_crops(of_crops) if of_crops else {}
    values |= dict(zip(("spacing_x", "spacing_y", "spacing_z"), spacing_mm, strict=True))
    off_mm = head.off_mm if math.isfinite(head.off_mm) else _WORST_MISFIT_MM
    values["misfit"] = min(off_mm, _WORST_MISFIT_MM)
    return values


def mean_of_crops(crops: Sequence[Values]) -> Values:
    """The image features of a head by those of its crops, as `features_of` returns them."""
    return {f.key: float(np.mean([crop[f.key] for crop in crops])) for f in CROP_FEATURES}
