"""Whether one scan is unlike anything that is known, and in what.

The known scans give each feature of the image a span, from its lowest to its highest value. A scan
is unlike them if a feature lies too far outside its span. How far is too far comes from the known
scans themselves: each person's are held out in turn, and at most `SHARE` of them may lie that far
outside the span of the others. So the rate of false alarms on scans of the same source is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.findings import Finding
from core.measures.features import Feature, Values

CODE = "unlike_known"
# Of the scans held out, so many may be told at most.
SHARE = 0.01
# Fewer span too little to say anything.
LEAST_SCANS = 30
# Nobody would see less than this beyond the span (SD).
_LEAST_SD = 0.5
_MOST_NAMED = 3
# Of one that is shown by way of example every feature is at most so far away (SD).
_SAME_SD = 1.0


@dataclass(frozen=True)
class Beyond:
    """A feature that lies beyond all that is known, and how far (SD); negative below."""

    feature: Feature
    by_sd: float

    @property
    def in_words(self) -> str:
        """What is unusual, in words."""
        how = "above the highest" if self.by_sd > 0 else "below the lowest"
        return f"{self.feature.name} ({abs(self.by_sd):.1f} SD {how})"


class Span:
    """What is known, as a span of each feature.

    Parameters
    ----------
    scans
        At least `LEAST_SCANS`.
    features
        Those of the image; one that a scan lacks is not judged.
    neighbours
        Scans in a row that are of one person.

    Attributes
    ----------
    limit_sd : float
        How far beyond the span a scan may lie.
    told, scans : int
        So many of so many scans were told, held out by person.
    """

    def __init__(
        self, scans: Sequence[Values], features: Sequence[Feature], neighbours: int = 1
    ) -> None:
        self._features = [f for f in features if sum(f.key in v for v in scans) >= LEAST_SCANS]
        table = self._table(scans)
        self._low, self._high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        least = np.array([f.least_sd for f in self._features])
        self._sd = np.maximum(np.nanstd(table, axis=0), least)
        held_out = np.empty(len(table))
        for start in range(0, len(table), neighbours):
            own = slice(start, start + neighbours)
            others = np.delete(table, own, axis=0)
            sd = np.maximum(np.nanstd(others, axis=0), least)
            span = np.nanmin(others, axis=0), np.nanmax(others, axis=0)
            held_out[own] = np.abs(_beyond(table[own], *span) / sd).max(axis=1)
        may_be_told = int(SHARE * len(table))
        self.limit_sd = max(float(np.sort(held_out)[::-1][may_be_told]), _LEAST_SD)
        self.told, self.scans = int((held_out > self.limit_sd).sum()), len(table)

    def beyond(self, values: Values) -> list[Beyond]:
        """The features that lie further beyond the span than any scan may; the furthest first."""
        away = (_beyond(self._table([values]), self._low, self._high) / self._sd)[0]
        beyond = [
            Beyond(feature, float(by))
            for feature, by in zip(self._features, away, strict=True)
            if abs(by) > self.limit_sd
        ]
        return sorted(beyond, key=lambda each: -abs(each.by_sd))

    def are_same(self, values: Values, others: Values) -> bool:
        """Whether two scans hardly differ."""
        apart = np.abs(np.diff(self._table([values, others]), axis=0))
        return bool((np.nan_to_num(apart) <= _SAME_SD * self._sd).all())

    def findings(self, values: Values, kind: str) -> tuple[Finding, ...]:
        """What is said of a scan: nothing, or what is unusual.

        Parameters
        ----------
        kind
            ``crop`` or ``head``.
        """
        beyond = self.beyond(values)
        if not beyond:
            return ()
        named = "; ".join(each.in_words for each in beyond[:_MOST_NAMED])
        more = len(beyond) - _MOST_NAMED
        return (
            Finding(
                "warning",
                CODE,
                f"This scan is unlike all {self.scans} {kind}s that are known here: {named}"
                + (f"; and {more} more" if more > 0 else "")
                + ". Look at the masks before you use the volumes.",
            ),
        )

    def _table(self, scans: Sequence[Values]) -> NDArray[np.float64]:
        keys = [feature.key for feature in self._features]
        return np.array([[v.get(key, np.nan) for key in keys] for v in scans], np.float64)


def _beyond(
    table: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far each value lies beyond a span: negative below, 0 within or where it is missing."""
    away: NDArray[np.float64] = np.maximum(table - high, 0) + np.minimum(table - low, 0)
    return np.nan_to_num(away)
