"""How far each feature of a scan lies from the middle of a reference, on one scale for all.

A normal score: the share of the reference below the value, as a quantile of the normal
distribution. It asks for no distribution of the feature, and no single scan counts for more than
the most extreme one of the reference.
"""

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.measures.features import Feature, Values


class Scale:
    """The scores of a reference.

    Parameters
    ----------
    reference : sequence of Values
    features
        Of which to give scores; those that fewer than `limits.MIN_DRIFT_CASES` scans of the
        reference have are left out.
    """

    def __init__(self, reference: Sequence[Values], features: Sequence[Feature]) -> None:
        columns = {f.key: np.array([v[f.key] for v in reference if f.key in v]) for f in features}
        self.features = tuple(
            f for f in features if len(columns[f.key]) >= limits.MIN_DRIFT_CASES
        )  # fmt: skip
        self._columns = {f.key: np.sort(columns[f.key]) for f in self.features}

    def score(self, values: Values) -> dict[str, float]:
        """The score of each feature that a scan has, by key."""
        return {
            f.key: self._score(f, values[f.key]) for f in self.features if f.key in values
        }  # fmt: skip

    def away_sd(self, values: Values) -> dict[str, float]:
        """How far each feature is from the reference's median, in its standard deviations."""
        return {
            f.key: float(values[f.key] - np.median(column)) / max(float(column.std()), f.least_sd)
            for f in self.features
            if f.key in values
            for column in (self._columns[f.key],)
        }

    def _score(self, feature: Feature, value: float) -> float:
        column = self._columns[feature.key]
        # What differs by less than the least deviation is equal; equals count half.
        low = np.searchsorted(column, value - feature.least_sd, "left")
        high = np.searchsorted(column, value + feature.least_sd, "right")
        return float(_quantiles(len(column))[low + high])


def comparisons(column: NDArray[np.float64], least_sd: float) -> NDArray[np.float32]:
    """For each pair of values whether the second is below the first.

    Parameters
    ----------
    column : ndarray, shape (N,)
    least_sd
        Values that differ by less are equal.

    Returns
    -------
    ndarray, shape (N, N)
        1 below, 0.5 equal, 0 above; 0 where one of both is missing (NaN).
    """
    apart = column[:, None] - column[None, :]
    below: NDArray[np.float32] = np.select(
        [apart > least_sd, apart >= -least_sd], [np.float32(1), np.float32(0.5)], np.float32(0)
    )
    return below


def scores_of_counts(below: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores by how many of a reference lie below; equal ones count half.

    Parameters
    ----------
    below : ndarray, shape (N, M)
        Of N values in M references.
    counts : ndarray, shape (M,)
        How many values each reference has.
    """
    scores = np.empty(below.shape, np.float32)
    for count in np.unique(counts):
        those = counts == count
        scores[:, those] = _quantiles(int(count))[np.rint(2 * below[:, those]).astype(int)]
    return scores


@lru_cache(maxsize=512)
def _quantiles(count: int) -> NDArray[np.float64]:
    """Scores by twice the number of values below, 0 to ``2 * count``."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((half / 2 + 0.5) / (count + 1)) for half in range(2 * count + 1)])
