"""Two versions' masks of one scan, compared: a crop as a whole, a head side by side."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS, SIDES
from core.image.volume import Volume, box_around, cut_affine
from core.pipeline import Analysis
from core.predictor.heads import halves

Kind = Literal["crop", "head"]


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan as the version in service segmented it.

    Attributes
    ----------
    volume : Volume
    labels : ndarray of uint8, shape (X, Y, Z)
        What was delivered, RAS+.
    version : int
        The version in service.
    seconds : float
        How long its segmentation took, without waiting for the network.
    head : dict or None
        `core.predictor.heads.Head.as_dict`; None for a crop.
    case_id : str or None
        None where the scan was not kept.
    tries : int
        How often the shadow was interrupted on it.
    """

    volume: Volume
    labels: NDArray[np.uint8]
    version: int
    seconds: float
    head: dict[str, Any] | None
    case_id: str | None
    tries: int = 0


@dataclass(frozen=True)
class Figures:
    """The masks of one hippocampus by two versions.

    Attributes
    ----------
    side : str
        Of a head, the patient's ``left`` or ``right``; empty for a crop.
    dice, dice_anterior, dice_posterior : float or None
        Between the two masks; None where neither has a voxel.
    anterior_mm3, posterior_mm3 : float
        Of the version in service.
    shadow_anterior_mm3, shadow_posterior_mm3 : float
    """

    kind: Kind
    side: str
    dice: float | None
    dice_anterior: float | None
    dice_posterior: float | None
    anterior_mm3: float
    posterior_mm3: float
    shadow_anterior_mm3: float
    shadow_posterior_mm3: float


def scan_of(analysis: Analysis, case_id: str | None) -> Scan:
    """What a shadow needs of an analysis."""
    segmentation, timings_s = analysis.segmentation, analysis.timings_s
    return Scan(
        replace(segmentation.volume),  # without the arrays that the original has read
        segmentation.labels,
        int(segmentation.model.version),
        timings_s["segment"] - timings_s.get("segment_network_wait", 0.0),
        segmentation.head.as_dict() if segmentation.head else None,
        case_id,
    )


def compared(scan: Scan, labels: NDArray[np.uint8]) -> list[Figures]:
    """Compare the shadow's labels with those that were delivered.

    A head's voxels belong to the side that the version in service has nearer, in both masks.

    Parameters
    ----------
    labels : ndarray of uint8, shape (X, Y, Z)
        The shadow's, on the same grid.
    """
    box = box_around((labels > 0) | (scan.labels > 0))
    voxel_mm3 = float(abs(np.linalg.det(scan.volume.affine[:3, :3])))
    delivered, other = (whole if box is None else whole[box] for whole in (scan.labels, labels))
    if scan.head is None:
        return [_figures("crop", "", delivered, other, voxel_mm3)]
    if box is None:
        return []
    affine = cut_affine(scan.volume.affine, box)
    own, shadow = (halves(mask, affine, scan.head) for mask in (delivered, other))
    blank = np.zeros(delivered.shape, np.uint8)
    return [
        _figures("head", side, own.get(side, blank), shadow.get(side, blank), voxel_mm3)
        for side in SIDES
        if side in own or side in shadow
    ]


def _figures(
    kind: Kind, side: str, own: NDArray[np.uint8], shadow: NDArray[np.uint8], voxel_mm3: float
) -> Figures:
    by_label = {name: (own == value, shadow == value) for name, value in LABELS.items()}
    volumes = {
        prefix + name: float(np.count_nonzero(masks[which]) * voxel_mm3)
        for which, prefix in enumerate(("", "shadow_"))
        for name, masks in by_label.items()
    }
    return Figures(
        kind, side, _dice(own > 0, shadow > 0),
        _dice(*by_label["anterior"]), _dice(*by_label["posterior"]),
        volumes["anterior"], volumes["posterior"],
        volumes["shadow_anterior"], volumes["shadow_posterior"],
    )  # fmt: skip


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float | None:
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else None
