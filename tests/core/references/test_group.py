"""A group is checked, and is the same after it was kept."""

import json
from dataclasses import replace

import pytest

from core.errors import InputError
from core.references.group import (
    LEAST_PEOPLE,
    MEASURES,
    OUR_PROTOCOL,
    Group,
    Person,
    checked,
    from_json,
    to_json,
)

PEOPLE = tuple(Person(20.0 + n, "FM"[n % 2], 3000.0 + n, 3100.0) for n in range(LEAST_PEOPLE))
GROUP = Group(
    "ab12", "Controls", OUR_PROTOCOL, "Volunteers of 2026", PEOPLE, "f" * 64, "3",
    "2026-11-30T10:00:00.000+00:00", "Ada",
)  # fmt: skip


def test_it_is_read_as_it_was_written():
    assert from_json(to_json(GROUP)) == GROUP


def test_it_says_who_is_in_it():
    assert GROUP.in_words == "40 people (20 women, 20 men), 20 to 59 years"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": " \n"}, "name is empty"),
        ({"source": ""}, "source is empty"),
        ({"protocol": ""}, "protocol is empty"),
        ({"people": PEOPLE[:-1]}, "39 people"),
        ({"people": (*PEOPLE, Person(50, "O", 3000, 3000))}, "Person 41: the sex is neither"),
        ({"people": (*PEOPLE, Person(50, "F", float("nan"), 3000))}, "Person 41: left is nan"),
        ({"people": (*PEOPLE, Person(-1, "F", 3000, 3000))}, "Person 41: an age of -1"),
    ],
)
def test_what_is_no_group_is_refused_in_words(change, words):
    with pytest.raises(InputError, match=words):
        checked(replace(GROUP, **change))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"people": []}, "0 people"),
        ({"people": [{"age_years": 1}]}, "sex is missing"),
        ({"name": 3}, "int in the place of str"),
        ({"created_at": "yesterday"}, "Invalid isoformat"),
        ({"created_at": ""}, "Invalid isoformat"),
    ],
)
def test_a_damaged_file_is_no_group(damage, words):
    content = json.loads(to_json(GROUP)) | damage
    with pytest.raises(ValueError, match=words):
        from_json(json.dumps(content).encode())


def test_asymmetry_is_that_of_the_measures():
    assert MEASURES["asymmetry"].of(3000.0, 3300.0) == pytest.approx(-9.52, abs=0.01)
