"""Whether the scans that come in still look like those that the model was trained on.

Seventeen features of each image are compared with those of the training, one by one, by the
two-sample Kolmogorov-Smirnov test; Benjamini-Hochberg (1995) keeps the share of false findings
at 5 % among the fifteen that can raise an alarm, and apart from them among the two of the raw
values, which would loosen it for the others. It cannot detect a left-right flip, nor anything else
that leaves all features unchanged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.measures.features import FEATURES, Feature, Values

State = Literal["quiet", "watch", "act", "not enough yet"]
FALSE_DISCOVERY_RATE = 0.05
# Distance of the two distributions, 0 to 1, from which a finding asks for action; and how
# many smaller ones together do.
_ACT_DISTANCE = 0.6
_ACT_FEATURES = 4
_TINY = 1e-9
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
        return (
            f"{'note, ' * self.feature.raw}{self.feature.name}: the scans {self._how()}, distance "
            f"{self.distance:.2f}, q {_power(self.q_value)})"
            + "; the model normalises raw values, masks do not depend on them"
            * self.feature.raw
        )

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
        In the order of `FEATURES`; empty where there are not enough cases.
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
                    "spread_ratio": round(c.spread_ratio, 3),
                }
                for c in self.comparisons
            ],
        }


def compare(reference: Sequence[Values], window: Sequence[Values]) -> Drift:
    """Compare the scans of a window with those of the reference."""
    counts = len(reference), len(window)
    least = limits.MIN_DRIFT_CASES
    if min(counts) < least:
        what, count = (
            ("newest scans", counts[1]) if counts[1] < least else ("training scans", counts[0])
        )
        reason = f"{count} of the {least} {what} that are needed are there"
        return Drift("not enough yet", (reason,), *counts, (), ())
    # Importing it takes longer than starting the server.
    from scipy import stats

    before, after = _table(reference), _table(window)
    tests = [stats.ks_2samp(before[:, i], after[:, i]) for i in range(len(FEATURES))]
    p_values = np.array([test.pvalue for test in tests])
    raw = np.array([feature.raw for feature in FEATURES])
    q_values = np.empty_like(p_values)
    for some in (raw, ~raw):
        q_values[some] = stats.false_discovery_control(p_values[some], method="bh")
    median, sd = np.median(before, axis=0), before.std(axis=0) + _TINY
    shifts = (np.median(after, axis=0) - median) / sd
    ratios = (after.std(axis=0) + _TINY) / sd
    comparisons = tuple(
        Comparison(
            feature,
            float(test.statistic),
            float(q),
            float(shift),
            bool(q <= FALSE_DISCOVERY_RATE),
            _direction(before[:, i], after[:, i], float(shift)),
            float(ratio),
        )
        for i, (feature, test, q, shift, ratio) in enumerate(
            zip(FEATURES, tests, q_values, shifts, ratios, strict=True)
        )
    )
    moved = sorted((c for c in comparisons if c.moved), key=lambda c: (-c.distance, c.q_value))
    alarming = [c for c in moved if not c.feature.raw]
    state: State = "quiet"
    if alarming:
        strong = alarming[0].distance >= _ACT_DISTANCE or len(alarming) >= _ACT_FEATURES
        state = "act" if strong else "watch"
    reasons = tuple(c.in_words for c in alarming) or ("no feature moved that masks depend on",)
    reasons += tuple(c.in_words for c in moved if c.feature.raw)
    distances_sd = np.abs(after - median) / sd
    order = np.argsort(-distances_sd.max(axis=1))[:5]
    unusual = tuple(
        (int(i), float(distances_sd[i].max()), FEATURES[int(distances_sd[i].argmax())].name)
        for i in order
    )
    return Drift(state, reasons, *counts, comparisons, unusual)


def _table(cases: Sequence[Values]) -> NDArray[np.float64]:
    return np.array([[case[f.key] for f in FEATURES] for case in cases], np.float64)


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
