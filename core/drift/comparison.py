"""Whether the scans that come in still look like those of a reference.

The features of each scan are compared with those of the reference, one by one, by the two-sample
Kolmogorov-Smirnov test. Benjamini-Hochberg (1995) keeps the share of false findings at 5 % among
the features that can raise an alarm, and apart from them among those that are notes, which would
loosen it for the others. It cannot detect a left-right flip of a crop, nor anything else that
leaves all features unchanged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.measures.features import FEATURES, Feature, Values

State = Literal["quiet", "watch", "act", "not enough yet", "learning the baseline"]
FALSE_DISCOVERY_RATE = 0.05
# Distance of the two distributions, 0 to 1, from which a finding asks for action; and how
# many smaller ones together do.
_ACT_DISTANCE = 0.6
_ACT_FEATURES = 4
# A direction is reported only where the shift exceeds its own error, two-sided 5 %.
_DIRECTION_Z = 1.96
# The spread changed where the standard deviations differ by more than this factor.
_SPREAD_FACTOR = 1.1


@dataclass(frozen=True)
class Comparison:
    """One feature, reference against window.

    Attributes
    ----------
    distance : float
        Largest difference of the two cumulative distributions, 0 to 1.
    q_value : float
        The smallest share of false findings at which this one would count.
    shift_sd : float
        How far the median moved, in standard deviations of the reference.
    moved : bool
        Whether it counts at `FALSE_DISCOVERY_RATE`.
    direction : int
        1 up, -1 down, 0 where only the spread or the shape moved.
    spread_ratio : float
        Standard deviation of the window over that of the reference.
    """

    feature: Feature
    distance: float
    q_value: float
    shift_sd: float
    moved: bool
    direction: int
    spread_ratio: float

    @property
    def in_words(self) -> str:
        """What moved and, where there is one, in which direction."""
        words = (
            f"{self.feature.name}: the scans {self._how()}, distance "
            f"{self.distance:.2f}, q {_power(self.q_value)})"
        )
        return f"note, {words}; {self.feature.note}" if self.feature.note else words

    @property
    def finding(self) -> str:
        """In one word: ``higher``, ``lower``, ``spread``, or ``-`` where it did not move."""
        return {1: "higher", -1: "lower", 0: "spread"}[self.direction] if self.moved else "-"

    def _how(self) -> str:
        if self.direction:
            words = self.feature.higher if self.direction > 0 else self.feature.lower
            return f"{words} ({self.shift_sd:+.1f} SD"
        if self.spread_ratio > _SPREAD_FACTOR:
            words = "differ more among themselves, in no one direction"
        elif self.spread_ratio < 1 / _SPREAD_FACTOR:
            words = "differ less among themselves, in no one direction"
        else:
            words = "are spread otherwise around the same middle"
        return f"{words} (spread {self.spread_ratio:.1f} times the reference's"


@dataclass(frozen=True)
class Drift:
    """Result of comparing a window of scans with the reference.

    Attributes
    ----------
    comparisons : tuple of Comparison
        One a feature that enough cases have; none where there are not enough cases.
    unusual : tuple of (int, float, str)
        The most unusual cases of the window: index, largest distance from the reference's
        median in its standard deviations, and the feature's name.
    """

    state: State
    reasons: tuple[str, ...]
    reference_cases: int
    window_cases: int
    comparisons: tuple[Comparison, ...]
    unusual: tuple[tuple[int, float, str], ...]

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "state": self.state,
            "reasons": list(self.reasons),
            "reference_cases": self.reference_cases,
            "window_cases": self.window_cases,
            "features": [
                {
                    "feature": c.feature.key,
                    "name": c.feature.name,
                    "distance": round(c.distance, 4),
                    "q_value": c.q_value,
                    "shift_sd": round(c.shift_sd, 3),
                    "moved": c.moved,
                    "finding": c.finding,
                    "can_raise_alarm": not c.feature.note,
                    "spread_ratio": round(c.spread_ratio, 3),
                }
                for c in self.comparisons
            ],
        }


def compare(
    reference: Sequence[Values],
    window: Sequence[Values],
    features: Sequence[Feature] = FEATURES,
) -> Drift:
    """Compare the scans of a window with those of the reference.

    Parameters
    ----------
    features
        Which to compare. A case may lack some of them; a feature is compared if
        `limits.MIN_DRIFT_CASES` cases of both have it.
    """
    counts = len(reference), len(window)
    least = limits.MIN_DRIFT_CASES
    if min(counts) < least:
        what, count = (
            ("newest scans", counts[1]) if counts[1] < least else ("training scans", counts[0])
        )
        reason = f"{count} of the {least} {what} that are needed are there"
        return Drift("not enough yet", (reason,), *counts, (), ())
    before, after = _table(reference, features), _table(window, features)
    enough = np.minimum((~np.isnan(before)).sum(0), (~np.isnan(after)).sum(0)) >= least
    before, after = before[:, enough], after[:, enough]
    compared = [feature for feature, there in zip(features, enough, strict=True) if there]
    if not compared:
        reason = "no feature is known of enough scans of both"
        return Drift("not enough yet", (reason,), *counts, (), ())
    comparisons = _comparisons(compared, before, after)
    moved = sorted((c for c in comparisons if c.moved), key=lambda c: (-c.distance, c.q_value))
    alarming = [c for c in moved if not c.feature.note]
    state: State = "quiet"
    if alarming:
        strong = alarming[0].distance >= _ACT_DISTANCE or len(alarming) >= _ACT_FEATURES
        state = "act" if strong else "watch"
    reasons = tuple(c.in_words for c in alarming) or ("no feature moved that masks depend on",)
    reasons += tuple(c.in_words for c in moved if c.feature.note)
    return Drift(state, reasons, *counts, comparisons, _unusual(compared, before, after))


def _comparisons(
    features: Sequence[Feature], before: NDArray[np.float64], after: NDArray[np.float64]
) -> tuple[Comparison, ...]:
    """Test each feature; the tables have a column for each, NaN where a case lacks it."""
    # Importing it takes longer than starting the server.
    from scipy import stats

    columns = [
        (column[~np.isnan(column)], other[~np.isnan(other)])
        for column, other in zip(before.T, after.T, strict=True)
    ]
    tests = [stats.ks_2samp(*pair) for pair in columns]
    p_values = np.array([test.pvalue for test in tests])
    is_note = np.array([bool(feature.note) for feature in features])
    q_values = np.empty_like(p_values)
    for some in (is_note, ~is_note):
        if some.any():
            q_values[some] = stats.false_discovery_control(p_values[some], method="bh")
    comparisons = []
    for feature, test, q, (old, new) in zip(features, tests, q_values, columns, strict=True):
        sd = max(float(old.std()), feature.least_sd)
        shift = float(np.median(new) - np.median(old)) / sd
        comparisons.append(Comparison(
            feature, float(test.statistic), float(q), shift, bool(q <= FALSE_DISCOVERY_RATE),
            _direction(old, new, shift), max(float(new.std()), feature.least_sd) / sd,
        ))  # fmt: skip
    return tuple(comparisons)


def _unusual(
    features: Sequence[Feature], before: NDArray[np.float64], after: NDArray[np.float64]
) -> tuple[tuple[int, float, str], ...]:
    """The five most unusual cases; see `Drift`."""
    sd = np.maximum(np.nanstd(before, axis=0), [feature.least_sd for feature in features])
    distances_sd = np.nan_to_num(np.abs(after - np.nanmedian(before, axis=0)) / sd)
    order = np.argsort(-distances_sd.max(axis=1))[:5]
    return tuple(
        (int(i), float(distances_sd[i].max()), features[int(distances_sd[i].argmax())].name)
        for i in order
    )


def _table(cases: Sequence[Values], features: Sequence[Feature]) -> NDArray[np.float64]:
    """A row for each case, a column for each feature, NaN where a case lacks it."""
    return np.array([[case.get(f.key, math.nan) for f in features] for case in cases], np.float64)


def _direction(before: NDArray[np.float64], after: NDArray[np.float64], shift: float) -> int:
    """1 if the values went up, -1 if down, 0 if neither the ranks nor the median say so.

    By the share of pairs in which the one is larger than the other, with its standard error for
    samples of unequal spread (DeLong 1988; Brunner and Munzel 2000).
    """
    above = _share_below(before, after)
    below = _share_below(after, before)
    error = math.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
    away = float(above.mean()) - 0.5
    if abs(away) <= _DIRECTION_Z * error or away * shift <= 0:
        return 0
    return 1 if away > 0 else -1


def _share_below(of: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each of ``values`` the share of ``of`` below it; ties count half."""
    ordered = np.sort(of)
    lower, upper = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (lower + upper) / (2 * len(ordered))
    return shares


def _power(q: float) -> str:
    return f"{q:.3f}" if q >= 0.001 else "below 0.001"
