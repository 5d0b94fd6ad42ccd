"""The cases that wait for a review: which to show, which comes next, how many are done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.cases.case import REVIEW_STATES, CaseRow

ANY = "all"
WITH_WARNINGS = "with warnings"
UNRELIABLE = "unreliable"
KINDS = (ANY, *REVIEW_STATES, WITH_WARNINGS, UNRELIABLE)
ORDERS: dict[str, Callable[[CaseRow], float]] = {
    "newest first": lambda row: 0.0,
    "most warnings first": lambda row: -row.warning_count,
    "smallest first": lambda row: row.total_mm3,
    "largest first": lambda row: -row.total_mm3,
}


@dataclass(frozen=True)
class Filter:
    """Which cases of a worklist are shown.

    Attributes
    ----------
    kind : str
        `ANY`, `WITH_WARNINGS`, a review's state, or `UNRELIABLE`: cases with that confidence.
    first_day, last_day : str
        ISO 8601 dates, inclusive, of the segmentation in UTC; empty for no bound.
    least_mm3, most_mm3 : float or None
        Of the volume of both labels, inclusive.
    only : tuple of str
        Ids of the cases that are shown; empty for all.
    """

    kind: str = ANY
    first_day: str = ""
    last_day: str = ""
    least_mm3: float | None = None
    most_mm3: float | None = None
    only: tuple[str, ...] = ()

    def admits(self, row: CaseRow) -> bool:
        """Whether it shows a case."""
        day, volume_mm3 = row.created_at[:10], row.total_mm3
        of_kind = {
            ANY: True,
            WITH_WARNINGS: row.warning_count > 0,
            UNRELIABLE: row.confidence == "unreliable",
        }
        return (
            of_kind.get(self.kind, row.review == self.kind)
            and (not self.only or row.id in self.only)
            and (not self.first_day or self.first_day <= day)
            and (not self.last_day or day <= self.last_day)
            and (self.least_mm3 is None or self.least_mm3 <= volume_mm3)
            and (self.most_mm3 is None or volume_mm3 <= self.most_mm3)
        )


def ids_in(text: str) -> tuple[str, ...]:
    """The case ids in the address of a worklist.

    >>> ids_in("HV-XYZ567,HV-ABC234")
    ('HV-ABC234', 'HV-XYZ567')
    """
    return tuple(sorted({part for part in text.split(",") if part}))


def reviewed(rows: Sequence[CaseRow]) -> int:
    """How many cases a person has judged."""
    return sum(row.review != "new" for row in rows)


def next_new(rows: Sequence[CaseRow], case_id: str) -> str | None:
    """The next case after this one that nobody has judged, from the top again at the end.

    None if there is no other.
    """
    ids = [row.id for row in rows]
    position = ids.index(case_id) if case_id in ids else -1
    later = [*rows[position + 1 :], *rows[: position + 1]]
    return next((row.id for row in later if row.review == "new" and row.id != case_id), None)
