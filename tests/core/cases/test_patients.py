"""The patient of a case: a pseudonym that is kept with it."""

import json

import pytest

from core.cases.records import record_key
from core.cases.store import Cases
from core.errors import NotFoundError
from core.state.database import connect
from tests.house import House
from tests.tiny import analysis

PSEUDONYM = "QX-4711"


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_patient_is_given_at_upload_changed_and_taken_away(house):
    case_id = house.cases.add(analysis(1), "x", " QX-\n4711 ").id
    assert house.cases.get(case_id).patient == "QX- 4711"
    house.cases.set_patient(case_id, PSEUDONYM)
    assert house.cases.get(case_id).patient == PSEUDONYM
    other = house.cases.add(analysis(2), "y")
    assert other.patient == house.cases.get(other.id).patient == ""
    house.cases.set_patient(other.id, "A-1")
    assert house.cases.patients() == ["A-1", PSEUDONYM]
    assert [row.id for row in house.cases.find("qx-")] == [case_id]
    house.cases.set_patient(other.id, "")
    assert house.cases.patients() == [PSEUDONYM]
    house.cases.delete(case_id)
    assert house.cases.patients() == []
    with pytest.raises(NotFoundError):
        house.cases.set_patient(case_id, "A-1")


@pytest.mark.parametrize("typed", ["Mu\u0308ller-7", "M\u00fcller\uff0d\uff17"])
def test_a_pseudonym_has_one_form_however_it_was_typed(typed, house):
    case_id = house.cases.add(analysis(1), "x", typed).id
    assert house.cases.get(case_id).patient == "M\u00fcller-7"
    house.cases.set_patient(case_id, typed)
    assert house.cases.patients() == ["M\u00fcller-7"]


def test_the_record_in_the_storage_has_the_patient_and_a_lost_database_gets_it_back(
    house, tmp_path
):
    case_id = house.cases.add(analysis(1), "x").id
    house.cases.set_patient(case_id, PSEUDONYM)
    assert json.loads(house.inner.read(record_key(case_id)))["patient"] == PSEUDONYM
    (tmp_path / "lost").mkdir()
    again = Cases(connect(tmp_path / "lost"), house.inner)
    again.import_from_storage()
    assert again.get(case_id).patient == PSEUDONYM
    assert [row.patient for row in again.find()] == [PSEUDONYM]


def test_a_record_of_an_earlier_version_has_no_patient(house, tmp_path):
    case_id = house.cases.add(analysis(1), "x").id
    record = json.loads(house.inner.read(record_key(case_id)))
    del record["patient"]
    house.inner.write(record_key(case_id), json.dumps(record).encode())
    (tmp_path / "lost").mkdir()
    again = Cases(connect(tmp_path / "lost"), house.inner)
    again.import_from_storage()
    assert again.get(case_id).patient == ""
    again.set_patient(case_id, PSEUDONYM)
    assert again.get(case_id).patient == PSEUDONYM
