"""Whether the scans that come in still look like those that the model was trained on.

Seventeen features of each image are compared with those of the training, one by one, by the
two-sample Kolmogorov-Smirnov test; Benjamini-Hochberg (1995) keeps the share of false findings
at 5 % among the fifteen that can raise an alarm, and apart from them among the two of the raw
values, which would loosen it for the others. What it cannot see: a left-right flip, and anything
that leaves all of them unchanged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core import limits

State = Literal["quiet", "watch", "act", "not enough yet"]
FALSE_DISCOVERY_RATE = 0.05
# Distance of the two distributions, 0 to 1, from which a finding asks for action; and how
# many smaller ones together do.
_ACT_DISTANCE = 0.6
_ACT_FEATURES = 4
_TINY = 1e-9
_BINS = 64
# A direction is told where the middle moved by more than its own error explains, two-sided 5 %.
_DIRECTION_Z = 1.96
# The spread changed where the standard deviations differ by more than this factor.
_SPREAD_FACTOR = 1.1


@dataclass(frozen=True)
class Feature:
    """One number that describes an image.

    Attributes
    ----------
    key : str
        Stable, for programs.
    name : str
        In words.
    lower, higher : str
        What the scans do where it went down or up.
    raw : bool
        Of the raw values' scale, which the model normalises away: told, but no alarm.
    """

    key: str
    name: str
    lower: str
    higher: str
    raw: bool = False


FEATURES = (
    Feature("log_mean", "mean intensity", "are darker in raw values",
            "are brighter in raw values", raw=True),
    Feature("log_sd", "intensity range", "have a smaller raw range",
            "have a larger raw range", raw=True),
    Feature("contrast", "contrast of light to dark", "have less contrast in light tissue",
            "have more contrast in light tissue"),
    Feature("midtone", "place of the middle grey", "are darker in the middle tones",
            "are lighter in the middle tones"),
    Feature("skew", "skewness", "lean to dark values", "lean to light values"),
    Feature("kurtosis", "kurtosis", "have fewer extreme values", "have more extreme values"),
    Feature("entropy", "entropy", "use fewer grey levels", "use more grey levels"),
    Feature("sharpness", "sharpness", "are blurred", "are sharper or noisier"),
    Feature("gradient", "edge strength", "have weaker edges", "have stronger edges"),
    Feature("noise", "noise", "are smoother", "are noisier"),
    Feature("bias", "shading across the image", "are more even", "are shaded from side to side"),
    Feature("step_x", "change from left to right", "are smoother from left to right",
            "are rougher from left to right"),
    Feature("step_y", "change from back to front", "are smoother from back to front",
            "are rougher from back to front"),
    Feature("step_z", "change from below to above", "are smoother from below to above",
            "are rougher from below to above"),
    Feature("size_x", "width (mm)", "are narrower", "are wider"),
    Feature("size_y", "depth (mm)", "are shorter from back to front",
            "are longer from back to front"),
    Feature("size_z", "height (mm)", "are lower", "are higher"),
)  # fmt: skip
Values = dict[str, float]


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
        """What moved, and in which direction if in one."""
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
    """What a comparison of window and reference came to.

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


def features_of(data: NDArray[np.float32], spacing_mm: Sequence[float]) -> Values:
    """The features of one image.

    Parameters
    ----------
    data : ndarray of float32, shape (X, Y, Z)
        RAS+, finite, not constant.
    spacing_mm
        Along the same axes.
    """
    values = data.astype(np.float64)
    mean, sd = float(values.mean()), float(values.std()) + _TINY
    scaled = (values - mean) / sd
    p1, p5, p10, p50, p90, p95, p99 = np.percentile(scaled, [1, 5, 10, 50, 90, 95, 99])
    counts = np.histogram(np.clip(scaled, p1, p99), _BINS)[0]
    shares = counts[counts > 0] / counts.sum()
    steps = [float(np.abs(np.diff(scaled, axis=axis)).mean()) for axis in range(3)]
    gradients = [np.diff(scaled, axis=axis) for axis in range(3)]
    corners = np.diff(np.diff(np.diff(scaled, axis=0), axis=1), axis=2)
    size = np.array(data.shape) * np.array(spacing_mm)
    return {
        "log_mean": _log(abs(mean)),
        "log_sd": _log(sd),
        "contrast": float((p90 - p50) / (p50 - p10 + _TINY)),
        "midtone": float((p50 - p5) / (p95 - p5 + _TINY)),
        "skew": float((scaled**3).mean()),
        "kurtosis": float((scaled**4).mean()),
        "entropy": float(-(shares * np.log2(shares)).sum()),
        "sharpness": _log(float((ndimage.laplace(scaled) ** 2).mean())),
        "gradient": _log(sum(float((g**2).mean()) for g in gradients)),
        # The standard deviation of the eight-corner difference is sqrt(8) that of noise.
        "noise": _log(float(np.median(np.abs(corners))) / 0.6745 / math.sqrt(8)),
        "bias": _shading(scaled),
        "step_x": _log(steps[0]),
        "step_y": _log(steps[1]),
        "step_z": _log(steps[2]),
        "size_x": float(size[0]),
        "size_y": float(size[1]),
        "size_z": float(size[2]),
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
    # It takes longer to import than the server to start.
    from scipy import stats

    before, after = _table(reference), _table(window)
    tests = [stats.ks_2samp(before[:, i], after[:, i]) for i in range(len(FEATURES))]
    p_values = np.array([test.pvalue for test in tests])
    raw = np.array([feature.raw for feature in FEATURES])
    q_values = np.empty_like(p_values)
    for some in (raw, ~raw):
        q_values[some] = stats.false_discovery_control(p_values[some], method="bh")
    middle, sd = np.median(before, axis=0), before.std(axis=0) + _TINY
    shifts = (np.median(after, axis=0) - middle) / sd
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
    found = sorted((c for c in comparisons if c.moved), key=lambda c: (-c.distance, c.q_value))
    moved = [c for c in found if not c.feature.raw]
    state: State = "quiet"
    if moved:
        strong = moved[0].distance >= _ACT_DISTANCE or len(moved) >= _ACT_FEATURES
        state = "act" if strong else "watch"
    reasons = tuple(c.in_words for c in moved) or ("no feature moved that masks depend on",)
    reasons += tuple(c.in_words for c in found if c.feature.raw)
    far = np.abs(after - middle) / sd
    order = np.argsort(-far.max(axis=1))[:5]
    unusual = tuple(
        (int(i), float(far[i].max()), FEATURES[int(far[i].argmax())].name) for i in order
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
    """For each value the share of others that lie below it; ties count half."""
    ordered = np.sort(of)
    lower, upper = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (lower + upper) / (2 * len(ordered))
    return shares


def _shading(scaled: NDArray[np.float64]) -> float:
    """Range of the plane that fits the image best, in standard deviations of the image."""
    grids = [np.linspace(-1, 1, n) for n in scaled.shape]
    slopes = [
        float((scaled.mean(axis=tuple(a for a in range(3) if a != axis)) * grid).sum())
        / float((grid**2).sum() + _TINY)
        for axis, grid in enumerate(grids)
    ]
    return 2 * math.hypot(*slopes)


def _log(value: float) -> float:
    return math.log(value + _TINY)


def _power(q: float) -> str:
    return f"{q:.3f}" if q >= 0.001 else "below 0.001"
