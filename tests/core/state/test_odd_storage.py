"""What people do to the storage by hand: copies, backups, edits. No drawn mask goes, none moves."""

import json
import os
import shutil
import time

import pytest

from core.cases.records import mask_key, record_key
from core.errors import ConflictError, NotFoundError, StorageError
from core.image import nifti
from core.state.tables import CASES
from tests.house import House
from tests.tiny import analysis, number_of, packed


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def grow_old(house):
    """Nobody can be at work any more on any file."""
    long_ago = time.time() - 48 * 3600
    for path in (house.folder / "storage" / "cases").rglob("*"):
        os.utime(path, (long_ago, long_ago))


def drawn_mask(cases, case_id):
    return number_of(nifti.read_mask(cases.mask_file(case_id)))


def test_a_record_from_a_backup_costs_no_mask_that_the_database_knows(house):
    case_id = house.cases.add(analysis(1), "x").id
    yesterdays = house.inner.read(record_key(case_id))
    house.corrections.save(case_id, packed(5), base=0, author="A", comment="")
    house.inner.write(record_key(case_id), yesterdays)
    grow_old(house)
    for _ in range(2):
        house.cases.import_from_storage()
    assert drawn_mask(house.cases, case_id) == 5
    lost, _ = house.opened("lost")
    lost.import_from_storage()
    assert drawn_mask(lost, case_id) == 5


@pytest.mark.parametrize("database", ["db", "lost"])
def test_a_copy_of_a_cases_folder_is_no_case_and_costs_it_no_mask(house, database):
    case_id = house.cases.add(analysis(1), "x").id
    folder = house.folder / "storage" / "cases" / case_id
    shutil.copytree(folder, folder.with_name(f"{case_id}-backup"))
    house.corrections.save(case_id, packed(5), base=0, author="A", comment="")
    grow_old(house)
    cases, _ = house.opened(database)
    cases.import_from_storage()
    assert cases.count() == 1
    assert drawn_mask(cases, case_id) == 5
    assert (folder.with_name(f"{case_id}-backup") / "image.nii.gz").is_file()


def test_a_record_in_another_patients_folder_changes_neither(house):
    anna, bert = (house.cases.add(analysis(n), name).id for n, name in ((1, "Anna"), (2, "Bert")))
    own = house.inner.read(record_key(anna))
    house.inner.write(record_key(anna), house.inner.read(record_key(bert)))
    with pytest.raises(StorageError, match="damaged"):
        house.cases.review(anna, "accepted", "R")
    with pytest.raises(StorageError, match="damaged"):
        house.corrections.save(anna, packed(5), base=0, author="A", comment="")
    house.cases.import_from_storage()
    assert [house.cases.get(c).review.state for c in (anna, bert)] == ["new", "new"]
    assert house.cases.get(anna).report["number"] == 1
    house.inner.write(record_key(anna), own)
    house.cases.review(anna, "accepted", "R")
    assert [house.cases.get(c).review.state for c in (anna, bert)] == ["accepted", "new"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("revision", "7"), ("revision", None), ("mask_version", "1"), ("masks", {"a": 1})],
)
def test_an_odd_record_keeps_no_other_case(house, field, value):
    ids = [house.cases.add(analysis(n), str(n)).id for n in range(3)]
    record = json.loads(house.inner.read(record_key(ids[1])))
    house.inner.write(record_key(ids[1]), json.dumps(record | {field: value}).encode())
    lost, _ = house.opened("lost")
    assert lost.import_from_storage() == 2
    assert lost.caretaker.progress.finished
    with pytest.raises(NotFoundError):
        lost.get(ids[1])


def test_a_review_is_of_the_mask_that_was_seen(house):
    case_id = house.cases.add(analysis(1), "x").id
    house.corrections.save(case_id, packed(5), base=0, author="A", comment="")
    with pytest.raises(ConflictError, match="mask version 1 was saved meanwhile"):
        house.cases.review(case_id, "accepted", "R", seen=0)
    assert house.cases.get(case_id).review.state == "corrected"
    house.cases.review(case_id, "accepted", "R", seen=1)
    assert house.cases.get(case_id).review.state == "accepted"


def test_a_drawing_without_a_name_ends_no_other_tabs_draft(house):
    case_id = house.cases.add(analysis(1), "x").id
    for drawing in ("tab2", ""):
        house.corrections.drafts.keep(case_id, "browser", packed(5), 0, drawing)
    assert house.corrections.drafts.of_browser(case_id, "browser", "tab2").drawing == "tab2"
    house.corrections.save(
        case_id, packed(5), base=0, author="A", comment="", visitor="browser", drawing=""
    )
    assert house.corrections.drafts.of_browser(case_id, "browser").drawing == "tab2"


def test_an_older_programs_row_that_knows_fewer_masks_costs_none(house):
    case_id = house.cases.add(analysis(1), "x").id
    second, _ = house.opened("second")
    second.import_from_storage()
    house.corrections.save(case_id, packed(5), base=0, author="A", comment="")
    _as_an_older_program_left_it(house, case_id)
    with second.acts.engine.begin() as connection:
        connection.execute(CASES.update().values(revision=0))
    grow_old(house)
    for _ in range(2):
        second.import_from_storage()
    assert second.get(case_id).mask_version == 1
    assert second.get(case_id).review.state == "corrected"
    assert drawn_mask(second, case_id) == 5


def _as_an_older_program_left_it(house, case_id):
    """No revision, and beside each drawn mask a record of its own."""
    record = json.loads(house.inner.read(record_key(case_id)))
    del record["revision"]
    (mask,) = record.pop("masks")
    key = mask_key(case_id, 1, mask.pop("token"))
    house.inner.write(mask_key(case_id, 1), house.inner.read(key))
    house.inner.delete(key)
    changed = ("mask_version", "review", "reviewer", "reviewed_at", "reason")
    drawn = {"version": mask, "case": {name: record[name] for name in changed}}
    house.inner.write(f"cases/{case_id}/masks/1.json", json.dumps(drawn).encode())
    house.inner.write(record_key(case_id), json.dumps(record).encode())
