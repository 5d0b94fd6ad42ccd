"""Names in a batch, and which of its files is open."""

import pytest

from app.views.outcomes import best_of, told_apart
from core.cases.case import Case
from core.exports.tables import Outcome

CASE = Case("HV-AAAAAA", "x", "2026-11-30T08:00:00", {})


@pytest.mark.parametrize(
    "names",
    [
        ["T1.nii", "T2.nii"],
        ["T1.nii", "T1.nii", "T1.nii"],
        [f"{'a' * 40}{i}{'b' * 40}.nii" for i in range(3)],  # alike at both ends
        [f"sub-{'0' * 60}_ses-{i}.nii" for i in range(3)],
    ],
)
def test_names_are_told_apart_in_a_column(names):
    shown = told_apart(names)
    assert len(set(shown)) == len(names)
    assert max(map(len, shown)) <= 55


def test_a_name_that_stands_alone_is_left_as_it_is():
    assert told_apart(["T1.nii", "other.nii"]) == ["T1.nii", "other.nii"]


def test_a_refused_file_does_not_take_the_place_of_a_good_one():
    good, bad = Outcome("a", CASE), Outcome("b", None, "broken")
    assert best_of([good, bad]) == 0
    assert best_of([bad, good, good, bad, bad]) == 2
    assert best_of([bad, bad]) == 1
