"""Statistics over cases: means with intervals, agreement of volumes, paired tests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.anatomy import LABELS
from core.errors import InputError
from core.wording import counted

_RESAMPLES = 5000
_FEWEST = 3  # cases for an interval


@dataclass(frozen=True)
class Mean:
    """A mean and its 95 % interval, by percentile bootstrap over the cases.

    ``low`` and ``high`` are the mean itself where there are too few cases for an interval.
    """

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Rounded, for a file."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Difference:
    """The difference of two versions on the same cases: second minus first.

    Attributes
    ----------
    change : Mean
        Mean of the differences, case by case.
    p : float
        Of Wilcoxon's signed-rank test; 1 where no case differs.
    cases, better, worse : int
        The number of cases, and in how many of them the second is better or worse.
    """

    change: Mean
    p: float
    cases: int
    better: int
    worse: int


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of values with its interval; reproducible."""
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < _FEWEST or np.ptp(array) == 0:
        return Mean(mean, mean, mean)
    from scipy import stats  # a second of a busy processor: only where it is needed

    interval = stats.bootstrap(
        (array,), np.mean, n_resamples=_RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Mean(mean, float(interval.low), float(interval.high))


def agreement(measured: Sequence[float], true: Sequence[float]) -> dict[str, float]:
    """Bland and Altman's limits of agreement (Lancet 1986).

    Returns
    -------
    dict
        ``bias``, the mean of measured minus true, and ``low`` and ``high``, between which 95 % of
        the differences are expected; in the unit of the values.
    """
    differences = np.asarray(measured, float) - np.asarray(true, float)
    spread = 1.96 * float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    bias = float(differences.mean())
    return {"bias": bias, "low": bias - spread, "high": bias + spread}


def paired(
    before: dict[str, Any], after: dict[str, Any], figure: str = "dice"
) -> dict[str, Difference]:
    """Compare two evaluations case by case, for each label.

    Parameters
    ----------
    before, after
        As `core.training.evaluation.evaluate.evaluate` returns them.
    figure
        A figure of each case; higher is better.

    Raises
    ------
    InputError
        They are not of the same cases; see `differing`.
    """
    if why := differing(before, after):
        raise InputError(
            f"These two evaluations cannot be compared: {why}",
            "Evaluate both models on the same cases of the same data set.",
            code="other_cases",
        )
    from scipy import stats

    old = {case["case"]: case for case in before["cases"]}
    both = [(old[case["case"]], case) for case in after["cases"] if case["case"] in old]
    differences = {}
    for label in LABELS:
        changes = np.array([new[label][figure] - was[label][figure] for was, new in both])
        p = float(stats.wilcoxon(changes).pvalue) if changes.any() else 1.0
        differences[label] = Difference(
            mean_of(list(changes)) if len(changes) else Mean(0, 0, 0),
            p, len(changes), int((changes > 0).sum()), int((changes < 0).sum()),
        )  # fmt: skip
    return differences


def differing(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Why two evaluations are not of the same cases, in words; empty if they are.

    The same cases have the same names and the same files. Evaluations of earlier versions do not
    name the files of each case: theirs are the same where the test set's key is.
    """
    old, new = ({case["case"]: case.get("files") for case in e["cases"]} for e in (before, after))
    first, second = len(old.keys() - new.keys()), len(new.keys() - old.keys())
    if first or second:
        only = counted(first, "case is only", "cases are only")
        return f"{only} in the first, {second:,} only in the second"
    if None in old.values() or None in new.values():
        same = before.get("test_key") == after.get("test_key")
        return "" if same else "their cases have the same names and other files"
    changed = sum(old[case] != new[case] for case in old)
    alike = counted(changed, "case has the same name", "cases have the same names")
    return f"{alike} and other files" if changed else ""


def failures(figures: dict[str, Any]) -> dict[str, int]:
    """By label, the number of cases whose mask lacks a label that the expert's has.

    Such a case has no surface to measure a distance to: it is counted as failed, and the means of
    distances and of precision leave it out. Its Dice and sensitivity are 0.
    """
    return {label: sum(is_failed(case[label]) for case in figures["cases"]) for label in LABELS}


def is_failed(figures: dict[str, Any]) -> bool:
    """Whether a label is missing from a case's mask, by the figures of `metrics.compare`."""
    return bool(figures["truth_mm3"]) and not figures["volume_mm3"]


def failure_words(failed: dict[str, int], cases: int) -> str:
    """Such as *failed: anterior 0, posterior 2 of 40 cases*."""
    counts = ", ".join(f"{label} {count}" for label, count in failed.items())
    return f"failed: {counts} of {counted(cases, 'case')}"


def difference_words(difference: Difference) -> str:
    """A paired difference of the Dice in words."""
    change = difference.change
    return (
        f"Dice {change.mean:+.4f} ({change.low:+.4f} to {change.high:+.4f}), better in "
        f"{difference.better}, worse in {difference.worse} of {counted(difference.cases, 'case')}, "
        f"Wilcoxon p = {difference.p:.2g}"
    )


def card_metrics(
    figures: dict[str, Any], settings: str, *, cross_validated: bool = False
) -> dict[str, Any]:
    """The part of an evaluation that a version's card keeps.

    Parameters
    ----------
    settings
        On which data and how it was measured, in words.
    cross_validated
        Whether the figures are not of this version but of networks trained in the same way
        without the cases.
    """
    return {
        "cross_validated": cross_validated,
        "cases": len(figures["cases"]),
        "seen_in_training": figures["seen_in_training"],
        "settings": settings,
        "failed": failures(figures),
        "dice": figures["dice"],
    }
