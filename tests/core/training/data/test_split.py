from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.training.config import TrainingRequest
from core.training.data.dataset import FOLDS, Dataset, Entry, file_names
from core.training.data.split import split
from core.training.origin import folds, trained_on


def source(names, label="1"):
    return {n: Entry("", f"content {n}", f"image {n}", f"label {n} {label}", 0) for n in names}


def named(patients):
    return [f"P{n}_{side}" for n in patients for side in "LR"]


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


def test_a_split_that_tore_patients_apart_is_made_anew():
    old = {name: replace(e, patient=name) for name, e in source(named(range(8))).items()}
    old = {name: replace(e, fold=n % (FOLDS + 1) - 1) for n, (name, e) in enumerate(old.items())}
    assert Dataset("old", old, "").split_by_file
    made, said = split(source(named(range(8))), old, {}, {})
    assert made == split(source(named(range(8))), {}, {}, {})[0]
    assert "8 patients were on two sides of it" in said[-1]


def test_one_patient_that_was_apart_goes_where_it_was_trained_on_and_nobody_else_moves():
    names = [f"c{n}" for n in range(40)]
    old, _ = split(source(names), {}, {}, {})
    tested = next(n for n in names if old[n].is_test)
    trained = next(n for n in names if not old[n].is_test)
    made, said = split(source(names), old, {}, {tested: "p", trained: "p"})
    assert made[tested].fold == made[trained].fold == old[trained].fold
    assert {n for n in names if made[n].fold != old[n].fold} == {tested}
    assert said[-1] == (
        "1 patient was on two sides of the earlier split; all cases of them are to train on: p"
    )


patient_tables = st.dictionaries(
    st.integers(0, 80).map(lambda n: f"scan{n}"), st.integers(0, 40).map(lambda n: f"p{n}"),
    min_size=20, max_size=60,
).filter(lambda table: len(set(table.values())) >= 8)  # fmt: skip


@pytest.fixture(scope="module")
def configs():
    """A training for each fold, with the frozen test set and without."""
    modes = ("with_test=false", "with_test=true")
    return [
        TrainingRequest("one", "quick", [f"fold={fold}", mode]).config()
        for fold in range(FOLDS) for mode in modes
    ]  # fmt: skip


def assert_nobody_crosses(dataset, table, configs):
    """Neither the frozen test set, nor the folds, nor what any training holds out."""
    splits = [[dataset.test, *(fold["val"] for fold in dataset.splits())]]
    splits += [[fold["train"], fold["val"]] for fold in dataset.splits()]
    for config in configs[:2]:
        splits.append([fold["val"] for fold in folds(config, dataset)])
    for config in configs:
        trained = trained_on(config, dataset)
        splits.append([trained, sorted(set(dataset.cases) - set(trained))])
    for parts in splits:
        patients = [{table[case] for case in part} for part in parts]
        assert sum(map(len, patients)) == len(set.union(*patients))


@settings(max_examples=25)
@given(patient_tables, patient_tables, st.booleans())
def test_no_patient_crosses_any_split_whatever_the_table(configs, first, later, of_cases):
    """Also when more cases come: old ones stay where they are."""
    later = later | first
    before, _ = split(source(first), {}, {}, first, of_cases=of_cases)
    assert_nobody_crosses(Dataset("one", before, ""), first, configs)
    after, _ = split(source(later), before, {}, later, of_cases=of_cases)
    assert {case: after[case] for case in before} == before
    assert_nobody_crosses(Dataset("one", after, ""), later, configs)
    assert {case: entry.patient for case, entry in after.items()} == later
    # Without the table again, what it said is not forgotten.
    again, _ = split(source(later), after, {}, {})
    assert_nobody_crosses(Dataset("one", again, ""), later, configs)


@settings(max_examples=25)
@given(patient_tables, st.data())
def test_no_patient_crosses_when_the_table_changes(configs, table, data):
    """Patients are given to cases, or corrected, after the split was made."""
    before, _ = split(source(table), {}, {}, {}, of_cases=True)
    ever = data.draw(st.sets(st.sampled_from(sorted(table))))
    given_now = {case: patient for case, patient in table.items() if case in ever}
    after, _ = split(source(table), before, {}, given_now, of_cases=True)
    assert_nobody_crosses(
        Dataset("one", after, ""), {case: case for case in table} | given_now, configs
    )


@settings(max_examples=25)
@given(patient_tables, st.data())
def test_a_follow_up_goes_where_its_patient_was_even_if_the_first_scan_has_left(table, data):
    before, _ = split(source(table), {}, {}, table, of_cases=True)
    gone = data.draw(st.sampled_from(sorted(table)))
    patient = table[gone]
    stay = {case: entry for case, entry in before.items() if table[case] != patient}
    former = {case: entry for case, entry in before.items() if table[case] == patient}
    now = {case: table[case] for case in stay} | {"follow-up": patient}
    after, _ = split(source(now), stay, former, now, of_cases=True)
    assert after["follow-up"].is_test == before[gone].is_test


def test_too_few_patients_are_refused_however_many_their_cases():
    names = [f"c{n}" for n in range(30)]
    with pytest.raises(InputError, match="of 4 patients only"):
        split(source(names), {}, {}, {name: f"p{n % 4}" for n, name in enumerate(names)})


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


@settings(max_examples=50)
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
