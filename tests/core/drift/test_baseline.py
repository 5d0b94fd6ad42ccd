"""The first accepted heads, which later heads are compared with."""

import json
from datetime import timedelta

import numpy as np
import pytest

from core import limits
from core.drift.baseline import KEY, HeadBaseline
from core.errors import StorageError
from tests.drift import analysis, table
from tests.house import House, Seconds


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BASELINE_HEADS", 5)
    house = House(tmp_path)
    house.cases.import_from_storage()
    return house


def add(house, count, *, is_head=True, review="accepted"):
    """So many cases, each reviewed a minute after it came, one by one; returns their ids."""
    rng = np.random.default_rng(len(house.cases.find()))
    ids = []
    for features in table(rng, count, kind="head" if is_head else "crop"):
        case = house.cases.add(analysis(1, features, is_head=is_head), "x")
        house.clock.now += timedelta(minutes=1)
        if review != "new":
            house.cases.review(case.id, review, "Dr A", "why")
            house.clock.now += timedelta(minutes=1)
        ids.append(case.id)
    return ids


def baseline(house):
    return HeadBaseline(house.cases, house.storage)


def test_it_learns_until_enough_heads_are_accepted_or_corrected(house):
    assert baseline(house).get().heads == {}
    accepted = add(house, 3)
    add(house, 9, is_head=False)
    add(house, 2, review="new")
    add(house, 2, review="rejected")
    found = baseline(house).get()
    assert (list(found.heads), found.frozen_at) == (accepted, "")
    corrected = add(house, 1, review="corrected")
    assert list(baseline(house).get().heads) == accepted + corrected
    assert house.inner.keys("drift") == []
    last = add(house, 1)
    found = baseline(house).get()
    assert list(found.heads) == accepted + corrected + last
    assert found.frozen_at


def test_one_scan_counts_once_however_often_it_was_dropped(house):
    (values,) = table(np.random.default_rng(0), 1, kind="head")
    for _ in range(7):
        case = house.cases.add(analysis(1, values, is_head=True), "again")
        house.cases.review(case.id, "accepted", "Dr A")
    assert len(baseline(house).get().heads) == 1
    assert not baseline(house).get().frozen_at


def test_it_takes_those_that_were_accepted_first_not_those_that_came_first(house):
    waiting = add(house, 1, review="new")
    five = add(house, 5)
    house.cases.review(waiting[0], "accepted", "Dr A")
    assert list(baseline(house).get().heads) == five


def test_once_it_is_complete_nothing_moves_it(house):
    ids = add(house, 7)
    frozen = baseline(house).get()
    assert list(frozen.heads) == ids[:5]
    house.cases.delete(ids[0])
    house.cases.review(ids[1], "rejected", "Dr A", "blurred")
    house.cases.review(ids[2], "new", "Dr A")
    add(house, 2)
    assert baseline(house).get() == frozen
    house.clock.now += timedelta(days=limits.TRASH_DAYS + 1)
    assert house.cases.purge_expired()  # the deleted head is gone for good
    assert baseline(house).get() == frozen
    house.cases, house.corrections = house.opened("another database")
    assert baseline(house).get() == frozen  # the disk was lost, the bucket was not


def test_it_waits_until_all_cases_are_taken_in(house):
    """After a lost database the first ones to come are not the first ones accepted."""
    ids = add(house, 7)
    house.cases, house.corrections = house.opened("another database")
    for case_id in reversed(ids[2:]):
        house.cases.get(case_id)
    assert baseline(house).get().frozen_at == ""
    house.cases.import_from_storage()
    assert list(baseline(house).get().heads) == ids[:5]


def test_of_two_processes_the_first_one_decides(house):
    ids = add(house, 6)
    heads = [{"case": case_id, "features": {"misfit": 4.0}} for case_id in ids[1:]]
    others = {"format": 1, "frozen_at": "2026-11-25T12:00:00.000+00:00", "heads": heads}

    def another_is_faster(call, key, when):
        if (call, key, when) == ("replace", KEY, "before"):
            house.inner.write(KEY, json.dumps(others).encode())
        return False

    house.failing = another_is_faster
    found = baseline(house).get()
    assert (list(found.heads), found.frozen_at) == (ids[1:], others["frozen_at"])


def test_heads_of_earlier_versions_have_no_features_and_do_not_count(house):
    for _ in range(6):
        case = house.cases.add(analysis(1, None, is_head=True), "x")
        house.cases.review(case.id, "accepted", "Dr A")
    assert baseline(house).get().heads == {}


def test_it_is_completed_without_anybody_looking(house):
    seconds = Seconds()
    watch = HeadBaseline(house.cases, house.storage, seconds)
    watch.tick()
    ids = add(house, 5)
    watch.tick()
    assert house.inner.keys("drift") == []  # not due yet
    seconds.now += limits.BASELINE_EVERY_S
    watch.tick()
    house.cases.delete(ids[0])
    assert list(baseline(house).get().heads) == ids


def test_a_damaged_file_is_said_and_learned_again_when_it_is_deleted(house):
    add(house, 5)
    baseline(house).get()
    house.inner.write(KEY, b'{"heads": [{"case": "x"}]}')
    with pytest.raises(StorageError) as error:
        baseline(house).get()
    assert KEY in error.value.hint
    baseline(house).tick()  # says so in the log
    house.inner.delete(KEY)
    assert baseline(house).get().frozen_at


def test_a_storage_that_fails_leaves_it_to_the_next_time(house):
    add(house, 5)
    house.failing = lambda call, key, when: key == KEY and when == "before"
    with pytest.raises(StorageError):
        baseline(house).get()
    house.failing = lambda call, key, when: False
    assert baseline(house).get().frozen_at
