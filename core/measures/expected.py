"""What is expected of masks, beside their measures: overlap with an expert's, and intervals.

Only the model's own masks have such numbers (`core.predictor.expectation`). A mask that a person
drew has none: those at hand describe the model's mask.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS, SIDES
from core.findings import Finding
from core.measures.sizes import LabelMeasures, Measures
from core.predictor.expectation import COVERAGE_PERCENT
from core.predictor.heads import fingerprint
from core.predictor.signals import PARTS, WHOLE

# `core.predictor.expectation.Expectation.as_dict`, by mask: the sides of a head, or `CROP`.
Expected = Mapping[str, dict[str, Any]]
DRAWN = "a person drew this mask"
NOT_CALIBRATED = "not calibrated: "
# The key of each part in measures.
_KEYS = {WHOLE: "total"} | {name: name for name in LABELS}


def of_sides(head: dict[str, Any], parts: Mapping[str, NDArray[np.uint8]]) -> Expected:
    """By side, what is expected of the masks of a head that are still the model's own.

    Parameters
    ----------
    head
        `core.predictor.heads.Head.as_dict`, also of an earlier version.
    parts
        `core.predictor.heads.halves` of the labels as they are now.
    """
    return {
        name: side["expected"]
        for name, side in head["sides"].items()
        if side.get("expected")
        and name in parts
        and fingerprint(parts[name]) == side.get("model_mask")
    }


def with_intervals(measures: Measures, expected: Expected) -> Measures:
    """Measures with an interval beside each volume that something is expected of.

    The interval of two hippocampi together goes from the sum of the low ends to that of the high
    ones: both may be off in the same direction.
    """
    if not expected:
        return measures
    if not measures.sides:
        ((_, of_mask),) = expected.items()
        factors = of_mask["volume_factors"]
        return replace(
            measures,
            anterior=_with_interval(measures.anterior, factors["anterior"]),
            posterior=_with_interval(measures.posterior, factors["posterior"]),
            total=_with_interval(measures.total, factors[WHOLE]),
        )
    sides = {
        name: {
            key: _with_interval(sizes[key], expected[name]["volume_factors"][part])
            if name in expected
            else sizes[key]
            for part, key in _KEYS.items()
        }
        for name, sizes in measures.sides.items()
    }
    return replace(
        measures,
        sides=sides,
        anterior=_of_both(measures.anterior, "anterior", sides),
        posterior=_of_both(measures.posterior, "posterior", sides),
        total=_of_both(measures.total, "total", sides),
    )


def _of_both(
    both: LabelMeasures, key: str, sides: Mapping[str, Mapping[str, LabelMeasures]]
) -> LabelMeasures:
    ends = [sizes[key].volume_interval_mm3 for sizes in sides.values() if sizes["total"].voxels]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return both
    interval = (sum(low for low, _ in known), sum(high for _, high in known))
    return replace(both, volume_interval_mm3=interval)


def _with_interval(sizes: LabelMeasures, factors: tuple[float, float]) -> LabelMeasures:
    if not sizes.voxels:
        return sizes
    low, high = (round(sizes.volume_mm3 * factor, 1) for factor in factors)
    return replace(sizes, volume_interval_mm3=(low, high))


def trust_record(expected: Expected, not_calibrated: str) -> dict[str, Any]:
    """What a record says of the expected overlap.

    Parameters
    ----------
    expected
        Of the masks as they are now.
    not_calibrated
        Why nothing is expected of any mask of this version; else empty.

    Returns
    -------
    dict
        ``expected_dice`` with ``whole``, ``anterior`` and ``posterior``, of a head the lower side
        of each; None where nothing is expected, with ``reason``. ``sides``: the same of each side
        of a head. ``interval_percent`` of the volumes' intervals.
    """
    dice = {name: dict(of_mask["dice"]) for name, of_mask in expected.items()}
    return {
        "expected_dice": {part: min(d[part] for d in dice.values()) for part in PARTS}
        if dice
        else None,
        "reason": _why_nothing(not_calibrated) if not dice else "",
        "sides": {name: of_side for name, of_side in dice.items() if name in SIDES},
        "interval_percent": COVERAGE_PERCENT,
    }


def why_none(reason: str) -> str:
    """The reason of `trust_record` for a reader, to follow *none,*.

    >>> why_none("not calibrated: this model version has no calibration")
    "because this model version has no calibration: nobody compared its masks with experts'"
    """
    why = reason.removeprefix(NOT_CALIBRATED)
    if why == reason:
        return reason
    return f"because {why}: nobody compared its masks with experts'"


def _why_nothing(not_calibrated: str) -> str:
    return f"{NOT_CALIBRATED}{not_calibrated}" if not_calibrated else DRAWN


def doubt(dice: float, whose: str) -> tuple[str, str] | None:
    """Which level of doubt an expected overlap asks for, and why; None where it asks for none.

    Returns
    -------
    level : str
        ``check`` or ``unreliable``.
    reason : str
    """
    if dice >= limits.CHECK_BELOW_DICE:
        return None
    level = "unreliable" if dice < limits.UNRELIABLE_BELOW_DICE else "check"
    return level, f"{whose} is expected to overlap an expert's mask by {dice:.2f} (Dice) only"


def findings_of_crop(expected: Expected) -> list[Finding]:
    """What the expected overlap asks of the mask of a crop."""
    findings = []
    for of_mask in expected.values():
        doubted = doubt(of_mask["dice"][WHOLE], "it")
        if doubted is not None:
            level, reason = doubted
            words = {"check": "Check the mask", "unreliable": "The mask is unreliable"}
            findings.append(Finding("warning", level, f"{words[level]}: {reason}."))
    return findings


def interval_words(sizes: Mapping[str, Any]) -> str:
    """Such as *2,109 mm³, 90 % interval 1,980 to 2,240 mm³*; the volume alone where none is known.

    Parameters
    ----------
    sizes
        One part of `core.measures.sizes.Measures.as_dict`, also of an earlier version.
    """
    volume = f"{sizes['volume_mm3']:,.0f} mm\N{SUPERSCRIPT THREE}"
    interval = sizes.get("volume_interval_mm3")
    if interval is None:
        return volume
    low, high = interval
    ends = f"{low:,.0f} to {high:,.0f} mm\N{SUPERSCRIPT THREE}"
    return f"{volume}, {COVERAGE_PERCENT} % interval {ends}"


def masks_in_words(report: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Of each mask that something is expected of: a sentence, and its expected overlap.

    Parameters
    ----------
    report
        A case's, also of an earlier version.
    """
    trust, measures = report.get("trust") or {}, report["measures"]
    sides, too_small = trust.get("sides") or {}, measures.get("too_small", {})
    masks = [
        (side, f"{side.capitalize()}: ", measures["sides"][side]["total"], dice)
        for side, dice in sides.items()
        if side in measures["sides"]
    ]
    if not report.get("head") and trust.get("expected_dice"):
        masks = [("total", "", measures["total"], trust["expected_dice"])]
    return [
        (
            f"{before}{interval_words(total)}{' (too small)' if whose in too_small else ''}; "
            f"expected overlap with an expert {dice[WHOLE]:.2f}",
            float(dice[WHOLE]),
        )
        for whose, before, total, dice in masks
    ]
