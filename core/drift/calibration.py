"""Thresholds of the drift states, such that false alarms are as rare as a setting asks.

2,000 streams are simulated. Each has a reference of its own, drawn from the stored one with
replacement, and scans drawn from the stored one: so the error of a finite reference counts. Both
are drawn by persons, not by scans: the crops of a data set come as left and right of one person, so
that two neighbours are drawn together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.drift.cusum import Thresholds, levels_of_streams
from core.drift.scores import comparisons, scores_of_counts
from core.measures.features import Feature, Values

STREAMS = 2000
# *act* is so many times as rare as *watch*.
ACT_TIMES = 10
# Thresholds are set on one half of the work, for so much more than asked for, and measured on
# streams of their own.
_MORE = 1.1
# Length of a simulated stream, in run lengths, and its most; and most scans of a reference, of
# which more make thresholds hardly lower.
_LENGTHS, _MOST_STEPS = 4, 4000
_MOST_SCANS = 300


def calibrate(
    reference: Sequence[Values],
    features: Sequence[Feature],
    run_length: int,
    neighbours: int = 1,
    streams: int = STREAMS,
) -> Thresholds:
    """The thresholds of a reference.

    Parameters
    ----------
    reference, features
        As `core.drift.scores.Scale` takes them; the features that it does have.
    run_length
        Scans until a false *watch*, on average.
    neighbours
        Scans in a row that are drawn together.
    """
    table = np.array([[v.get(f.key, np.nan) for f in features] for v in reference], np.float64)
    rng = np.random.default_rng(0)
    if len(table) > _MOST_SCANS:
        start = int(rng.integers(len(table) - _MOST_SCANS))
        table = table[start : start + _MOST_SCANS]
    least_sd = [f.least_sd for f in features]
    first, second = (
        np.maximum.accumulate(_levels(table, least_sd, run_length, neighbours, streams, rng))
        for _ in range(2)
    )
    watch = _threshold(first, _MORE * run_length)
    act = max(_threshold(first, _MORE * ACT_TIMES * run_length), watch)
    return Thresholds(
        watch, act, average_run_length(second, watch), average_run_length(second, act), streams
    )


def average_run_length(highest: NDArray[np.float32], threshold: float) -> float:
    """Scans until the threshold is reached, on average.

    Parameters
    ----------
    highest : ndarray, shape (T, M)
        The highest level so far, of M streams. One that ends before it reaches the threshold counts
        with its length: alarms are as likely at any time (maximum likelihood).
    """
    reached = highest >= threshold
    alarms = int(reached[-1].sum())
    return float((~reached).sum() + alarms) / max(alarms, 1)


def drawn(rng: np.random.Generator, scans: int, count: int, columns: int,
          neighbours: int) -> NDArray[np.int64]:  # fmt: skip
    """So many scans for each column, neighbours together, shape (count, columns)."""
    blocks = -(-count // neighbours)
    starts = rng.integers(0, scans, (blocks, 1, columns))
    rows = (starts + np.arange(neighbours)[None, :, None]) % scans
    return rows.reshape(-1, columns)[:count]


def _levels(
    table: NDArray[np.float64],
    least_sd: Sequence[float],
    run_length: int,
    neighbours: int,
    streams: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    scans = len(table)
    own = drawn(rng, scans, scans, streams, neighbours)
    times = np.zeros((scans, streams), np.float32)
    np.add.at(times, (own, np.arange(streams)), 1)
    scores = np.empty((scans, streams, table.shape[1]), np.float32)
    for number, column in enumerate(table.T):
        there = ~np.isnan(column)
        below = comparisons(column, least_sd[number]) @ times
        counts = np.rint(times[there].sum(axis=0)).astype(np.int64)
        scores[..., number] = scores_of_counts(below, counts)
        scores[~there, :, number] = np.nan
    steps = min(_LENGTHS * run_length, _MOST_STEPS)
    return levels_of_streams(scores, drawn(rng, scans, steps, streams, neighbours))


def _threshold(highest: NDArray[np.float32], run_length: float) -> float:
    """The lowest threshold whose average run length is as long."""
    low, high = 0.0, float(highest.max()) + 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if average_run_length(highest, middle) >= run_length:
            high = middle
        else:
            low = middle
    return round(high, 3)
