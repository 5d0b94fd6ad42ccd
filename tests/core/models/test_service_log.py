"""The storage's list of what served, and what is noted of each entry."""

import json

import pytest

from core.models.service_log import UNKNOWN, Note, Promotion, ServiceLog
from core.state.storage import LocalStorage

OLD = Promotion("2026-11-01T00:00:00.000+00:00", 1, "installed")
NOTED = Promotion(
    "2026-11-02T00:00:00.000+00:00", 2, "promoted", Note("mara (API)", "a trial", ("failed: Dice",))
)
BACK = Promotion("2026-11-03T00:00:00.000+00:00", 1, "rolled back", Note("mara (API)"))
_THREE = ("at", "number", "action")


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def file_of(storage, number):
    return json.loads(storage.read(f"models/service/{number:06}.json"))


def by_the_program_before(storage, number, history):
    """It writes three fields an entry and no notes, and refuses more fields in an entry."""
    entries = [{name: getattr(entry, name) for name in _THREE} for entry in history]
    content = json.dumps({"format": 1, "id": "x", "history": entries}).encode()
    storage.write(f"models/service/{number:06}.json", content)


def test_what_is_written_is_read(storage):
    log = ServiceLog(storage)
    log.write(1, [OLD])
    log.write(2, [OLD, NOTED, BACK])
    assert log.read() == (2, [OLD, NOTED, BACK])


def test_a_list_of_the_program_before_has_no_notes(storage):
    by_the_program_before(storage, 1, [OLD, NOTED])
    newest, history = ServiceLog(storage).read()
    assert (newest, [entry.number for entry in history]) == (1, [1, 2])
    assert {entry.note for entry in history} == {UNKNOWN}


def test_the_program_before_can_read_the_entries(storage):
    ServiceLog(storage).write(1, [OLD, NOTED])
    assert [entry.keys() for entry in file_of(storage, 1)["history"]] == [set(_THREE)] * 2


def test_notes_are_found_again_after_the_program_before_wrote_the_list_on(storage):
    log = ServiceLog(storage)
    log.write(1, [OLD, NOTED])
    later = Promotion("2026-11-04T00:00:00.000+00:00", 3, "promoted")
    by_the_program_before(storage, 2, [OLD, NOTED, later])
    by_the_program_before(storage, 3, [OLD, NOTED, later, BACK])
    newest, history = log.read()
    assert newest == 3
    assert history == [OLD, NOTED, later, Promotion(*(getattr(BACK, name) for name in _THREE))]
    log.write(4, [*history, BACK])
    storage.delete("models/service/000001.json")
    assert log.read()[1][1].note == NOTED.note


def test_a_note_belongs_to_its_own_entry_only(storage):
    log = ServiceLog(storage)
    log.write(1, [OLD, NOTED])
    by_the_program_before(storage, 2, [OLD, Promotion("2026-11-09", 3, "promoted")])
    assert {entry.note for entry in log.read()[1]} == {UNKNOWN}


@pytest.mark.parametrize("notes", ["no", {"1": 5}, {"1": {"by": 5}}, {"x": {}}])
def test_notes_that_cannot_be_read_hide_no_version(notes, storage):
    log = ServiceLog(storage)
    log.write(1, [OLD, NOTED])
    content = json.dumps(file_of(storage, 1) | {"notes": notes}).encode()
    storage.write("models/service/000002.json", content)
    newest, history = log.read()
    assert (newest, [entry.number for entry in history]) == (2, [1, 2])
    assert history[1].note == UNKNOWN
