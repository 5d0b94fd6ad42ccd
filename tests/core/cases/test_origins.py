"""The way back to a patient: encrypted, apart from the case, gone with it."""

import copy
import dataclasses
import json
import stat
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest

from core.cases.origins import KEY_FILE, Origins, installation_key
from core.cases.records import origin_key, record_key
from core.cases.store import Cases
from core.errors import SettingsError, StorageError
from core.limits import TRASH_DAYS
from core.settings import Settings
from core.state.database import connect
from tests import tiny
from tests.dicom_sources import BORN, ID, NAME, source_of
from tests.house import House

KEY = b"0123456789abcdef" * 2
ABOUT = {"date": "2024-05-06", "sex": "F", "age_years": 74}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def origins_of(house, key=KEY):
    return Origins(house.storage, lambda: key)


def cases_of(house, key=KEY):
    engine = connect(house.folder / "db")
    return Cases(engine, house.storage, house.clock, origins_of(house, key))


def analysis(origin, number=1):
    """A tiny scan of a DICOM series."""
    plain = tiny.analysis(number)
    report = plain.as_dict() | {"study": origin.about()}
    return SimpleNamespace(**vars(plain) | {"origin": origin, "as_dict": lambda: dict(report)})


def changed(origin, **values):
    headers = []
    for header in origin.headers:
        other = copy.deepcopy(header)
        for name, value in values.items():
            setattr(other, name, value)
        headers.append(other)
    return dataclasses.replace(origin, headers=tuple(headers))


def test_what_is_kept_comes_back_and_only_with_the_key_and_for_its_case(house):
    origin, kept = source_of("axial"), origins_of(house)
    kept.save("HV-1", origin)
    again = kept.load("HV-1")
    assert (again.patient_name, again.patient_id) == (NAME, ID)
    assert again.frames == origin.frames
    assert list(again.headers) == list(origin.headers)
    assert kept.load("HV-2") is None
    with pytest.raises(StorageError, match="key") as refused:
        origins_of(house, b"x" * 32).load("HV-1")
    assert refused.value.code == "origins_key"
    house.storage.write(origin_key("HV-2"), house.storage.read(origin_key("HV-1")))
    with pytest.raises(StorageError, match="key"):
        kept.load("HV-2")
    kept.delete("HV-1")
    assert kept.load("HV-1") is None


def test_a_case_keeps_the_study_without_the_patient_and_a_pseudonym(house):
    cases = cases_of(house)
    case = cases.add(analysis(source_of("axial")), "t1")
    assert cases.origin(case.id).patient_name == NAME
    assert cases.get(case.id).report["study"] == ABOUT
    assert case.patient.startswith("P-")
    assert cases.get(case.id).patient == case.patient
    record = house.inner.read(record_key(case.id)).decode()
    assert json.loads(record)["patient"] == case.patient
    stored = {key: house.inner.read(key) for key in house.inner.keys("origins")}
    assert list(stored) == [origin_key(case.id)]
    for secret in (*NAME.split("^"), ID, BORN, "1950-02-03", "A1", "1.2.3.4"):
        assert secret.encode() not in b"".join(stored.values())
        assert secret not in record or secret == "A1"  # it is a part of other words
    assert cases_of(house).get(case.id).report["study"] == ABOUT


def test_two_scans_of_one_person_are_one_patient(house):
    kept, one = origins_of(house), source_of("axial")
    same = kept.pseudonym(one)
    assert same == kept.pseudonym(source_of("sagittal"))
    for spelled in ("MULLER^ANNE", "Müller^Änne^Maria^Dr.", "mu\u0308ller^a\u0308nne"):
        assert kept.pseudonym(changed(one, PatientName=spelled)) == same
    others = [
        changed(one, PatientID="PID-78"), changed(one, IssuerOfPatientID="Elsewhere"),
        changed(one, PatientName="Other^Person"),
    ]  # fmt: skip
    assert len({same, *map(kept.pseudonym, others)}) == 4
    assert kept.pseudonym(changed(one, PatientBirthDate="19500204")) != same
    assert kept.pseudonym(changed(one, PatientName="", PatientBirthDate="")) != ""
    for nobody in ("", "0", "ANON", "Anonymous^", "anonymized^patient", "No Name"):
        assert kept.pseudonym(changed(one, PatientID=nobody, PatientName=nobody)) == ""
    assert origins_of(house, b"y" * 32).pseudonym(one) != same


def test_an_id_of_many_xs_is_told_at_once():
    who = f"from core.cases.origins import _is_nobody as is_; assert not is_('{'x' * 1000}!')"
    subprocess.run([sys.executable, "-c", who], check=True, timeout=30)


def test_nobody_is_told_by_a_date_of_birth_alone(house):
    kept, one = origins_of(house), changed(source_of("axial"), PatientID="")
    assert kept.pseudonym(one) != ""
    for name in ("=\u5c71\u7530^\u592a\u90ce", "?^?", "***"):  # no letters that are compared
        assert kept.pseudonym(changed(one, PatientName=name)) == ""


@pytest.mark.parametrize(
    "made_up", ["1", "0042", "00001", "0000012", "ANON01", "Subject 3", "pat-2", "123456", "X9"]
)
def test_an_id_that_is_made_up_again_and_again_makes_no_two_people_one(house, made_up):
    kept, one = origins_of(house), changed(source_of("axial"), PatientID=made_up)
    people = [
        changed(one, PatientName=name, PatientBirthDate=born)
        for name in (NAME, "Other^Person", made_up) for born in ("19500203", "19610204")
    ]  # fmt: skip
    assert len({"", *map(kept.pseudonym, people)}) == 7
    assert kept.pseudonym(people[0]) == kept.pseudonym(changed(one, PatientBirthDate="19500203"))
    for born in ("", "unknown", "19500101"):  # nobody can say whether these are one person
        assert kept.pseudonym(changed(one, PatientName=made_up, PatientBirthDate=born)) == ""
        assert kept.pseudonym(changed(one, PatientBirthDate=born)) == ""


def test_a_patient_keeps_the_pseudonym_of_an_earlier_version_and_shares_it_with_nobody(house):
    cases, kept, one = cases_of(house), origins_of(house), source_of("axial")
    earlier = kept.earlier_pseudonym(one)
    cases.add(analysis(one), "first", earlier)
    assert cases.add(analysis(one, 2), "later").patient == earlier
    other = changed(one, PatientBirthDate="19610204")
    assert kept.earlier_pseudonym(other) == earlier
    theirs = {cases.add(analysis(other, number), "x").patient for number in (3, 4)}
    assert theirs == {kept.pseudonym(other)}
    assert cases.add(analysis(one, 5), "again").patient == earlier


def test_a_patient_that_was_chosen_stays_and_a_name_is_not_taken_over(house):
    cases = cases_of(house)
    case = cases.add(analysis(source_of("axial")), "Mueller_PID-77.zip", "QX-1")
    assert (case.patient, case.name) == ("QX-1", case.id)
    assert cases.add(analysis(source_of("axial"), 2), "follow-up.zip").name == "follow-up.zip"


def test_it_goes_with_its_case_for_good_and_stays_while_that_can_be_restored(house):
    cases = cases_of(house)
    first, second = (cases.add(analysis(source_of("axial"), n), "x").id for n in (1, 2))
    cases.delete(first)
    cases.purge_expired()
    assert house.inner.keys("origins") == sorted([origin_key(first), origin_key(second)])
    house.clock.now += timedelta(days=TRASH_DAYS + 1)
    cases.purge_expired()
    assert house.inner.keys("origins") == [origin_key(second)]


@pytest.mark.parametrize("part", ["origins/", "record.json"])
def test_a_case_that_could_not_be_kept_leaves_no_origin(house, part):
    cases = cases_of(house)
    house.failing = lambda call, key, when: call == "replace" and part in key and when == "before"
    with pytest.raises(StorageError):
        cases.add(analysis(source_of("axial")), "x")
    assert house.inner.keys("origins") == house.inner.keys("cases") == []


def test_one_that_a_killed_process_left_behind_goes_after_a_day(house, monkeypatch):
    cases = cases_of(house)
    case = cases.add(analysis(source_of("axial")), "x")
    origins_of(house).save("HV-GONE", source_of("axial"))
    cases.purge_expired()
    assert len(house.inner.keys("origins")) == 2
    old = house.inner.ages_s
    monkeypatch.setattr(house.inner, "ages_s", lambda prefix: dict.fromkeys(old(prefix), 1000000.0))
    cases.purge_expired()
    assert house.inner.keys("origins") == [origin_key(case.id)]


def test_the_key_is_of_the_settings_or_of_a_file_for_the_servers_user_alone(tmp_path):
    given = Settings(data_dir=tmp_path, origins_key="s" * 32)
    assert installation_key(given) == b"s" * 32
    assert not list(tmp_path.iterdir())
    own = Settings(data_dir=tmp_path)
    key = installation_key(own)
    assert len(key) == 64
    assert installation_key(own) == key
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert "s" * 32 not in repr(given)
    (tmp_path / KEY_FILE).write_bytes(b"")
    with pytest.raises(StorageError, match="damaged"):
        installation_key(own)
    with pytest.raises(SettingsError) as refused:
        Settings(origins_key="a short one")
    assert "a short one" not in str(refused.value)
