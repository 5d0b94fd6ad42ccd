from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.training.data.dataset import FOLDS, Entry, file_names
from core.training.data.split import split


def source(names, label="1"):
    return {n: Entry("", f"content {n}", f"image {n}", f"label {n} {label}", 0) for n in names}


def named(patients):
    return [f"P{n}_{side}" for n in patients for side in "LR"]


@settings(deadline=None)
@given(st.sets(st.integers(0, 99), min_size=8), st.sets(st.integers(0, 99)))
def test_no_patient_is_on_two_sides_whoever_comes_later(first, later):
    """The right sides of the first ones come later: to where the left ones are."""
    lefts = [name for name in named(first) if name.endswith("L")]
    before, _ = split(source(lefts), {}, {}, {})
    after, _ = split(source(named(first | later)), before, {}, {})
    assert {name: after[name] for name in before} == before
    sides = {}
    for name, entry in after.items():
        sides.setdefault(name[:-2], set()).add(entry.fold)
    assert all(len(folds) == 1 for folds in sides.values())


def test_a_table_puts_cases_together_that_their_names_do_not():
    names = [f"scan{n}" for n in range(24)]
    table = {name: f"p{n // 2}" for n, name in enumerate(names)}
    made, said = split(source(names), {}, {}, table)
    for n in range(12):
        assert made[f"scan{2 * n}"].fold == made[f"scan{2 * n + 1}"].fold
    assert "12 patients" in said[0]


def test_what_an_older_split_tore_apart_stays_and_is_said():
    old = {name: replace(e, patient=name) for name, e in source(named(range(8))).items()}
    old = {name: replace(e, fold=n % (FOLDS + 1) - 1) for n, (name, e) in enumerate(old.items())}
    made, said = split(source(named(range(8))), old, {}, {})
    assert made == old
    assert "8 patients were put on two sides" in said[-1]


def test_a_changed_case_keeps_its_place_and_gets_files_of_its_own():
    names = [f"c{n}" for n in range(12)]
    before, _ = split(source(names), {}, {}, {})
    changed = source(names) | source(["c3"], "2")
    after, _ = split(changed, before, {}, {})
    assert {n for n in names if after[n] != before[n]} == {"c3"}
    assert (after["c3"].fold, after["c3"].patient) == (before["c3"].fold, before["c3"].patient)
    assert not set(file_names("c3", after["c3"])) & set(file_names("c3", before["c3"]))
    again, _ = split(changed, after, {}, {})
    assert again == after
    thrice, _ = split(source(names) | source(["c3"], "3"), after, {}, {})
    assert thrice["c3"].tag not in ("", after["c3"].tag)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_whoever_leaves_the_folds_hold_cases_and_who_comes_back_has_its_place(data):
    names = [f"c{n}" for n in range(14)]
    before, _ = split(source(names), {}, {}, {})
    tested = [n for n in names if before[n].is_test]
    left = data.draw(st.sets(st.sampled_from([n for n in names if n != tested[0]]), max_size=7))
    stay = {n: e for n, e in before.items() if n not in left}
    here = source(stay)
    after, _ = split(here, stay, {n: before[n] for n in left}, {})
    assert {e.fold for e in after.values() if not e.is_test} == set(range(FOLDS)) or (
        sum(not e.is_test for e in after.values()) < FOLDS
    )
    assert {n for n, e in after.items() if e.is_test} == set(tested) - left
    back, _ = split(source(names), after, {n: before[n] for n in left}, {})
    assert {n for n, e in back.items() if e.is_test} == set(tested)


def test_the_same_image_under_another_name_has_the_place_that_it_had():
    names = [f"c{n}" for n in range(12)]
    before, _ = split(source(names), {}, {}, {})
    gone = next(n for n in names if before[n].is_test)
    stay = {n: e for n, e in before.items() if n != gone}
    other = replace(source(["again"])["again"], content_sha256=f"content {gone}")
    after, _ = split(source(stay) | {"again": other}, stay, {gone: before[gone]}, {})
    assert after["again"].is_test


def test_an_empty_test_set_is_refused_and_a_small_one_is_said():
    names = [f"c{n}" for n in range(14)]
    before, _ = split(source(names), {}, {}, {})
    tested = [n for n in names if before[n].is_test]
    stay = {n: e for n, e in before.items() if n not in tested[1:]}
    assert "only 1 are left in the frozen test set" in split(source(stay), stay, {}, {})[1][-1]
    stay.pop(tested[0])
    with pytest.raises(InputError, match="No case is left in the frozen test set"):
        split(source(stay), stay, {}, {})
