"""Evidence that adds up from scan to scan, and the state that follows from it by a rule.

Of each feature two cumulative sums (Page 1954) are kept, one for each direction: what the score
(`core.drift.scores`) is above or below `ALLOWANCE`, added up, never below 0. The level is the
largest sum of all features.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Severity = Literal["quiet", "watch", "act"]
Sums = dict[str, tuple[float, float]]
# In standard deviations: half of a shift that should be found soon.
ALLOWANCE = 0.5
# Sums end at so many times the threshold for *act*, so that what is over is forgotten in time.
_MOST = 1.5
# A state ends below this share of the threshold that began it.
ENDS_AT = 0.5
# Scans, the newest, in which a beginning is looked for.
_LOOK_BACK = 400
# A beginning is as good as the best if its log likelihood is less by no more than this.
_AS_GOOD = 3.0


@dataclass(frozen=True)
class Thresholds:
    """From which level on a state begins.

    Attributes
    ----------
    watch, act : float
    watch_cases, act_cases : float
        Average run length to a false alarm: scans of the reference's own kind until the state
        begins though nothing changed.
    streams : int
        How many simulated streams these were measured over.
    """

    watch: float
    act: float
    watch_cases: float
    act_cases: float
    streams: int


def added(sums: Sums, scores: Mapping[str, float], thresholds: Thresholds) -> Sums:
    """The sums after one more scan; a feature that it lacks stays as it was."""
    most = _MOST * thresholds.act
    after = dict(sums)
    for key, score in scores.items():
        up, down = after.get(key, (0.0, 0.0))
        after[key] = (
            min(max(up + score - ALLOWANCE, 0.0), most),
            min(max(down - score - ALLOWANCE, 0.0), most),
        )
    return after


def level_of(sums: Sums, keys: Collection[str] | None = None) -> float:
    """The largest sum, of some features or of all."""
    return max((max(pair) for key, pair in sums.items() if keys is None or key in keys), default=0)


def severity_after(
    before: Severity, level: float, level_of_image: float, thresholds: Thresholds
) -> Severity:
    """The state after a level: it rises at a threshold, and falls below half of that threshold.

    Parameters
    ----------
    level
        Of all features.
    level_of_image
        Of those of the image: what is told of results may move with the patients' age, and begins
        *watch* at most.

    >>> thresholds = Thresholds(8.0, 10.0, 500, 5000, 2000)
    >>> severity_after("quiet", 7.9, 7.9, thresholds), severity_after("watch", 7.9, 7.9, thresholds)
    ('quiet', 'watch')
    >>> severity_after("act", 5.1, 5.1, thresholds), severity_after("act", 4.9, 4.9, thresholds)
    ('act', 'watch')
    >>> severity_after("watch", 12.0, 1.0, thresholds)
    'watch'
    """
    if _holds(level_of_image, thresholds.act, goes_on=before == "act"):
        return "act"
    return "watch" if _holds(level, thresholds.watch, goes_on=before != "quiet") else "quiet"


def _holds(level: float, threshold: float, *, goes_on: bool) -> bool:
    return level >= (ENDS_AT * threshold if goes_on else threshold)


@dataclass(frozen=True)
class Beginning:
    """Since when a feature is off: positions in a list of scans, from 0.

    Attributes
    ----------
    best : int
        The first scan that is most likely off.
    earliest, latest : int
        Where it may have begun as well.
    """

    best: int
    earliest: int
    latest: int


def beginning_of(scores: Sequence[float]) -> Beginning:
    """Since when the mean of scores is not 0, if it is not at their end.

    By the likelihood of normal scores with an unknown mean from there on (Hinkley 1970); the
    interval holds what is nearly as likely.

    Parameters
    ----------
    scores
        At least one, the newest last.

    >>> beginning_of([0.3, -0.2, 0.1, -0.4, 2.0, 1.9, 2.3, 2.1]).best
    4
    """
    skipped = max(0, len(scores) - _LOOK_BACK)
    newest_first = np.asarray(scores[skipped:], np.float64)[::-1]
    lengths = np.arange(1, len(newest_first) + 1)
    gains = (newest_first.cumsum() ** 2 / (2 * lengths))[::-1]
    best = int(gains.argmax())
    as_good = np.flatnonzero(gains >= gains[best] - _AS_GOOD)
    return Beginning(skipped + best, skipped + int(as_good[0]), skipped + int(as_good[-1]))


def levels_of_streams(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Levels of many streams at once, as `added` and `level_of` give them one by one.

    Sums have no end here: only the first time that a threshold is reached is asked for.

    Parameters
    ----------
    scores : ndarray, shape (N, M, F)
        Of N scans in M streams, each with its own reference; NaN where a scan lacks a feature.
    rows : ndarray of int, shape (T, M)
        Which scan comes when.

    Returns
    -------
    ndarray of float32, shape (T, M)
    """
    # A feature that a scan lacks adds nothing and takes nothing away.
    steps = np.concatenate([scores, -scores], axis=2)
    steps -= np.float32(ALLOWANCE)
    np.nan_to_num(steps, copy=False)
    streams = np.arange(rows.shape[1])
    sums = np.zeros(steps.shape[1:], np.float32)
    levels = np.empty(rows.shape, np.float32)
    for number, chosen in enumerate(rows):
        sums += steps[chosen, streams]
        np.maximum(sums, 0, out=sums)
        sums.max(axis=1, out=levels[number])
    return levels
