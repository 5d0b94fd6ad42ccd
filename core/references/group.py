"""A reference group: people with age, sex and the volumes of both hippocampi."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.cases.case import clean_text
from core.errors import InputError
from core.limits import MAX_COMMENT_CHARS
from core.state.fields import check_shape, check_times, object_of
from core.wording import counted

# Of volumes that this program measures: the labels as Task04's experts drew them.
OUR_PROTOCOL = "HippoView (Task04)"
FEMALE, MALE = "F", "M"
# With fewer the 5th and the 95th percentile rest on two people each.
LEAST_PEOPLE = 40
MOST_PEOPLE = 5_000
AGES_YEARS = (0.0, 120.0)
# Of one hippocampus, in any protocol; a value in ml read as mm3 lies outside, and the reverse.
VOLUMES_MM3 = (200.0, 20_000.0)
_FORMAT = 1


@dataclass(frozen=True)
class Person:
    """One person of a group.

    Attributes
    ----------
    age_years : float
        On the day of the scan.
    sex : str
        `FEMALE` or `MALE`.
    left_mm3, right_mm3 : float
        Of the whole hippocampus.
    case : str
        Id of the case that it was measured in; empty where it is from elsewhere.
    """

    age_years: float
    sex: str
    left_mm3: float
    right_mm3: float
    case: str = ""


@dataclass(frozen=True)
class Measure:
    """What is compared.

    Attributes
    ----------
    name : str
        ``left``, ``right``, ``total`` or ``asymmetry``.
    unit : str
        ``mm3`` or ``%``.
    of : callable
        The value from left and right volume in mm3.
    """

    name: str
    unit: str
    of: Callable[[float, float], float]


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("left", "mm3", lambda left, right: left),
        Measure("right", "mm3", lambda left, right: right),
        Measure("total", "mm3", lambda left, right: left + right),
        Measure("asymmetry", "%", lambda left, right: 100 * (left - right) / ((left + right) / 2)),
    )
}


@dataclass(frozen=True)
class Group:
    """A reference group.

    Attributes
    ----------
    id : str
        Its name in the storage.
    name : str
        As people call it.
    protocol : str
        How its hippocampi were outlined; `OUR_PROTOCOL` where this program measured them.
    source : str
        Who the people are, in words.
    people : tuple of Person
    model_sha256, model_version : str
        Of the version that measured them; empty where it is not known or another program did.
    created_at, created_by : str
        ISO 8601, UTC; the administrator. Empty of the group that ships.
    """

    id: str
    name: str
    protocol: str
    source: str
    people: tuple[Person, ...]
    model_sha256: str = ""
    model_version: str = ""
    created_at: str = ""
    created_by: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether its volumes can be compared with those of this program."""
        return self.protocol == OUR_PROTOCOL

    @property
    def in_words(self) -> str:
        """How many people, of which sex and age."""
        sexes = Counter(person.sex for person in self.people)
        ages = [math.floor(person.age_years) for person in self.people]
        return (
            f"{counted(len(self.people), 'person', 'people')} "
            f"({counted(sexes[FEMALE], 'woman', 'women')}, {counted(sexes[MALE], 'man', 'men')}), "
            f"{min(ages)} to {max(ages)} years"
        )


def checked(group: Group) -> Group:
    """The group itself, with its texts in one line each.

    Raises
    ------
    InputError
        A text is missing, there are too few or too many people, or one has an impossible value.
    """
    texts = {
        "name": clean_text(group.name),
        "protocol": clean_text(group.protocol),
        "source": clean_text(group.source, MAX_COMMENT_CHARS),
    }
    for what, text in texts.items():
        if not text:
            raise InputError(
                f"The group's {what} is empty",
                "Say who the people are, and how their hippocampi were outlined.",
                code="bad_group",
            )
    if not LEAST_PEOPLE <= len(group.people) <= MOST_PEOPLE:
        raise InputError(
            f"The group has {counted(len(group.people), 'person', 'people')}",
            f"A group has {LEAST_PEOPLE} to {MOST_PEOPLE:,}: with fewer there is no percentile.",
            code="bad_group",
        )
    for number, person in enumerate(group.people, 1):
        if wrong := wrong_in(person):
            raise InputError(f"Person {number}: {wrong[0]}", code="bad_group")
    return Group(**vars(group) | texts)


def wrong_in(person: Person) -> list[str]:
    """What cannot be true of a person, in words."""
    wrong = []
    low, high = AGES_YEARS
    if not (math.isfinite(person.age_years) and low <= person.age_years <= high):
        wrong.append(f"an age of {person.age_years:g} years")
    if person.sex not in (FEMALE, MALE):
        wrong.append("the sex is neither F nor M")
    least, most = VOLUMES_MM3
    for side, mm3 in (("left", person.left_mm3), ("right", person.right_mm3)):
        if not (math.isfinite(mm3) and least <= mm3 <= most):
            wrong.append(
                f"{side} is {mm3:g} mm3, and a hippocampus has {least:,.0f} to {most:,.0f} mm3"
            )
    return wrong


def to_json(group: Group) -> bytes:
    """The group as it is kept."""
    return json.dumps({"format": _FORMAT, **asdict(group)}).encode()


_SHAPE = {
    "format": int, "id": str, "name": str, "protocol": str, "source": str, "model_sha256": str,
    "model_version": str, "created_at": str, "created_by": str,
    "people": [{
        "age_years": float, "sex": frozenset((FEMALE, MALE)), "left_mm3": float,
        "right_mm3": float, "case": str,
    }],
}  # fmt: skip


def from_json(text: bytes) -> Group:
    """A group that was kept.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    content = object_of(text)
    check_shape(content, _SHAPE)
    check_times(content["created_at"])
    people = [Person(**{k: row[k] for k in _PERSON}) for row in content["people"]]
    fields: dict[str, Any] = {k: content[k] for k in Group.__dataclass_fields__}
    try:
        return checked(Group(**fields | {"people": tuple(people)}))
    except InputError as error:
        raise ValueError(error.message) from error


_PERSON: Sequence[str] = tuple(Person.__dataclass_fields__)
