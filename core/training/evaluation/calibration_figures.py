"""How well a calibration does on persons that it was not fitted on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.limits import CHECK_BELOW_DICE
from core.predictor.expectation import Calibration
from core.predictor.signals import PARTS, WHOLE
from core.training.evaluation.calibration import Row, fitted, fold_of, volume_errors
from core.training.evaluation.shifts import CALIBRATED

# Overlap of a mask that must be flagged, and of one that should not be.
_POOR, _GOOD = 0.7, 0.85
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows, with what a calibration expects of each.

    Attributes
    ----------
    rows : list of Row
        Those with a mask.
    dice : dict of str to ndarray, shape (N,)
        Expected, by part.
    low, high : dict of str to ndarray, shape (N,)
        Ends of the interval of the logarithm of the expert's volume over the mask's, by part.
    """

    rows: list[Row]
    dice: dict[str, NDArray[np.float64]]
    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]

    def true_dice(self, part: str = WHOLE) -> NDArray[np.float64]:
        """With the expert's labels."""
        return np.array([row.dice[part] for row in self.rows])

    def of_kind(self, kind: str) -> Flags:
        """Which rows are of a kind of change."""
        return np.array([row.kind == kind for row in self.rows])

    def is_calibrated(self) -> Flags:
        """Which rows are of a kind that calibrations are fitted on."""
        return np.array([row.kind in CALIBRATED for row in self.rows])

    def is_flagged(self) -> Flags:
        """Which rows ask for a look, by the findings or by the expected overlap."""
        is_doubted = np.array([row.confidence not in ("", "high") for row in self.rows])
        return np.asarray(is_doubted | (self.dice[WHOLE] < CHECK_BELOW_DICE))

    def is_covered(self, part: str) -> NDArray[np.float64]:
        """Whether the expert's volume lies in the interval; NaN where there is none."""
        errors = volume_errors(self.rows, part)
        inside = (errors >= self.low[part]) & (errors <= self.high[part])
        return np.where(np.isfinite(errors), inside, np.nan)


def cross_fitted(rows: Sequence[Row]) -> Judged:
    """Judge each row by a calibration that was fitted without its person.

    Rows of the kinds that are not in `CALIBRATED` are judged, and nothing is fitted on them.
    """
    rows = [row for row in rows if not row.is_empty]
    folds = fold_of(rows)
    known = np.array([row.kind in CALIBRATED for row in rows])
    judged = _blank(rows)
    for number in np.unique(folds):
        own = folds == number
        calibration = fitted([rows[n] for n in np.flatnonzero(known & ~own)])
        _judge(judged, np.flatnonzero(own), calibration)
    return judged


def judged_by(calibration: Calibration, rows: Sequence[Row]) -> Judged:
    """Judge rows by one calibration."""
    judged = _blank([row for row in rows if not row.is_empty])
    _judge(judged, np.arange(len(judged.rows)), calibration)
    return judged


def _blank(rows: list[Row]) -> Judged:
    dice, low, high = ({part: np.zeros(len(rows)) for part in PARTS} for _ in range(3))
    return Judged(rows, dice, low, high)


def _judge(judged: Judged, at: NDArray[np.int64], calibration: Calibration) -> None:
    signals = np.array([[judged.rows[n].signals[name] for name in calibration.signals] for n in at])
    values = calibration.standardised(signals)
    for part in PARTS:
        judged.dice[part][at] = calibration.expected_dice(values, part)
        low, high = calibration.volumes[part].log_interval(values)
        judged.low[part][at], judged.high[part][at] = low, high


def figures_of(judged: Judged) -> dict[str, Any]:
    """Figures for a calibration's file: all together, and by kind of change."""
    true, expected, known = judged.true_dice(), judged.dice[WHOLE], judged.is_calibrated()
    flagged = judged.is_flagged()
    kinds = dict.fromkeys(row.kind for row in judged.rows)
    return {
        "persons": len({row.person for row in judged.rows}),
        "cases": len({row.case for row in judged.rows}),
        "masks": len(judged.rows),
        "dice_error": _mean(np.abs(expected - true)[known]),
        "dice_error_others": _mean(np.abs(expected - true)[~known]),
        "rank_correlation": _rank(expected[known], true[known]),
        "rank_correlation_with_others": _rank(expected, true),
        "below_0.7": {"masks": int((true < _POOR).sum()),
                      "flagged": int((flagged & (true < _POOR)).sum())},
        "above_0.85": {"masks": int((true > _GOOD).sum()),
                       "flagged": int((flagged & (true > _GOOD)).sum()),
                       "flagged_by_expectation": int(
                           ((expected < CHECK_BELOW_DICE) & (true > _GOOD)).sum())},
        "kinds": {kind: _of_kind(judged, kind) for kind in kinds},
    }  # fmt: skip


def _of_kind(judged: Judged, kind: str) -> dict[str, Any]:
    own = judged.of_kind(kind)
    true, expected = judged.true_dice()[own], judged.dice[WHOLE][own]
    width = np.exp(judged.high[WHOLE]) - np.exp(judged.low[WHOLE])
    return {
        "calibrated": kind in CALIBRATED,
        "masks": int(own.sum()),
        "dice": _mean(true),
        "expected": _mean(expected),
        "dice_error": _mean(np.abs(expected - true)),
        "covered": {part: _mean(judged.is_covered(part)[own]) for part in PARTS},
        "width": round(float(np.median(width[own])), 3),
        "flagged": int(judged.is_flagged()[own].sum()),
    }


def summary_of(calibration_file: bytes) -> dict[str, Any]:
    """What a version's card says of its calibration; see `core.models.folder.calibrated_on`."""
    content = json.loads(calibration_file)
    figures = content["figures"]
    covered = [kind["covered"][WHOLE] for kind in figures["kinds"].values() if kind["calibrated"]]
    return {
        "by": content["measured_with"]["name"],
        **{name: figures[name] for name in ("persons", "cases", "masks", "dice_error")},
        "rank_correlation": figures["rank_correlation"],
        "interval_percent": content["interval_percent"],
        "covered_percent": [round(100 * share) for share in (min(covered), max(covered))],
    }


def lines_of(figures: dict[str, Any]) -> list[str]:
    """The figures as a table to print."""
    lines = [
        f"{'change':15s}{'masks':>6s}{'Dice':>7s}{'expected':>10s}{'error':>7s}"
        f"{'in the interval: whole':>24s}{'anterior':>10s}{'posterior':>11s}{'width':>7s}"
        f"{'flagged':>9s}"
    ]
    for kind, of_kind in figures["kinds"].items():
        covered = of_kind["covered"]
        lines.append(
            f"{kind if of_kind['calibrated'] else kind + ' *':15s}{of_kind['masks']:6d}"
            f"{of_kind['dice']:7.3f}{of_kind['expected']:10.3f}{of_kind['dice_error']:7.3f}"
            f"{100 * covered[WHOLE]:22.0f} %{100 * covered['anterior']:8.0f} %"
            f"{100 * covered['posterior']:9.0f} %{100 * of_kind['width']:5.0f} %"
            f"{of_kind['flagged']:9d}"
        )
    poor, good = figures["below_0.7"], figures["above_0.85"]
    return [
        *lines,
        "* not in the calibration. Width: of the interval of the whole volume, in the median.",
        f"{figures['masks']} masks of {figures['cases']} cases of {figures['persons']} persons, "
        "each judged by a calibration without the person.",
        f"Expected whole Dice: mean absolute error {figures['dice_error']:.4f} (changes not in the "
        f"calibration {figures['dice_error_others']:.4f}), rank correlation "
        f"{figures['rank_correlation']:.3f} (with those "
        f"{figures['rank_correlation_with_others']:.3f})",
        f"Below Dice {_POOR}: {poor['flagged']} of {poor['masks']} flagged. Above {_GOOD}: "
        f"{good['flagged']} of {good['masks']} flagged, {good['flagged_by_expectation']} of them "
        "by the expected overlap.",
    ]


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if known.size else float("nan")


def _rank(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return round(float(stats.spearmanr(a, b).statistic), 3)
