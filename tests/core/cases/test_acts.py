"""Acts on cases: whole or undone, whichever step fails; nobody touches another's case."""

import gzip
import json
import os
from datetime import timedelta

import pytest
from sqlalchemy import event

from core import limits
from core.cases import store as cases_module
from core.cases.records import record_key
from core.errors import ConflictError, HippoViewError, InputError, NotFoundError, StorageError
from core.state.database import reading
from core.state.tables import CASES, FEATURES, MASK_VERSIONS
from tests.house import House
from tests.tiny import analysis, number_of, packed


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def choosing(monkeypatch, *ids):
    letters = iter("".join(ids))
    monkeypatch.setattr(cases_module.secrets, "choice", lambda _: next(letters))


def test_an_id_that_is_taken_is_not_given_again(house, monkeypatch):
    choosing(monkeypatch, "777777", "777777", "888888")
    first = house.cases.add(analysis(1), "A")
    before = house.files(first.id)
    second = house.cases.add(analysis(2), "B")
    assert (first.id, second.id) == ("HV-777777", "HV-888888")
    assert house.files(first.id) == before
    assert house.cases.get(first.id).report["number"] == 1
    assert number_of(house.cases.images(second.id).labels) == 2


def test_an_id_that_only_the_storage_knows_is_not_given_again(house, monkeypatch):
    choosing(monkeypatch, "777777", "777777", "888888")
    first = house.cases.add(analysis(1), "A")
    before = house.files(first.id)
    fresh, _ = house.opened("after the database was lost")
    assert fresh.add(analysis(2), "B").id == "HV-888888"
    assert house.files(first.id) == before


def test_where_no_id_is_free_the_scan_is_refused_and_no_case_touched(house, monkeypatch):
    monkeypatch.setattr(cases_module.secrets, "choice", lambda _: "7")
    first = house.cases.add(analysis(1), "A")
    before = house.files(first.id)
    with pytest.raises(StorageError, match="No free case id"):
        house.cases.add(analysis(2), "B")
    assert house.files(first.id) == before
    assert [row.id for row in house.cases.find()] == [first.id]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("failing", ["image.nii.gz", "mask.nii.gz", "record.json"])
def test_a_scan_that_cannot_be_kept_leaves_no_case_and_no_row(failing, when, house):
    other = house.cases.add(analysis(1), "A")
    before = house.files(other.id)
    house.failing = lambda call, key, at: (call, at) == ("replace", when) and key.endswith(failing)
    if (failing, when) == ("record.json", "after"):  # it arrived: only the answer was lost
        assert house.cases.add(analysis(2), "B").report["number"] == 2
        return
    with pytest.raises(StorageError):
        house.cases.add(analysis(2), "B")
    house.failing = lambda *_: False
    assert house.cases.import_from_storage() == 0
    assert [row.id for row in house.cases.find()] == [other.id]
    assert house.files(other.id) == before
    records = [key for key in house.inner.keys("cases") if key.endswith("record.json")]
    assert records == [record_key(other.id)]


def test_what_is_left_of_a_scan_that_could_not_be_kept_is_swept_away_after_a_day(house):
    def failing(call, key, when):
        return call == "delete" or key.endswith("record.json")

    house.failing = failing
    with pytest.raises(StorageError):
        house.cases.add(analysis(2), "B")
    house.failing = lambda *_: False
    left = house.inner.keys("cases")
    assert left
    assert house.cases.purge_expired() == 0
    for key in left:
        os.utime(house.folder / "storage" / key, (0, 0))
    assert house.cases.purge_expired() == 1
    assert house.inner.keys("cases") == []


def acts(house, case_id):
    """Each act with what is true afterwards."""
    house.cases.delete(deleted := house.cases.add(analysis(9), "deleted").id)
    cases, corrections = house.cases, house.corrections
    return {
        "rename": (lambda: cases.rename(case_id, "new"), lambda c, _: c.get(case_id).name == "new"),
        "review": (
            lambda: cases.review(case_id, "rejected", "Dr A", "cut off"),
            lambda c, _: c.get(case_id).review.reason == "cut off",
        ),
        "delete": (
            lambda: cases.delete(case_id),
            lambda c, _: case_id in [row.id for row in c.find(deleted=True)],
        ),
        "restore": (lambda: cases.restore(deleted), lambda c, _: bool(c.count() == 2)),
        "correct": (
            lambda: corrections.save(case_id, packed(5), base=0, author="Dr A", comment="c"),
            lambda c, d: number_of(c.images(case_id).labels) == 5
            and [v.number for v in d.versions(case_id)] == [1, 0],
        ),
    }  # fmt: skip


ACTS = ["rename", "review", "delete", "restore", "correct"]


def seen(house, case_id, true_after, database):
    cases, corrections = house.opened(database)
    cases.import_from_storage()
    try:
        return true_after(cases, corrections)
    except NotFoundError:
        return False


@pytest.mark.parametrize("name", ACTS)
def test_what_was_acknowledged_outlives_the_database(name, house):
    case_id = house.cases.add(analysis(1), "A").id
    act, true_after = acts(house, case_id)[name]
    assert not seen(house, case_id, true_after, "before")
    act()
    assert seen(house, case_id, true_after, "db")
    assert seen(house, case_id, true_after, "lost")


@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_the_storage_refuses_is_refused_whole(name, house):
    case_id = house.cases.add(analysis(1), "A").id
    act, true_after = acts(house, case_id)[name]
    house.failing = lambda call, key, when: (call, when) == ("replace", "before")
    with pytest.raises(StorageError):
        act()
    house.failing = lambda *_: False
    for database in ("db", "lost"):
        assert not seen(house, case_id, true_after, database)
    act()
    assert seen(house, case_id, true_after, "db")


@pytest.mark.parametrize("name", ACTS)
def test_an_act_whose_answer_was_lost_is_done_in_both_or_in_neither(name, house):
    case_id = house.cases.add(analysis(1), "A").id
    act, true_after = acts(house, case_id)[name]
    lost = []

    def failing(call, key, when):
        if call == "replace" and key.endswith("record.json") and when == "after":
            lost.append(key)
        return bool(lost)  # from then on nothing is answered

    house.failing = failing
    with pytest.raises(StorageError):
        act()
    house.failing = lambda *_: False
    house.cases.caretaker.tick()
    assert seen(house, case_id, true_after, "db") == seen(house, case_id, true_after, "lost")


@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_the_database_cannot_take_in_is_taken_in_later(name, house):
    case_id = house.cases.add(analysis(1), "A").id
    act, true_after = acts(house, case_id)[name]
    engine = house.cases.acts.engine

    def full(connection):
        raise StorageError("The disk of the database is full")

    event.listen(engine, "commit", full)
    with pytest.raises(StorageError, match="full"):
        act()
    caretaker, seconds = house.watched()
    caretaker.tick()  # it fails again
    event.remove(engine, "commit", full)
    seconds.now += limits.SETTLE_RETRY_S[0]
    caretaker.tick()
    assert true_after(house.cases, house.corrections)
    assert seen(house, case_id, true_after, "lost")


def test_two_databases_on_one_storage_do_not_undo_each_other(house):
    case_id = house.cases.add(analysis(1), "A").id
    other, corrected = house.opened("other")
    other.import_from_storage()
    house.corrections.save(case_id, packed(5), base=0, author="Dr A", comment="")
    with pytest.raises(ConflictError, match="Dr A saved version 1"):
        corrected.save(case_id, packed(6), base=0, author="Dr B", comment="")
    # Whoever is refused sees why.
    assert [v.author for v in corrected.versions(case_id)] == ["Dr A", "the model"]
    other.rename(case_id, "named by the other")
    assert number_of(other.images(case_id).labels) == 5
    house.cases.import_from_storage()
    assert house.cases.get(case_id).name == "named by the other"
    assert len([k for k in house.files(case_id) if "/masks/" in k]) == 1


def test_an_act_is_tried_again_where_another_process_was_faster(house):
    case_id = house.cases.add(analysis(1), "A").id
    other, _ = house.opened("other")
    other.import_from_storage()
    raced = []

    def failing(call, key, when):
        if call == "replace" and when == "before" and not raced:
            raced.append(key)
            other.review(case_id, "accepted", "Dr B")
        return False

    house.failing = failing
    house.cases.rename(case_id, "renamed")
    case = house.cases.get(case_id)
    assert (case.name, case.review.reviewer) == ("renamed", "Dr B")


def test_nothing_is_sent_or_fetched_within_a_transaction(house):
    engines = [house.cases.acts.engine]
    open_now = []
    event.listen(engines[0], "begin", lambda _: open_now.append(1))
    for end in ("commit", "rollback"):
        event.listen(engines[0], end, lambda _: open_now.clear())
    house.failing = lambda call, key, when: bool(open_now)
    case_id = house.cases.add(analysis(1), "A").id
    for name in ("rename", "review", "correct", "delete"):
        acts(house, case_id)[name][0]()
    house.clock.now += timedelta(days=limits.TRASH_DAYS + 1)
    assert house.cases.import_from_storage() == 0
    assert house.cases.purge_expired() > 0


def test_a_record_that_an_older_program_left_behind_its_row_follows_it(house):
    case_id = house.cases.add(analysis(1), "A").id
    key = record_key(case_id)
    record = json.loads(house.inner.read(key))
    old = {k: v for k, v in record.items() if k not in ("revision", "masks", "mask_version")}
    house.inner.write(key, json.dumps(old).encode())
    with house.cases.acts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cases SET revision = 0, name = 'renamed'")
    house.cases.import_from_storage()
    lost, _ = house.opened("lost")
    lost.import_from_storage()
    assert lost.get(case_id).name == house.cases.get(case_id).name == "renamed"


def test_a_record_that_was_lost_is_written_again(house):
    case_id = house.cases.add(analysis(1), "A").id
    house.corrections.save(case_id, packed(5), base=0, author="Dr A", comment="")
    before = house.files(case_id)
    house.inner.delete(record_key(case_id))
    house.cases.import_from_storage()
    after = house.files(case_id)
    assert after.keys() == before.keys()
    lost, corrected = house.opened("lost")
    assert lost.import_from_storage() == 1
    assert corrected.versions(case_id) == house.corrections.versions(case_id)
    assert lost.features()[0][1] == {"number": 1.0}


def test_masks_that_no_record_names_are_removed_after_a_day_and_no_others(house):
    case_id = house.cases.add(analysis(1), "A").id
    house.corrections.save(case_id, packed(5), base=0, author="Dr A", comment="")
    kept = house.files(case_id)
    for name, age in (("2-0a.nii.gz", 0), ("2-0b.nii.gz", 1)):
        key = f"cases/{case_id}/masks/{name}"
        house.inner.write(key, b"of one who was killed")
        if age:
            for old in (key, *kept):
                os.utime(house.folder / "storage" / old, (0, 0))
    house.cases.import_from_storage()
    assert house.files(case_id).keys() - kept.keys() == {f"cases/{case_id}/masks/2-0a.nii.gz"}
    assert kept.keys() <= house.files(case_id).keys()


@pytest.mark.parametrize("case_id", ["../x", "HV/1", "", ".hidden", "a\0b", "HV-" + "0" * 300])
def test_a_name_that_no_case_can_have_is_not_found(case_id, house):
    for act in (house.cases.get, house.cases.delete, house.cases.restore):
        with pytest.raises(NotFoundError):
            act(case_id)


def test_refusals_change_nothing_and_cost_no_write(house):
    case_id = house.cases.add(analysis(1), "A").id
    before = house.files(case_id)
    for act in (
        lambda: house.cases.rename(case_id, " "),
        lambda: house.cases.review(case_id, "rejected", "A"),
        lambda: house.cases.restore(case_id),
        lambda: house.corrections.save(case_id, b"x", base=0, author="A", comment=""),
    ):
        with pytest.raises((InputError, HippoViewError)):
            act()
    assert house.files(case_id) == before
    with reading(house.cases.acts.engine) as connection:
        assert connection.exec_driver_sql("SELECT revision FROM cases").scalar() == 1
    assert gzip.decompress(house.cases.image_file(case_id))


@pytest.mark.parametrize("change", ["review", "correction"])
def test_a_case_that_another_server_forgets_while_it_is_changed_does_not_come_back(change, house):
    case_id = house.cases.add(analysis(1), "A").id
    other, _ = house.opened()  # a second process on the same database and storage

    def forgotten_meanwhile(call, key, when):
        if (call, when) == ("replace", "after") and key == record_key(case_id):
            house.failing = lambda *_: False
            other.acts.remove(case_id, "2026-11-25T12:00:00.000+00:00", lambda record: True)
        return False

    changes = {
        "review": lambda: house.cases.review(case_id, "accepted", "Dr A"),
        "correction": lambda: house.corrections.save(
            case_id, packed(5), base=0, author="Dr A", comment=""
        ),
    }
    house.failing = forgotten_meanwhile
    with pytest.raises(NotFoundError):
        changes[change]()
    assert house.cases.find() == []
    assert house.files(case_id) == {}
    with reading(house.cases.acts.engine) as connection:
        for table in (CASES, MASK_VERSIONS, FEATURES):
            assert connection.execute(table.select()).all() == []
    assert house.cases.acts.doubtful() == set()
