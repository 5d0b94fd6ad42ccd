"""What is known of a scan's day and person: typed, or said by the DICOM file."""

import json
from dataclasses import replace

import pytest
from loguru import logger

from core.cases.case import Case
from core.cases.records import record_key
from core.cases.store import Cases
from core.cases.study import Study, study_of, type_study
from core.errors import InputError, NotFoundError, StorageError
from core.exports.tables import report_json
from core.state.database import connect
from tests.house import House
from tests.tiny import analysis

SAID = {"date": "2024-05-01", "sex": "F", "age_years": 71}
TYPED = Study("2024-06-02", "M", 70)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_what_dicom_said_is_known_and_what_nobody_said_is_empty():
    assert study_of(Case("HV-1", "a", "", {"study": SAID})) == Study("2024-05-01", "F", 71)
    assert study_of(Case("HV-1", "a", "", {"study": None})) == Study()
    assert study_of(Case("HV-1", "a", "", {})) == Study("", "", None)


def test_what_was_typed_wins_over_dicom():
    case = Case("HV-1", "a", "", {"study": SAID}, sex="M", age_years=0)
    assert study_of(case) == Study("2024-05-01", "M", 0)


def test_a_date_that_is_none_is_not_known():
    assert study_of(Case("HV-1", "a", "", {"study": SAID | {"date": "May"}})).date == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("date", "1900-01-01"), ("date", "2999-01-01"), ("age_years", 999), ("age_years", -1)],
)
def test_what_dicom_cannot_mean_is_not_known(name, value):
    known = study_of(Case("HV-1", "a", "", {"study": SAID | {name: value}}))
    assert known == replace(Study(**SAID), **{name: Study.__dataclass_fields__[name].default})


def test_two_people_who_type_at_once_keep_what_each_has_changed(house):
    case_id = house.cases.add(analysis(1), "x").id
    seen = Study(sex="F")
    type_study(house.cases.acts, case_id, seen)
    type_study(house.cases.acts, case_id, replace(seen, age_years=71), seen)
    type_study(house.cases.acts, case_id, replace(seen, date="2024-06-02"), seen)
    type_study(house.cases.acts, case_id, Study(), seen)
    assert study_of(house.cases.get(case_id)) == Study("2024-06-02", "", 71)


def test_typed_facts_are_kept_and_a_lost_database_gets_them_back(house, tmp_path):
    case_id = house.cases.add(analysis(1), "x").id
    type_study(house.cases.acts, case_id, TYPED)
    house.cases.rename(case_id, "y")
    assert study_of(house.opened()[0].get(case_id)) == TYPED
    (tmp_path / "lost").mkdir()
    again = Cases(connect(tmp_path / "lost"), house.inner)
    again.import_from_storage()
    assert study_of(again.get(case_id)) == TYPED
    type_study(again.acts, case_id, Study())
    assert study_of(again.get(case_id)) == Study()


def test_a_record_of_an_earlier_version_has_no_typed_facts(house, tmp_path):
    case_id = house.cases.add(analysis(1), "x").id
    record = json.loads(house.inner.read(record_key(case_id)))
    for name in ("scan_date", "sex", "age_years"):
        record.pop(name, None)
    house.inner.write(record_key(case_id), json.dumps(record).encode())
    (tmp_path / "lost").mkdir()
    again = Cases(connect(tmp_path / "lost"), house.inner)
    again.import_from_storage()
    assert study_of(again.get(case_id)) == Study()


@pytest.mark.parametrize(
    "wrong", [{"sex": "X"}, {"scan_date": "yesterday"}, {"age_years": "old"}, {"age_years": -1}]
)
def test_a_record_with_impossible_facts_is_damaged(wrong, house, tmp_path):
    case_id = house.cases.add(analysis(1), "x").id
    type_study(house.cases.acts, case_id, TYPED)
    record = json.loads(house.inner.read(record_key(case_id))) | wrong
    house.inner.write(record_key(case_id), json.dumps(record).encode())
    (tmp_path / "lost").mkdir()
    with pytest.raises(StorageError, match="damaged"):
        Cases(connect(tmp_path / "lost"), house.inner).get(case_id)


@pytest.mark.parametrize(
    "wrong",
    [Study("2024-02-30"), Study("1900-01-01"), Study("9999-01-01"), Study(sex="X"),
     Study(age_years=-1), Study(age_years=126)],
)  # fmt: skip
def test_what_nobody_can_have_is_refused(wrong, house):
    case_id = house.cases.add(analysis(1), "x").id
    with pytest.raises(InputError):
        type_study(house.cases.acts, case_id, wrong)
    assert study_of(house.cases.get(case_id)) == Study()


def test_a_deleted_case_is_told_nothing(house):
    case_id = house.cases.add(analysis(1), "x").id
    house.cases.delete(case_id)
    with pytest.raises(NotFoundError):
        type_study(house.cases.acts, case_id, TYPED)


def test_neither_exports_nor_the_log_have_what_was_typed(house):
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE")
    case_id = house.cases.add(analysis(1), "x").id
    type_study(house.cases.acts, case_id, TYPED)
    case = house.cases.get(case_id)
    logger.remove(sink)
    for text in (report_json(case).decode(), *lines):
        assert TYPED.date not in text
        assert '"M"' not in text
