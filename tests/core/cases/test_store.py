import io
import json
import os
import shutil
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from core.cases.records import refresh_words
from core.cases.store import Cases
from core.errors import ConflictError, InputError, NotFoundError
from core.exports.tables import Outcome, archive, report_csv, report_json, summary_csv
from core.pipeline import analyse
from core.state import migrations
from core.state.database import DATABASE_NAME, connect
from core.state.storage import LocalStorage
from core.state.tables import CASES
from tests.references import head_analysis
from tests.scans import all_orientations, as_bytes, example, reoriented, stream


class Clock:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def analysis(predictor, tmp_path_factory):
    scan = reoriented(example(), all_orientations()[11])
    return analyse(stream(as_bytes(scan)), predictor, tmp_path_factory.mktemp("in"))


@pytest.fixture
def clock():
    return Clock()


def opened(folder, clock) -> Cases:
    return Cases(connect(folder), LocalStorage(folder / "storage"), clock)


@pytest.fixture
def cases(tmp_path, clock):
    return opened(tmp_path, clock)


def test_a_case_is_there_after_a_restart(cases, analysis, tmp_path, clock):
    case = cases.add(analysis, "first")
    again = opened(tmp_path, clock)
    assert again.get(case.id) == case
    assert again.mask_file(case.id) == analysis.mask_file
    assert [row.id for row in again.find()] == [case.id]


def test_a_list_has_the_sides_of_a_head_also_of_one_that_an_earlier_version_kept(cases, analysis):
    head = cases.add(head_analysis(3, left=2400.0, right=0.0), "head").id
    crop = cases.add(analysis, "crop").id

    def sides():
        return {row.id: (row.left_mm3, row.right_mm3) for row in cases.find()}

    expected = {head: (2400.0, None), crop: (None, None)}
    assert sides() == expected
    with cases.acts.engine.begin() as connection:
        connection.execute(CASES.update().values(left_mm3=None))
    assert sides()[head] == (None, None)
    with cases.acts.engine.begin() as connection:
        refresh_words(connection)
    assert sides() == expected


def test_a_record_without_the_totals_of_its_sides_stops_no_list(cases, analysis):
    """Its shape allows it: somebody may have written it by hand."""
    hand_made = cases.add(head_analysis(3, left=2400.0, right=0.0), "head").id
    other = cases.add(head_analysis(4, left=1200.0, right=0.0), "other").id
    with cases.acts.engine.begin() as connection:
        query = select(CASES.c.report).where(CASES.c.id == hand_made)
        report = json.loads(connection.scalar(query))
        del report["measures"]["sides"]["left"]["total"]
        update = CASES.update().where(CASES.c.id == hand_made)
        connection.execute(update.values(report=json.dumps(report)))
        connection.execute(CASES.update().values(left_mm3=None))
        refresh_words(connection)
    assert {row.id: row.left_mm3 for row in cases.find()} == {hand_made: 2400.0, other: 1200.0}


def test_the_images_of_a_case_are_those_that_were_segmented(cases, analysis):
    images = cases.images(cases.add(analysis, "x").id)
    assert np.array_equal(images.values, analysis.segmentation.volume.data)
    assert np.array_equal(images.labels, analysis.segmentation.labels)
    assert np.allclose(images.affine, analysis.segmentation.volume.affine)


def test_cases_are_found_by_name_and_by_id(cases, analysis):
    a = cases.add(analysis, "Visit one 100%")
    b = cases.add(analysis, "visit two")
    assert {r.id for r in cases.find("VISIT")} == {a.id, b.id}
    assert [r.id for r in cases.find("one visit")] == [a.id]
    assert [r.id for r in cases.find(b.id[3:].lower())] == [b.id]
    assert [r.id for r in cases.find("%")] == [a.id]
    assert cases.find("'; drop table cases; --") == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [("scan.nii.gz", "scan"), ("a\x00b\nc", "a b c"), ("x" * 500, "x" * 120), ("  a  b ", "a b")],
)
def test_names_are_cleaned(given, kept, cases, analysis):
    case = cases.add(analysis, given)
    assert case.name == kept
    cases.rename(case.id, given)
    assert cases.get(case.id).name == kept


def test_a_case_without_a_name_is_called_by_its_id(cases, analysis):
    case = cases.add(analysis, ".nii.gz")
    assert case.name == case.id
    with pytest.raises(InputError):
        cases.rename(case.id, " \n")


def test_a_deleted_case_can_be_restored_and_then_goes_for_good(cases, analysis, clock, tmp_path):
    kept, gone = cases.add(analysis, "kept"), cases.add(analysis, "gone")
    cases.delete(gone.id)
    with pytest.raises(NotFoundError):
        cases.get(gone.id)
    with pytest.raises(NotFoundError):
        cases.mask_file(gone.id)
    assert [r.id for r in cases.find(deleted=True)] == [gone.id]
    cases.restore(gone.id)
    assert len(cases.find()) == 2
    cases.delete(gone.id)
    clock.now += timedelta(days=6)
    assert cases.purge_expired() == 0
    clock.now += timedelta(days=2)
    assert cases.purge_expired() == 1
    assert [r.id for r in cases.find()] == [kept.id]
    assert [p.name for p in (tmp_path / "storage" / "cases").iterdir()] == [kept.id]


def test_half_a_case_is_swept_away(cases, analysis, tmp_path):
    case = cases.add(analysis, "whole")
    stray = tmp_path / "storage" / "cases" / "HV-HALF00"
    stray.mkdir()
    (stray / "image.nii.gz").write_bytes(b"half")
    assert cases.purge_expired() == 0  # someone may still be at work on it
    for path in (stray, *stray.iterdir()):
        os.utime(path, (0, 0))
    assert cases.purge_expired() == 1
    assert not stray.exists()
    assert cases.mask_file(case.id)


@pytest.mark.sqlite
def test_a_lost_database_is_rebuilt_from_the_storage(cases, analysis, tmp_path, clock):
    kept, gone = cases.add(analysis, "kept"), cases.add(analysis, "gone")
    cases.rename(kept.id, "renamed")
    cases.delete(gone.id)
    (tmp_path / DATABASE_NAME).unlink()
    again = opened(tmp_path, clock)
    assert again.find() == []
    assert again.import_from_storage() == 2
    assert again.import_from_storage() == 0
    assert [(r.id, r.name) for r in again.find()] == [(kept.id, "renamed")]
    assert [r.id for r in again.find(deleted=True)] == [gone.id]
    assert again.get(kept.id).report == kept.report
    assert again.features() == [(again.find()[0], analysis.features)]


def test_a_case_that_another_process_takes_in_meanwhile_is_there_once(
    cases, analysis, tmp_path, clock, monkeypatch
):
    update_row = cases.acts._update_row

    def lose_the_race(record):  # its record is written, its row is not
        assert opened(tmp_path, clock).import_from_storage() == 1
        update_row(record)

    monkeypatch.setattr(cases.acts, "_update_row", lose_the_race)
    case = cases.add(analysis, "once")
    assert [row.id for row in cases.find()] == [case.id]
    assert cases.mask_file(case.id) == analysis.mask_file


@pytest.mark.parametrize("call", ["get", "delete", "restore", "mask_file", "images"])
def test_an_unknown_case_is_not_found(call, cases):
    with pytest.raises(NotFoundError):
        getattr(cases, call)("HV-NOSUCH")


@pytest.mark.sqlite
def test_a_case_whose_row_fails_leaves_no_file(cases, analysis, tmp_path, clock):
    with connect(tmp_path).begin() as connection:
        CASES.drop(connection)
    with pytest.raises(OperationalError):
        cases.add(analysis, "x")
    assert LocalStorage(tmp_path / "storage").keys("cases") == []


def test_keys_cannot_leave_the_storage(tmp_path):
    storage = LocalStorage(tmp_path / "s")
    for key in ("../x", "/etc/passwd", "a/../../x", "", "a//b", ".hidden", "a/.b", "a\nb"):
        with pytest.raises(ValueError, match="storage key"):
            storage.write(key, b"")
    assert list(tmp_path.rglob("x")) == []


@pytest.mark.sqlite
def test_a_database_is_brought_up_to_date_once(tmp_path):
    connect(tmp_path).dispose()
    connect(tmp_path).dispose()
    assert (tmp_path / "hippoview.sqlite").exists()


def test_exports_hold_the_case_but_not_its_name(cases, analysis):
    case = cases.add(analysis, "DOE^JANE")
    record = json.loads(report_json(case))
    assert record["case_id"] == case.id
    assert record["notice"] == "Research use only. Not for diagnosis."
    assert record["model"]["sha256"] == analysis.segmentation.model.sha256
    table = report_csv(case).decode()
    assert f"volume,total,{analysis.measures.total.volume_mm3:.1f},mm3" in table
    assert analysis.sha256 in table
    assert "Not for diagnosis" in table
    for export in (report_json(case), report_csv(case), summary_csv([Outcome("DOE", case)])):
        assert b"DOE" not in export


def test_names_stand_in_a_summary_only_when_asked_for(cases, analysis):
    case = cases.add(analysis, "a")
    outcomes = [Outcome("=cmd|' /C calc'!A0.nii", case), Outcome("bad.nii", None, "It is empty.")]
    assert b"calc" not in summary_csv(outcomes)
    with_names = summary_csv(outcomes, with_names=True).decode()
    assert "'=cmd" in with_names
    assert "bad.nii,,refused" in with_names


def test_a_patient_stands_in_a_summary_with_names_and_in_no_other_export(cases, analysis):
    case = cases.add(analysis, "a", "QX-4711")
    outcomes = [Outcome("a.nii", case)]
    masks = [(case.id, cases.mask_file(case.id))]
    exports = [report_json(case), report_csv(case), cases.image_file(case.id)]
    with zipfile.ZipFile(io.BytesIO(archive(outcomes, masks))) as zipped:
        exports += [zipped.read(name) for name in zipped.namelist()]
    assert not any(b"QX-4711" in export for export in exports)
    assert summary_csv(outcomes, with_names=True).count(b"QX-4711") == 1


def test_an_archive_holds_all_masks_and_a_summary(cases, analysis):
    case = cases.add(analysis, "a")
    outcomes = [Outcome("a.nii", case), Outcome("bad.nii", None, "It is empty.")]
    zipped = zipfile.ZipFile(io.BytesIO(archive(outcomes, [(case.id, analysis.mask_file)])))
    assert set(zipped.namelist()) == {
        "README.txt", "summary.csv", f"{case.id}.json", f"{case.id}.csv",
        f"{case.id}_mask.nii.gz",
    }  # fmt: skip
    assert zipped.read(f"{case.id}_mask.nii.gz") == analysis.mask_file
    assert zipped.read("summary.csv").count(b"\r\n") == 3


def test_a_summary_can_be_read_by_a_spreadsheet(cases, analysis):
    import pandas as pd

    case = cases.add(analysis, "a")
    table = pd.read_csv(io.BytesIO(summary_csv([Outcome("a", case), Outcome("b", None, "no")])))
    assert table["total_mm3"][0] == pytest.approx(analysis.measures.total.volume_mm3)
    assert list(table["state"]) == ["segmented", "refused"]


def test_a_review_is_kept_signed_and_can_be_undone(cases, analysis, clock, tmp_path):
    case = cases.add(analysis, "x")
    assert case.review.state == "new"
    cases.review(case.id, "rejected", " Dr  A ", "cut\noff")
    again = opened(tmp_path, clock).get(case.id).review
    assert (again.state, again.reviewer, again.reason) == ("rejected", "Dr A", "cut off")
    assert again.at == clock.now.isoformat(timespec="milliseconds")
    cases.review(case.id, "accepted", "B")
    assert cases.find()[0].review == "accepted"
    cases.review(case.id, "new", "")
    assert cases.get(case.id).review == case.review


def test_a_review_that_nobody_saw_is_not_replaced(cases, analysis):
    case = cases.add(analysis, "x")
    cases.review(case.id, "rejected", "A", "the tail is missing", seen_review="")
    with pytest.raises(ConflictError, match="rejected by A since you looked: the tail is missing"):
        cases.review(case.id, "accepted", "B", seen_review="")
    assert cases.get(case.id).review.state == "rejected"
    cases.review(case.id, "accepted", "B", seen_review=cases.get(case.id).review.at)
    assert cases.get(case.id).review.state == "accepted"
    cases.review(case.id, "accepted", "B", seen_review="")  # a key that was pressed twice


def test_a_rejection_needs_its_reason(cases, analysis):
    case = cases.add(analysis, "x")
    with pytest.raises(InputError, match="reason is empty"):
        cases.review(case.id, "rejected", "A", " ")
    assert cases.get(case.id).review.state == "new"


@pytest.mark.sqlite
def test_a_database_from_before_the_reviews_is_brought_up_to_date(
    tmp_path, analysis, clock, monkeypatch
):
    case = opened(tmp_path, clock).add(analysis, "old")
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as database, database:
        before_reviews = {n: step for n, step in migrations._STEPS.items() if n < 2}
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "_STEPS", before_reviews)
            connect(tmp_path / "older", agree=False).dispose()
        database.execute("ATTACH ? AS older", (str(tmp_path / "older" / DATABASE_NAME),))
        columns = database.execute("SELECT name FROM pragma_table_info('cases', 'older')")
        names = ", ".join(name for (name,) in columns)
        database.execute(f"INSERT INTO older.cases SELECT {names} FROM main.cases")  # noqa: S608
    shutil.move(tmp_path / "storage", tmp_path / "older" / "storage")
    again = opened(tmp_path / "older", clock)
    assert again.get(case.id) == case
    again.review(case.id, "accepted", "A")
    assert again.find()[0].review == "accepted"
