"""Where a case stands in a reference group, in numbers and in sentences; or why it does not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.anatomy import SIDES
from core.cases.case import Case, confidence_of
from core.cases.study import Study
from core.measures.measure import why_scan_too_small
from core.references.group import FEMALE, LEAST_PEOPLE, MALE, MEASURES, Group, Person
from core.references.quantiles import APART_FROM, Percentiles, Place
from core.references.words import (
    SEX_WORDS,
    Comparability,
    comparability_of,
    place_words,
    value_words,
)
from core.wording import counted

# People of the person's own sex, and people of about the person's age, without whom a percentile
# would be a guess from others.
LEAST_OF_SEX = 10
LEAST_NEAR, NEAR_YEARS = 10, 10
IS_MEMBER = "This case is itself one of the group."


@dataclass(frozen=True, eq=False)
class Standing:
    """One measure of a case in a group.

    Attributes
    ----------
    measure : str
        Of `core.references.group.MEASURES`.
    value : float
        In the measure's unit.
    interval : (float, float) or None
        Of the value: `LabelMeasures.volume_interval_mm3`.
    place : Place
    percentiles : Percentiles
        Of the group, for curves only.
    sentence : str
        With the group, its size, and whether it can be compared.
    reach : (float, float) or None
        The percentiles of the interval's ends: how far the place is unsure by the measurement.
    """

    measure: str
    value: float
    interval: tuple[float, float] | None
    place: Place
    percentiles: Percentiles
    sentence: str
    reach: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """A case in a group.

    Attributes
    ----------
    why_not : str
        Why there are no percentiles, and what to do; empty where there are.
    standings : tuple of Standing
    people : tuple of Person
        Those that the percentiles rest on: of the person's sex, or all of the group.
    is_member : bool
        Whether the case is itself one of the group.
    comparability : Comparability or None
        None where there are no percentiles.
    remarks : tuple of str
        What else to know before the numbers are used.
    """

    why_not: str = ""
    standings: tuple[Standing, ...] = ()
    people: tuple[Person, ...] = ()
    comparability: Comparability | None = None
    is_member: bool = False
    remarks: tuple[str, ...] = ()


def why_none(case: Case, study: Study) -> str:
    """Why a case can be compared with no group, and what to do; empty where it can."""
    report = case.report
    if not report.get("head"):
        return "A crop is not compared: its side is not known. Segment the whole head."
    if confidence_of(report) == "unreliable":
        return "The masks are unreliable: their volumes are not compared. Correct them first."
    if words := why_scan_too_small(report["measures"]):
        return f"The volumes are too small ({words}): they are not compared."
    if not _values(report["measures"]):
        return "Neither side was found: there is nothing to compare."
    unknown = [
        name
        for name, value in (("age", study.age_years), ("sex", study.sex))
        if value is None or value == ""
    ]
    if unknown:
        verb, it = ("are", "them") if len(unknown) > 1 else ("is", "it")
        return (
            f"The {' and the '.join(unknown)} of this person {verb} not known: open the case on "
            f"the Cases page and type {it} under Patient."
        )
    if study.sex not in (FEMALE, MALE):
        return "The sex of this person is neither F nor M: the groups have no others."
    return ""


def why_not_in(group: Group, age_years: float, sex: str) -> str:
    """Why a person has no percentile in a group; empty where there is one."""
    # In whole years, as the person's own age is given: at 20.4 one is 20.
    same = [math.floor(person.age_years) for person in group.people if person.sex == sex]
    one, many = SEX_WORDS[sex]
    if len(group.people) < LEAST_PEOPLE:
        return (
            f"The group has {counted(len(group.people), 'person', 'people')}: no percentile with "
            f"fewer than {LEAST_PEOPLE}."
        )
    if len(same) < LEAST_OF_SEX:
        return (
            f"The group has {counted(len(same), one, many)}: no percentile with fewer than "
            f"{LEAST_OF_SEX} of the person's sex."
        )
    if not min(same) <= math.floor(age_years) <= max(same):
        return (
            f"The {many} of the group are {min(same)} to {max(same)} years old, this "
            f"person is {age_years:.0f}: no percentile outside of that."
        )
    near = sum(abs(person.age_years - age_years) <= NEAR_YEARS for person in group.people)
    if near < LEAST_NEAR:
        return (
            f"The group has {counted(near, 'person', 'people')} within {NEAR_YEARS} years of "
            f"{age_years:.0f}: no percentile with fewer than {LEAST_NEAR}."
        )
    return ""


def compare(case: Case, study: Study, group: Group) -> Comparison:
    """Where a case's left, right, total and asymmetry stand in a group."""
    if why_not := why_none(case, study):
        return Comparison(why_not)
    age, sex = float(study.age_years or 0), study.sex
    if why_not := why_not_in(group, age, sex):
        return Comparison(why_not)
    people = comparable_people(group.people, sex)
    comparability = comparability_of(case, group)
    standings = []
    for name, (value, interval) in _values(case.report["measures"]).items():
        percentiles = percentiles_of(people, name)
        place = percentiles.place(age, is_female=sex == FEMALE, value=value)
        sentence = (
            f"{name.capitalize()} {value_words(name, value)}, {place_words(place, len(people))} of "
            f"group {group.name}, n = {len(people):,}, {comparability.in_words}"
        )
        ends = [
            percentiles.place(age, is_female=sex == FEMALE, value=end).percentile
            for end in interval or ()
        ]
        reach = (ends[0], ends[1]) if ends else None
        curves = percentiles.curves_only()
        standings.append(Standing(name, value, interval, place, curves, sentence, reach))
    is_member = any(person.case == case.id for person in group.people)
    remarks = (*_remarks(case, group, comparability), *[IS_MEMBER] * is_member)
    return Comparison("", tuple(standings), tuple(people), comparability, is_member, remarks)


def comparable_people(people: Sequence[Person], sex: str) -> tuple[Person, ...]:
    """The people that a person of a sex is compared with: of that sex, where there are enough."""
    same = tuple(person for person in people if person.sex == sex)
    others = len(people) - len(same)
    return same if min(len(same), others) >= APART_FROM or not others else tuple(people)


def percentiles_of(people: Sequence[Person], measure: str) -> Percentiles:
    """Percentiles of a measure by age and sex among people."""
    return Percentiles(
        [person.age_years for person in people],
        [person.sex == FEMALE for person in people],
        [MEASURES[measure].of(person.left_mm3, person.right_mm3) for person in people],
    )


def _values(measures: dict[str, Any]) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """The measures of a head that were found, with their intervals."""
    values = {}
    sides = measures.get("sides", {})
    for side in SIDES:
        size = sides.get(side, {}).get("total")
        if size and size["voxels"]:
            values[side] = (size["volume_mm3"], _interval(size))
    if len(values) == len(SIDES):
        values["total"] = (measures["total"]["volume_mm3"], _interval(measures["total"]))
        left, right = (values[side][0] for side in SIDES)
        values["asymmetry"] = (MEASURES["asymmetry"].of(left, right), None)
    return values


def _interval(size: dict[str, Any]) -> tuple[float, float] | None:
    interval = size.get("volume_interval_mm3")
    return (float(interval[0]), float(interval[1])) if interval else None


def _remarks(case: Case, group: Group, comparability: Comparability) -> list[str]:
    remarks = {
        "protocol": f"The group was measured by another protocol ({group.protocol}): its volumes "
        "are not comparable with these without conversion.",
        "drawn": "A person drew this mask; the group was measured by the program alone.",
        "unknown version": "Which model version measured the group is not known.",
        "version": f"Another model version measured the group ({group.model_version}); this case "
        f"was measured by {case.report['model']['version']}.",
    }
    found = [remarks[comparability.kind]] if comparability.kind in remarks else []
    return found
