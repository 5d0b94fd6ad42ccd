"""Change between two scans of a person, beside what the method itself varies by.

Volumes are compared by the logarithm of their ratio: the result of two scans is the same in
whichever order they are taken, but for its sign. One measurement has a standard deviation of
``spread`` (SD / mean, dimensionless); the logarithm of the ratio of two has the root of the sum of
their squares, which for two alike is the root of two times one (Bland and Altman, 1996: the
repeatability coefficient).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.anatomy import LABELS, SIDES

PARTS = ("total", *LABELS)
# Of a crop, whose side is not known.
ONE_HIPPOCAMPUS = "hippocampus"
# Two-sided 95 % of a normal distribution.
_WIDTH = 1.96
# A rate from a shorter time says more of the method than of the person.
_LEAST_YEARS = 0.25
_DAYS_A_YEAR = 365.25
# By which factor voxels may differ from those of which the repeatability was measured, and those of
# two scans of one protocol.
ALIKE, _SAME = 1.25, 1.1
WITHIN = "within what the method varies by"
SMALLER, LARGER = "smaller by more than the method varies by", "larger by more than that"
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Repeatability:
    """How the volumes of one head differ from scan to scan, as it was measured.

    Attributes
    ----------
    edge_mm : float
        The longest edge of the voxels.
    spread : dict of str to float
        By part (`PARTS`) of one hippocampus, SD / mean; without the parts not measured.
    heads, scans : int
        On how many heads, and how many scans of each.
    source : str
        The command that measured it, or where it is published.
    found_of_3_percent : float or None
        What is found in the mean where hippocampi were made 3 % smaller, in per cent: a network
        that is unsure draws what is usual, and a loss comes out too small. None: not measured.
    """

    edge_mm: float
    spread: dict[str, float]
    heads: int
    scans: int
    source: str
    found_of_3_percent: float | None = None


@dataclass(frozen=True)
class Measured:
    """One scan of a person, as far as a change needs it.

    Attributes
    ----------
    day : str
        Of the scan, ISO 8601; empty if it is not known.
    volumes_mm3 : dict of str to dict of str to float
        By side (of a crop `ONE_HIPPOCAMPUS`) and part.
    model_version, model_sha256 : str
    spacing_mm : tuple of float
    is_head : bool
    confidence : str
        As `core.cases.case.confidence_of` has it.
    is_drawn : bool
        Whether a person drew the mask.
    too_small : str
        Why its volumes come out too small (`core.measures.measure.why_scan_too_small`); empty where
        no reason is known.
    """

    day: str
    volumes_mm3: dict[str, dict[str, float]]
    model_version: str
    model_sha256: str
    spacing_mm: tuple[float, ...]
    is_head: bool
    confidence: str = ""
    is_drawn: bool = False
    too_small: str = ""


@dataclass(frozen=True)
class Change:
    """From one volume to another.

    Attributes
    ----------
    mm3, percent : float
        Of the earlier volume.
    percent_a_year : float or None
        At a constant rate; None for scans less than three months apart or without dates.
    interval_percent, interval_mm3, interval_a_year : (float, float) or None
        In which the true change lies in 95 %; None where the repeatability does not hold.
    meaning : str
        `WITHIN`, `SMALLER`, `LARGER` or `NOT_JUDGED`.
    """

    mm3: float
    percent: float
    percent_a_year: float | None
    interval_percent: tuple[float, float] | None
    interval_mm3: tuple[float, float] | None
    interval_a_year: tuple[float, float] | None
    meaning: str


def change(
    earlier_mm3: float,
    later_mm3: float,
    spreads: tuple[float, float] | None = None,
    years: float | None = None,
) -> Change | None:
    """Compare two volumes.

    Parameters
    ----------
    earlier_mm3, later_mm3
    spreads
        SD / mean of a measurement of each; None where it is not known.
    years
        Between the two; None where it is not known.

    Returns
    -------
    Change or None
        None where one of the volumes is 0: the structure was not found.

    >>> change(2000, 1940, (0.02, 0.02), 1.0).meaning
    'within what the method varies by'
    >>> change(2000, 1800, (0.02, 0.02), 2.0).meaning
    'smaller by more than the method varies by'
    """
    if earlier_mm3 <= 0 or later_mm3 <= 0:
        return None
    ratio = math.log(later_mm3 / earlier_mm3)
    is_long = years is not None and years >= _LEAST_YEARS
    rate = percent_of(ratio / years) if years is not None and is_long else None
    if spreads is None:
        return Change(
            later_mm3 - earlier_mm3, percent_of(ratio), rate, None, None, None, NOT_JUDGED
        )
    half = band(spreads)
    ends = (ratio - half, ratio + half)
    low, high = map(percent_of, ends)
    a_year = None
    if years is not None and is_long:
        a_year = (percent_of(ends[0] / years), percent_of(ends[1] / years))
    return Change(
        mm3=later_mm3 - earlier_mm3,
        percent=percent_of(ratio),
        percent_a_year=rate,
        interval_percent=(low, high),
        interval_mm3=(earlier_mm3 * low / 100, earlier_mm3 * high / 100),
        interval_a_year=a_year,
        meaning=WITHIN if abs(ratio) <= half else SMALLER if ratio < 0 else LARGER,
    )


def band(spreads: tuple[float, float]) -> float:
    """Half the width of what two measurements of one volume differ by in 95 %, as a logarithm.

    >>> round(band((0.02, 0.02)) / (1.96 * 0.02), 3)  # the root of two
    1.414
    """
    return _WIDTH * math.hypot(*spreads)


def percent_of(logarithm: float) -> float:
    """A logarithm of a ratio in per cent."""
    return 100 * math.expm1(logarithm)


def years_between(earlier: str, later: str) -> float | None:
    """Between two days, ISO 8601; None if one is not known.

    >>> years_between("2024-01-01", "2026-01-01")
    2.001...
    """
    if not (earlier and later):
        return None
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days / _DAYS_A_YEAR


def repeatability_of(
    measured: Sequence[Repeatability], spacing_mm: Sequence[float], *, is_head: bool
) -> Repeatability | None:
    """The figures for a scan with such voxels; None where nothing alike was measured.

    Parameters
    ----------
    measured
        Those of the scan's model version.
    spacing_mm
    is_head
        It was measured on heads: a crop has none.
    """
    edge_mm = max(spacing_mm)
    alike = [r for r in measured if is_head and _factor(r.edge_mm, edge_mm) <= ALIKE]
    return min(alike, key=lambda r: _factor(r.edge_mm, edge_mm), default=None)


def differences(earlier: Measured, later: Measured) -> list[str]:
    """Why the repeatability says nothing about a pair of scans, in words; empty where it does."""
    reasons = []
    if earlier.is_head != later.is_head:
        reasons.append("one scan is a whole head, the other a crop")
    if (earlier.model_sha256 or earlier.model_version) != (
        later.model_sha256 or later.model_version
    ):
        versions = f"{earlier.model_version} and {later.model_version}"
        reasons.append(f"the scans were segmented by different model versions ({versions})")
    edges = zip(sorted(earlier.spacing_mm), sorted(later.spacing_mm), strict=True)
    if any(_factor(a, b) > _SAME for a, b in edges):
        reasons.append(f"the voxels differ ({_voxels(earlier)} and {_voxels(later)} mm)")
    if earlier.is_drawn or later.is_drawn:
        which = "both masks were" if earlier.is_drawn and later.is_drawn else "one mask was"
        reasons.append(f"{which} corrected by hand")
    for name, scan in (("earlier", earlier), ("later", later)):
        if scan.confidence == "unreliable":
            reasons.append(f"the masks of the {name} scan are unreliable")
        if scan.too_small:
            reasons.append(f"volumes of the {name} scan come out too small: {scan.too_small}")
    return reasons


def cautions(earlier: Measured, later: Measured) -> list[str]:
    """What to look at before a pair's change is believed, in words."""
    words = [
        f"the masks of the {name} scan should be checked"
        for name, scan in (("earlier", earlier), ("later", later))
        if scan.confidence == "check"
    ]
    if years_between(earlier.day, later.day) is None:
        words.append(
            "the day of a scan is not known, so which one is the earlier is not known either: type "
            "both days on Cases, under Patient"
        )
    if not (earlier.is_head or later.is_head):
        words.append(
            "which side a crop shows is not known, so look whether both show the same hippocampus"
        )
    return words


def in_order(first: Measured, last: Measured) -> tuple[Measured, Measured]:
    """The earlier scan before the later one, where both days are known; else as they are."""
    years = years_between(first.day, last.day)
    return (last, first) if years is not None and years < 0 else (first, last)


def changes(
    earlier: Measured,
    later: Measured,
    spreads: tuple[Repeatability, Repeatability] | None,
) -> dict[str, dict[str, Change | None]]:
    """By side and part; only sides that both scans have.

    Parameters
    ----------
    spreads
        Of each scan; None where `differences` says why, or where nothing was measured.
    """
    years = years_between(earlier.day, later.day)
    by_side: dict[str, dict[str, Change | None]] = {}
    for side in (*SIDES, ONE_HIPPOCAMPUS):
        if side not in earlier.volumes_mm3 or side not in later.volumes_mm3:
            continue
        before, after = earlier.volumes_mm3[side], later.volumes_mm3[side]
        by_side[side] = {
            part: change(before[part], after[part], _of_part(spreads, part), years)
            for part in PARTS
        }
    return by_side


def _of_part(
    spreads: tuple[Repeatability, Repeatability] | None, part: str
) -> tuple[float, float] | None:
    if spreads is None or any(part not in of.spread for of in spreads):
        return None
    return spreads[0].spread[part], spreads[1].spread[part]


def volumes_of(measures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By side and part, of `core.measures.sizes.Measures.as_dict`."""
    sides = measures.get("sides") or {ONE_HIPPOCAMPUS: measures}
    return {
        side: {
            part: float(of[part]["volume_mm3"]) if part in of else sum(
                float(of[name]["volume_mm3"]) for name in LABELS
            )
            for part in PARTS
        }
        for side, of in sides.items()
    }  # fmt: skip


def _voxels(scan: Measured) -> str:
    return " x ".join(f"{mm:.2g}" for mm in scan.spacing_mm)


def _factor(a: float, b: float) -> float:
    return max(a, b) / min(a, b)
