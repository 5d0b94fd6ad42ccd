"""What is counted of masks of whole heads, by side and in summary. Needs no model."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS, SIDES
from core.training.evaluation.metrics import dice_of
from core.training.evaluation.statistics import agreement, mean_of

# Format of the figures; figures of another format are computed anew.
FORMAT = 1
KIND = "heads"
BY_LABEL, WHOLE = "anterior and posterior", "whole hippocampus"
PROTOCOLS = (BY_LABEL, WHOLE)
Outcome = Literal["found", "flagged", "missed"]
OUTCOMES: tuple[Outcome, ...] = ("found", "flagged", "missed")
BOTH = "both"
_FEWEST_FOR_R = 3

Labels = NDArray[np.uint8]


def side_rows(
    masks: Mapping[str, Labels],
    references: Mapping[str, Labels],
    affine: NDArray[np.float64],
    protocol: str,
    *,
    flagged: bool,
) -> list[dict[str, Any]]:
    """The figures of each side that the reference has.

    Parameters
    ----------
    masks, references : dict of str to ndarray, shape (X, Y, Z)
        By side, the patient's, all on one grid: 1 anterior, 2 posterior; a reference of the
        protocol `WHOLE` has 1 everywhere. A side that was not segmented is absent, or empty.
    affine : ndarray, shape (4, 4)
        Of that grid, to mm.
    flagged
        Whether the user is told not to rely on the masks, or got none and was told why.

    Returns
    -------
    list of dict
        ``side``; ``outcome``: *flagged*; *missed*, if nothing is said and there is no mask, or one
        with a Dice below `limits.HEAD_MISSED_DICE`; else *found*. ``side_error``: the mask's centre
        lies nearer to the other side's reference. ``centre_error_mm``, None without a mask;
        ``dice``, 0 without a mask; ``dice_anterior`` and ``dice_posterior``, None where the
        reference has no labels; ``volume_mm3`` and ``truth_mm3``.
    """
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    centres = {
        side: apply_affine(affine, np.argwhere(truth).mean(0))
        for side, truth in references.items()
        if truth.any()
    }
    rows = []
    for side, centre_mm in centres.items():
        truth = references[side]
        mask = masks.get(side)
        if mask is None:
            mask = np.zeros_like(truth)
        dice = dice_of(mask > 0, truth > 0)
        parts = {
            f"dice_{name}": dice_of(mask == value, truth == value) if protocol == BY_LABEL else None
            for name, value in LABELS.items()
        }
        error_mm, is_other = None, False
        if mask.any():
            found_mm = apply_affine(affine, np.argwhere(mask).mean(0))
            error_mm = float(np.linalg.norm(found_mm - centre_mm))
            is_other = any(
                float(np.linalg.norm(found_mm - other_mm)) < error_mm
                for other, other_mm in centres.items()
                if other != side
            )
        rows.append(
            {
                "side": side,
                "outcome": _outcome(dice, bool(mask.any()), flagged),
                "side_error": is_other,
                "centre_error_mm": error_mm,
                "dice": dice,
                **parts,
                "volume_mm3": float((mask > 0).sum()) * voxel_mm3,
                "truth_mm3": float((truth > 0).sum()) * voxel_mm3,
            }
        )
    return rows


def _outcome(dice: float, has_mask: bool, flagged: bool) -> Outcome:
    if flagged:
        return "flagged"
    return "found" if has_mask and dice >= limits.HEAD_MISSED_DICE else "missed"


def head_figures(
    source: str, protocol: str, sides: Sequence[dict[str, Any]], heads: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """All figures of a version on some heads, as the registry keeps them.

    Parameters
    ----------
    source
        ``synthetic``, ``reviewed`` or the name of a folder.
    sides
        The rows of `side_rows`, each with ``head``, ``files`` (a hash of the head and of the
        side's reference) and ``seen`` (whether its patient was trained on).
    heads
        For each head its name as ``head`` and the ``seconds`` that it took.
    """
    return {
        "format": FORMAT,
        "kind": KIND,
        "source": source,
        "test_key": key_of([row["files"] for row in sides]),
        "protocol": protocol,
        "sides": list(sides),
        "heads": list(heads),
        "summary": {
            **{side: summary([row for row in sides if row["side"] == side]) for side in SIDES},
            BOTH: summary(sides),
        },
    }


def key_of(files: Sequence[str]) -> str:
    """Identifies heads and references by content: figures with equal keys can be compared."""
    return f"{KIND}-{hashlib.sha256(''.join(sorted(files)).encode()).hexdigest()[:16]}"


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summary figures of some sides.

    Returns
    -------
    dict
        ``sides``, ``found``, ``flagged``, ``missed`` and ``side_errors``: how many. ``dice``,
        ``dice_anterior`` and ``dice_posterior``, of all sides, 0 where there is no mask: mean, its
        interval, median and worst; None without a side, or without labels. Of the sides that have a
        mask, ``measured`` in number: ``centre_error_mm``, the median; ``volume_bias_percent`` of
        the true volume, the mean; ``volume_agreement_mm3`` by Bland and Altman; and ``r``,
        Pearson's, of the volumes. None where there are too few.
    """

    outcomes = Counter(row["outcome"] for row in rows)
    measured = [row for row in rows if row["volume_mm3"] > 0]
    volumes = [row["volume_mm3"] for row in measured]
    truths = [row["truth_mm3"] for row in measured]
    errors = [row["centre_error_mm"] for row in measured]
    bias = [100 * (mm3 - true) / true for mm3, true in zip(volumes, truths, strict=True)]
    return {
        "sides": len(rows),
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
        "side_errors": sum(row["side_error"] for row in rows),
        **{
            figure: _spread([row[figure] for row in rows if row[figure] is not None])
            for figure in ("dice", *(f"dice_{name}" for name in LABELS))
        },
        "measured": len(measured),
        "centre_error_mm": round(float(np.median(errors)), 2) if errors else None,
        "volume_bias_percent": round(float(np.mean(bias)), 2) if bias else None,
        "volume_agreement_mm3": agreement(volumes, truths) if measured else None,
        "r": _correlation(volumes, truths),
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        **mean_of(values).as_dict(),
        "median": round(float(np.median(values)), 4),
        "worst": round(float(min(values)), 4),
    }


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) < _FEWEST_FOR_R or not np.ptp(a) or not np.ptp(b):
        return None
    return round(float(np.corrcoef(a, b)[0, 1]), 4)
