"""Registering a version: nobody waits, no number is taken twice, nothing half-made is left."""

import json

import pytest
from sqlalchemy import select

from core.errors import ChangedError, ConflictError, StorageError
from core.state.database import reading
from core.state.storage import LocalStorage
from core.state.tables import REGISTRATIONS
from tests.ends import Steps, die, fail, in_child
from tests.faulty import FaultyStorage
from tests.places import Place, nothing, steps_of
from tests.tiny_models import add, tiny_registry


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "var")


def test_a_registration_that_fails_at_any_step_removes_what_it_wrote(place):
    count = steps_of(place, lambda: add(place.registry, "counted"))
    known = [v.number for v in place.registry.find()]
    for step in range(1, count + 1):
        place.storage.hook = Steps(step, fail)
        try:
            add(place.registry, f"failed at {step}")
        except StorageError:
            assert [v.number for v in place.registry.find()] == known
        else:  # it was said to have failed, and looked at again: it had not
            known = [v.number for v in place.registry.find()]
        place.storage.hook = nothing
        place.start_again()
        assert sorted(place.storage.folders("models")) == sorted([*map(str, known), "service"])
        with reading(place.registry._engine) as connection:
            assert connection.execute(select(REGISTRATIONS)).all() == []


def test_a_registration_killed_at_any_step_is_finished_or_removed(place):
    status, step = -9, 0
    while status == -9:
        step += 1
        before = {v.number for v in place.registry.find()}

        def work(step=step):
            storage = FaultyStorage(LocalStorage(place.folder / "storage"), Steps(step, die))
            add(tiny_registry(place.folder, storage), f"killed at {step}")

        status = in_child(work)
        place.start_again()
        after = {v.number for v in place.registry.find()}
        tags = [v.lineage.get("tag") for v in place.registry.find()]
        assert len(after - before) <= 1
        assert tags.count(f"killed at {step}") == len(after - before)
        for number in after:
            with place.registry.open(number):
                pass
        folders = {int(n) for n in place.storage.folders("models") if n.isdecimal()}
        assert folders == after
    assert status == 0
    assert f"killed at {step}" in tags
    place.start_again(lost=True)
    assert {v.number for v in place.registry.find()} == after


def test_a_number_whose_folder_is_in_the_storage_is_not_taken_again(place, tmp_path):
    place.storage.write("models/4/weights.safetensors", b"of a server with another database")
    assert add(place.registry, "next").number == 5
    assert (
        place.storage.read("models/4/weights.safetensors") == b"of a server with another database"
    )

    def meanwhile(call, key, when):
        if call == "folders" and when == "after":
            place.storage.inner.replace("models/6/taken.json", b"{}", None)

    place.storage.hook = meanwhile
    assert add(place.registry, "after").number == 7
    assert place.storage.read("models/6/taken.json") == b"{}"


def test_reads_go_on_while_a_version_is_uploaded(place):
    looked = []

    def meanwhile(call, key, when):
        if call == "write":
            looked.append([v.number for v in place.registry.find()])
            with place.registry._engine.begin():  # nor is a writer kept waiting
                pass

    place.storage.hook = meanwhile
    add(place.registry, "slow")
    assert looked
    assert all(numbers == [3, 2, 1] for numbers in looked)


def test_a_record_that_could_not_be_written_is_written_at_the_next_start(place):
    place.storage.hook = lambda call, key, when: fail() if call == "write" else None
    with pytest.raises(StorageError):
        place.registry.add_evaluation(2, "key", {"dice": 1})
    place.start_again()
    place.start_again(lost=True)
    assert place.registry.get(2).evaluations == {"key": {"dice": 1}}


def test_of_two_processes_that_write_a_record_the_newer_one_stays(place):
    other = tiny_registry(place.folder, place.storage.inner)

    def meanwhile(call, key, when):
        if call == "write" and when == "before":
            place.storage.hook = nothing
            other.add_evaluation(2, "newer", {"dice": 2})

    place.storage.hook = meanwhile
    place.registry.add_evaluation(2, "older", {"dice": 1})
    record = json.loads(place.storage.read("models/2/version.json"))
    assert json.loads(record["metrics"]) == {"older": {"dice": 1}, "newer": {"dice": 2}}
    place.start_again(lost=True)
    assert place.registry.get(2).evaluations.keys() == {"older", "newer"}


def test_a_jobs_version_is_known_by_the_jobs_name_alone(place):
    number = add(place.registry, "made", job=1, job_uid="a" * 32).number
    place.start_again(lost=True)
    assert place.registry.made_by("a" * 32).number == number
    assert place.registry.made_by("1") is None


def test_a_damaged_record_is_left_out_and_left_alone(place):
    place.storage.write("models/3/version.json", b"{")
    place.start_again(lost=True)
    assert [v.number for v in place.registry.find()] == [2, 1]
    assert place.storage.read("models/3/weights.safetensors") == b"third"
    assert add(place.registry, "next").number == 4


def begun(place, job_uid="a" * 32, check=lambda: None):
    """A training's registration by another process, which `check` may interrupt."""
    other = tiny_registry(place.folder, place.storage.inner)
    return lambda: add(other, "late", {}, check, job=1, job_uid=job_uid)


def test_a_version_that_another_start_was_about_to_write_is_taken_or_never_comes(place):
    seen = []

    def taken_over():  # between what it says and what it writes
        seen.append(place.registry.made_by("a" * 32))

    with pytest.raises(ChangedError):
        begun(place, check=taken_over)()
    assert seen == [None]
    assert [v.number for v in place.registry.find()] == [3, 2, 1]
    assert place.registry.made_by("a" * 32) is None
    version = begun(place)()
    assert place.registry.made_by("a" * 32).number == version.number


def test_a_start_that_lost_its_training_writes_no_version(place):
    def lost():
        raise ConflictError("The job was given to another process")

    with pytest.raises(ConflictError):
        begun(place, check=lost)()
    place.start_again()
    assert [v.number for v in place.registry.find()] == [3, 2, 1]
    with reading(place.registry._engine) as connection:
        assert connection.execute(select(REGISTRATIONS)).all() == []


def test_a_version_whose_row_another_machine_did_not_write_is_taken_over(place):
    """Killed after its record, on a machine whose processes nobody here can see."""

    def work():
        registry = tiny_registry(place.folder)
        registry._insert = lambda number, record: die()
        add(registry, "far", {}, lambda: None, job_uid="b" * 32)

    assert in_child(work) == -9
    with place.registry._engine.begin() as connection:
        connection.execute(REGISTRATIONS.update().values(host="elsewhere"))
    assert place.registry.made_by("b" * 32).lineage["tag"] == "far"
