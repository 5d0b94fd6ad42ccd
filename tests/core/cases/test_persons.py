"""The patients of an installation, and each one's scans in time."""

import pytest

from core.cases.persons import Person, measured, persons, scans_of
from core.cases.study import Study, type_study
from core.measures.change import ONE_HIPPOCAMPUS
from tests.house import House
from tests.tiny import analysis


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def add(house, number, patient, study=Study()):  # noqa: B008 - it is frozen
    case = house.cases.add(analysis(number), f"scan_of_{number}", patient)
    if study != Study():
        type_study(house.cases.acts, case.id, study)
    return case.id


def test_patients_are_listed_with_the_span_of_their_scans(house):
    add(house, 1, "")
    later = add(house, 2, "QX-2", Study("2025-03-01", "F", 71))
    earlier = add(house, 3, "QX-2", Study("2023-03-01", "", 69))
    undated = add(house, 4, "AB-1")
    assert persons(house.cases) == [
        Person("AB-1", (undated,), "", "", "", ()),
        Person("QX-2", (earlier, later), "2023-03-01", "2025-03-01", "F", (69, 71)),
    ]
    assert [case.id for case in scans_of(house.cases, "QX-2")] == [earlier, later]


def test_a_search_finds_a_patient_by_pseudonym_and_by_a_scan(house):
    case_id = add(house, 1, "QX-2")
    add(house, 2, "QX-2")
    add(house, 3, "AB-1")
    for words in ("qx-2", case_id, "scan_of_1"):
        (found,) = persons(house.cases, words)
        assert (found.patient, len(found.case_ids)) == ("QX-2", 2)
    assert persons(house.cases, "nobody") == []


def test_a_deleted_scan_and_its_patient_are_gone(house):
    case_id = add(house, 1, "QX-2")
    house.cases.delete(case_id)
    assert persons(house.cases) == scans_of(house.cases, "QX-2") == []


def test_a_change_is_told_the_date_and_whether_a_person_drew_the_mask(house):
    case_id = add(house, 7, "QX-2", Study("2023-03-01"))
    scan = measured(house.cases.get(case_id))
    assert (scan.day, scan.is_head, scan.is_drawn) == ("2023-03-01", False, False)
    assert scan.volumes_mm3[ONE_HIPPOCAMPUS] == {"total": 14, "anterior": 7, "posterior": 7}
