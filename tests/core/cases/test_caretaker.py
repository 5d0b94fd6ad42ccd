"""Cases of a bucket are taken in behind the start, and deleted ones end on their day."""

import json
import threading
from collections import Counter
from datetime import timedelta

import pytest

from core import limits
from core.cases.caretaker import Progress
from core.cases.records import record_key
from core.errors import NotFoundError, StorageError
from core.state.database import connect
from core.state.tables import CASES
from tests.house import House
from tests.tiny import analysis, packed

DAY_S = 24 * 3600.0


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def filled(house, count):
    first = house.cases.add(analysis(1), "1").id
    record = json.loads(house.inner.read(record_key(first)))
    for number in range(2, count + 1):
        case_id = f"HV-{number:06}"
        for name in ("image.nii.gz", "mask.nii.gz"):
            house.inner.write(f"cases/{case_id}/{name}", b"x")
        own = record | {"id": case_id, "name": str(number)}
        house.inner.write(record_key(case_id), json.dumps(own).encode())
    house.calls.clear()
    return first


def test_taking_in_costs_one_listing_and_one_read_a_case(house):
    filled(house, 100)
    cases, _ = house.opened("lost")
    assert cases.import_from_storage() == 100
    calls = Counter(call for call, _ in house.calls)
    assert calls == {"ages_s": 1, "read": 100}
    assert cases.count() == 100
    assert cases.caretaker.progress == Progress(100, 100, finished=True)


def test_the_records_are_read_several_at_once(house):
    filled(house, 40)
    together = threading.Barrier(4)

    def meet(call, key, when):
        if call == "read" and when == "before":
            together.wait(30)  # passes only if four are under way at the same time
        return False

    house.failing = meet
    cases, _ = house.opened("lost")
    assert cases.import_from_storage() == 40


def test_a_case_that_is_asked_for_before_its_turn_opens_and_others_are_not_lost(house):
    wanted = filled(house, 30)
    cases, corrections = house.opened("lost")
    assert cases.count() == 0
    assert not cases.caretaker.progress.finished
    assert cases.get(wanted).name == "1"
    # And once more, after its row was made: whether it was removed meanwhile.
    assert house.calls == [("read", record_key(wanted))] * 2
    corrections.save(wanted, packed(5), base=0, author="A", comment="")
    cases.rename("HV-000007", "renamed before its turn")
    assert cases.import_from_storage() == 28
    assert cases.count() == 30
    assert cases.get("HV-000007").name == "renamed before its turn"
    assert cases.get(wanted).mask_version == 1


def test_an_unknown_case_costs_no_call_once_all_are_taken_in(house):
    filled(house, 3)
    house.cases.import_from_storage()
    house.calls.clear()
    with pytest.raises(NotFoundError):
        house.cases.get("HV-NOSUCH")
    assert house.calls == []


def test_taking_in_goes_on_after_an_outage_and_says_so_meanwhile(house):
    filled(house, 200)
    house.cases, _ = house.opened("lost")
    caretaker, seconds = house.watched()
    last = [key for key in house.inner.ages_s("cases") if key.endswith("record.json")][-1]
    house.failing = lambda call, key, when: key == last
    caretaker.tick()
    assert 0 < house.cases.count() < 200
    assert not caretaker.progress.finished
    assert caretaker.progress.failure == "The storage does not answer"
    house.failing = lambda *_: False
    caretaker.tick()  # not at once
    assert not caretaker.progress.finished
    seconds.now += limits.CARE_RETRY_S[0]
    caretaker.tick()
    assert caretaker.progress == Progress(200, 200, finished=True)
    assert house.cases.count() == 200


def test_a_damaged_record_keeps_no_other_case_from_the_list(house):
    filled(house, 5)
    house.inner.write(record_key("HV-BROKEN"), b"{")
    odd = json.loads(house.inner.read(record_key("HV-000002"))) | {"id": "HV-ODD000"}
    odd["anterior_mm3"] = {}
    house.inner.write(record_key("HV-ODD000"), json.dumps(odd).encode())
    cases, _ = house.opened("lost")
    for _ in range(2):  # before and after their turn
        for case_id in ("HV-BROKEN", "HV-ODD000"):
            with pytest.raises((NotFoundError, StorageError)):
                cases.get(case_id)
        cases.import_from_storage()
    assert cases.count() == 5
    assert house.files("HV-BROKEN")  # nothing is thrown away
    assert house.files("HV-ODD000")


def test_a_case_that_lost_its_scan_keeps_its_measures_and_its_review(house):
    case_id = filled(house, 1)
    house.cases.review(case_id, "accepted", "Dr A")
    house.inner.delete(f"cases/{case_id}/image.nii.gz")
    cases, _ = house.opened("lost")
    assert cases.import_from_storage() == 1
    assert cases.get(case_id).review.reviewer == "Dr A"
    with pytest.raises(NotFoundError, match="missing"):
        cases.image_file(case_id)


def test_a_newer_programs_record_is_taken_in_without_what_is_not_known_here(house):
    filled(house, 2)
    key = record_key("HV-000002")
    record = json.loads(house.inner.read(key)) | {"mood": "good"}
    house.inner.write(key, json.dumps(record).encode())
    cases, _ = house.opened("lost")
    assert cases.import_from_storage() == 2
    cases.rename("HV-000002", "new")
    assert json.loads(house.inner.read(key))["mood"] == "good"


def deleted(house):
    case_id = house.cases.add(analysis(1), "A").id
    house.corrections.save(case_id, packed(5), base=0, author="A", comment="")
    house.corrections.drafts.keep(case_id, "me", packed(6), 1)
    house.cases.delete(case_id)
    return case_id


def test_a_deleted_case_ends_on_its_day_on_a_server_that_never_restarts(house):
    caretaker, seconds = house.watched()
    case_id = deleted(house)
    for _ in range(limits.TRASH_DAYS):
        caretaker.tick()
        assert house.files(case_id)
        house.clock.now += timedelta(days=1)
        seconds.now += DAY_S
    house.clock.now += timedelta(seconds=1)
    caretaker.tick()
    assert house.inner.keys("cases") == []
    assert house.cases.find(deleted=True) == []
    assert house.corrections.drafts.of_browser(case_id, "me") is None


def test_a_removal_that_fails_is_told_and_tried_again_and_keeps_no_other_case(house):
    caretaker, seconds = house.watched()
    stuck, gone = deleted(house), deleted(house)
    house.clock.now += timedelta(days=limits.TRASH_DAYS, seconds=1)
    house.failing = lambda call, key, when: call.startswith("delete") and stuck in key
    caretaker.tick()
    assert house.files(gone) == {}
    assert [row.id for row in house.cases.find(deleted=True)] == [stuck]
    assert caretaker.trash.overdue == 1
    assert caretaker.trash.failure == "The storage does not answer"
    with pytest.raises(NotFoundError):  # half of it is gone: it does not come back
        house.cases.restore(stuck)
    house.failing = lambda *_: False
    seconds.now += limits.CARE_RETRY_S[0]
    caretaker.tick()
    assert house.inner.keys("cases") == []
    assert caretaker.trash.overdue == 0
    assert house.cases.find(deleted=True) == []


@pytest.mark.parametrize("steps", range(8))
def test_a_removal_that_was_killed_is_finished_also_where_the_database_is_lost(steps, house):
    case_id = deleted(house)
    house.clock.now += timedelta(days=limits.TRASH_DAYS, seconds=1)
    done = []

    def killed(call, key, when):
        done.append(call)
        return len(done) > 2 * steps

    house.failing = killed
    house.cases.caretaker.purge_deleted()
    house.failing = lambda *_: False
    for database in ("db", "lost"):
        cases, _ = house.opened(database)
        cases.import_from_storage()
        cases.purge_expired()
        assert cases.find() == cases.find(deleted=True) == []
    assert house.files(case_id) == {}


def test_what_another_server_restored_is_not_removed(house):
    case_id = deleted(house)
    other, _ = house.opened("other")
    other.import_from_storage()
    house.clock.now += timedelta(days=limits.TRASH_DAYS, seconds=1)
    other.restore(case_id)
    assert house.cases.purge_expired() == 0
    assert house.cases.get(case_id).mask_version == 1


def test_an_empty_database_removes_nothing_that_it_does_not_know(house):
    filled(house, 5)
    cases, _ = house.opened("lost")
    assert cases.purge_expired() == 0
    assert cases.import_from_storage() == 5


def test_lists_say_what_pages_say_of_cases_that_an_older_program_measured(house):
    case_id = filled(house, 3)
    house.cases.import_from_storage()
    rows = house.cases.find()
    with connect(house.folder / "db").begin() as connection:
        connection.execute(CASES.update().values(confidence="high", too_small="x"))
    house.cases.import_from_storage()
    assert house.cases.find() == rows
    record = json.loads(house.inner.read(record_key(case_id)))
    house.inner.write(record_key(case_id), json.dumps(record | {"confidence": "high"}).encode())
    cases, _ = house.opened("lost")
    cases.import_from_storage()
    assert cases.find() == rows
