"""A person's place in a reference group in words, always with whether the two can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.cases.case import Case
from core.references.group import FEMALE, MALE, MEASURES, Group, Person
from core.references.quantiles import COVERAGE_PERCENT, Place
from core.wording import counted, ml_text

SEX_WORDS = {FEMALE: ("woman", "women"), MALE: ("man", "men")}
NOT_COMPARABLE = "not comparable without conversion"
Kind = Literal["same", "protocol", "version", "unknown version", "drawn"]


@dataclass(frozen=True)
class Comparability:
    """Whether the volumes of a case can be compared with those of a group.

    Attributes
    ----------
    kind : str
        ``same``; or why they cannot: ``protocol`` or ``version``; or what to know before:
        ``unknown version``, ``drawn``.
    group_by, case_by : str
        The protocol, or the model version, that measured each.
    """

    kind: Kind
    group_by: str = ""
    case_by: str = ""

    @property
    def is_given(self) -> bool:
        """Whether nothing speaks against it."""
        return self.kind not in ("protocol", "version")

    @property
    def in_words(self) -> str:
        """It belongs into every sentence that has a percentile.

        >>> Comparability("protocol", "FreeSurfer 7.4").in_words
        'protocol FreeSurfer 7.4: not comparable without conversion'
        """
        return {
            "same": "same protocol",
            "protocol": f"protocol {self.group_by}: {NOT_COMPARABLE}",
            "version": f"model version {self.group_by}, this case {self.case_by}: {NOT_COMPARABLE}",
            "unknown version": "same protocol, model version not known",
            "drawn": "same protocol, this mask drawn by a person",
        }[self.kind]


def comparability_of(case: Case, group: Group) -> Comparability:
    """Whether a case can be compared with a group."""
    model = case.report["model"]
    if not group.is_ours:
        return Comparability("protocol", group.protocol)
    if group.model_sha256 and group.model_sha256 != model["sha256"]:
        return Comparability("version", group.model_version, str(model["version"]))
    if case.report.get("mask"):
        return Comparability("drawn")
    return Comparability("same" if group.model_sha256 else "unknown version")


def protocol_words(group: Group) -> str:
    """Whether a group's protocol is this program's."""
    return "same protocol" if group.is_ours else Comparability("protocol", group.protocol).in_words


@dataclass(frozen=True)
class PlaceEnds:
    """A place in whole percentiles.

    Percentiles that so many people do not tell apart are *below* the first that they do, or
    *above* the last.

    Attributes
    ----------
    side : str
        ``below`` or ``above``, where the place itself lies there; else ``at``.
    percentile : int
        Or the first, or the last, that is told apart.
    low, high : int or None
        None beyond what is told apart.
    first, last : int
        Those that are told apart.
    """

    side: Literal["below", "at", "above"]
    percentile: int
    low: int | None
    high: int | None
    first: int
    last: int


def place_ends(place: Place, people: int) -> PlaceEnds:
    """A place as far as so many people tell it."""
    first = max(1, -(-100 // people))
    last = 100 - first
    low = None if place.low < first else round(place.low)
    high = None if place.high > last else round(place.high)
    if place.percentile < first:
        return PlaceEnds("below", first, None, None if place.high < first else high, first, last)
    if place.percentile > last:
        return PlaceEnds("above", last, None if place.low > last else low, None, first, last)
    return PlaceEnds("at", round(place.percentile), low, high, first, last)


def place_words(place: Place, people: int) -> str:
    """A percentile with its interval.

    >>> place_words(Place(8.2, 3.7, 15.1), 212)
    'at the 8th percentile (4th to 15th)'
    >>> place_words(Place(2.2, 0.3, 7.4), 60)
    'at the 2nd percentile (below the 2nd to 7th)'
    >>> place_words(Place(0.2, 0.01, 4.6), 60), place_words(Place(99.6, 98.9, 99.9), 60)
    ('below the 2nd percentile (up to the 5th)', 'above the 98th percentile')
    """
    ends = place_ends(place, people)
    if ends.side == "below":
        reach = f" (up to the {ordinal(ends.high)})" if ends.high is not None else ""
        return f"below the {ordinal(ends.first)} percentile{reach}"
    if ends.side == "above":
        reach = f" (down to the {ordinal(ends.low)})" if ends.low is not None else ""
        return f"above the {ordinal(ends.last)} percentile{reach}"
    low = f"below the {ordinal(ends.first)}" if ends.low is None else ordinal(ends.low)
    high = f"above the {ordinal(ends.last)}" if ends.high is None else ordinal(ends.high)
    return f"at the {ordinal(ends.percentile)} percentile ({low} to {high})"


def ordinal(number: int) -> str:
    """A number as an ordinal.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 42, 93)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '42nd', '93rd']
    """
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number // 10 == 1 else endings.get(number % 10, 'th')}"


def value_words(measure: str, value: float) -> str:
    """A measure's value with its unit.

    >>> value_words("left", 2400.0), value_words("asymmetry", -4.1)
    ('2.40 ml', '-4 %')
    """
    return f"{value:+z.0f} %" if MEASURES[measure].unit == "%" else f"{ml_text(value)} ml"


def reach_words(reach: tuple[float, float], people: int) -> str:
    """The percentiles between which the place lies by the measurement's own uncertainty.

    >>> reach_words((1.2, 62.7), 60), reach_words((30.1, 99.9), 60)
    ('below the 2nd to 63rd', '30th to above the 98th')
    >>> reach_words((0.1, 0.7), 60), reach_words((12.4, 40.2), 60)
    ('below the 2nd', '12th to 40th')
    """
    first = max(1, -(-100 // people))
    last = 100 - first

    def end(percentile: float) -> str:
        if percentile < first:
            return f"below the {ordinal(first)}"
        return f"above the {ordinal(last)}" if percentile > last else ordinal(round(percentile))

    low, high = map(end, reach)
    return low if low == high else f"{low} to {high}"


def people_words(people: Sequence[Person], sex: str) -> str:
    """On how many people the percentiles rest, and of how many of them the picture's points are."""
    one, many = SEX_WORDS[sex]
    same = sum(person.sex == sex for person in people)
    if same == len(people):
        return f"n = {counted(same, one, many)}"
    return (
        f"n = {len(people):,}, of whom {counted(same, one, many)}: the curves are those of {many}, "
        "estimated from all, with the difference between women and men taken out"
    )


def interval_words() -> str:
    """What the intervals are."""
    return (
        f"In brackets the {COVERAGE_PERCENT} % interval of the percentile for the size of the "
        "group alone, as if the volume were exact. *By the measure* are the percentiles of the "
        "bar's ends, where an expert's volume is expected: so far the place is unsure because the "
        "volume is."
    )
