"""What serves is the same in the storage, the database and the process, whatever comes between."""

import atexit
import json
import shutil
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import event, select

from core.database import REGISTRATIONS, VERSIONS, connect, reading
from core.errors import ConflictError, HippoViewError, StorageError
from core.registry import Registry
from core.service_log import ServiceLog
from core.storage import LocalStorage
from tests.ends import Steps, die, fail, in_child
from tests.faulty import FaultyStorage
from tests.older import older_database
from tests.tiny_models import (
    TinyPredictors,
    add,
    copied,
    embedded,
    lose_database,
    tiny_registry,
    truth_of,
)


def nothing(call, key, when):
    """The storage does as it is told."""


class Place:
    """An installation with three versions, of which the first serves."""

    def __init__(self, folder, action="promote"):
        self.folder = folder
        copied(made(action), folder)
        self.start_again()

    def act(self, action, number):
        change = partial(getattr(self.registry, action), number)
        self.predictors.swap(partial(self.registry.open, number), change)

    def follow(self):
        self.registry.settle()
        self.predictors.follow(lambda: self.registry.serving().number, self.registry.open)

    def truth(self):
        return truth_of(self.registry, self.predictors, self.storage)

    def start_again(self, *, lost=False):
        """As after a kill; ``lost``: the disk is new, the bucket is not."""
        if lost:
            lose_database(self.folder)
        self.storage = FaultyStorage(LocalStorage(self.folder / "storage"), nothing)
        self.registry = tiny_registry(self.folder, self.storage)
        self.predictors = TinyPredictors(self.registry)
        self.predictors.load(before=self.registry.prepare)
        self.predictors.check()


@cache
def made(action):
    """The data folder of an installation in which this can be done; to be copied only."""
    folder = Path(mkdtemp(prefix="hippoview-test-")) / "var"
    atexit.register(shutil.rmtree, folder.parent)
    registry = tiny_registry(folder)
    registry.prepare()
    for tag in ("second", "third"):
        add(registry, tag)
    if action == "roll_back":
        registry.promote(2)
    registry._engine.dispose()
    return folder


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "var")


ACTS = [("promote", 2), ("roll_back", 1)]


def steps_of(place, work):
    """How many steps a piece of work takes of the storage."""
    counted = Steps(0, fail)
    place.storage.hook = counted
    work()
    return counted.count


@pytest.mark.parametrize(("action", "number"), ACTS)
def test_a_storage_that_fails_at_any_step_leaves_all_three_the_same(action, number, tmp_path):
    first = Place(tmp_path / "counted" / "var", action)
    count = steps_of(first, lambda: first.act(action, number))
    assert count > 4
    for step in range(1, count + 1):
        place = Place(tmp_path / str(step) / "var", action)
        before = place.truth()
        place.storage.hook = Steps(step, fail)
        told = True
        try:
            place.act(action, number)
        except StorageError:
            told = False
        place.follow()
        after = place.truth()
        assert after.agrees, step
        assert after.stored == [*before.stored, number] if told else after.stored == before.stored
        for lost in (False, True):
            place.start_again(lost=lost)
            assert place.truth() == after
        assert len({v.number for v in place.registry.find() if v.stage == "serving"}) == 1


@pytest.mark.parametrize(("action", "number"), ACTS)
def test_a_process_killed_at_any_step_leaves_one_version_in_service(action, number, tmp_path):
    step, status = 0, -9
    while status == -9:
        step += 1
        folder = tmp_path / str(step) / "var"
        place = Place(folder, action)

        def work(folder=folder, step=step):
            storage = FaultyStorage(LocalStorage(folder / "storage"), Steps(step, die))
            getattr(tiny_registry(folder, storage), action)(number)

        status = in_child(work)
        place.start_again()
        truth = place.truth()
        assert truth.agrees
        assert status == -9 or truth.stored[-1] == number
        place.start_again(lost=True)
        assert place.truth() == truth
    assert status == 0
    assert step > 4


def test_a_storage_that_does_not_even_say_whether_it_wrote_is_asked_until_it_does(place):
    def hook(call, key, when):
        if key.startswith("models/service") and (broken or (call == "replace" and when == "after")):
            broken.append(key)
            fail()

    broken = []
    place.storage.hook = hook
    with pytest.raises(StorageError):
        place.act("promote", 2)
    with pytest.raises(StorageError):
        place.follow()  # it still does not
    assert place.predictors.serving.model.version == "1"
    place.storage.hook = nothing
    place.follow()
    assert place.truth().agrees
    assert place.truth().served == "2"


def test_a_full_disk_of_the_database_delays_a_promotion_and_the_words_say_so(place):
    def full(connection):
        raise StorageError("The disk of the database is full")

    def hook(call, key, when):
        if call == "replace" and when == "after":
            event.listen(place.registry._engine, "begin", full)

    place.storage.hook = hook
    with pytest.raises(StorageError, match=r"a little later.*full"):
        place.act("promote", 2)
    assert place.predictors.serving.model.version == "1"
    event.remove(place.registry._engine, "begin", full)
    place.follow()
    assert place.truth().agrees
    assert place.truth().served == "2"


def test_of_two_servers_of_one_bucket_that_promote_at_once_one_is_told(place, tmp_path):
    other = Registry(
        connect(tmp_path / "other"), place.storage.inner, embedded(tmp_path / "embedded")
    )
    other.prepare()
    assert [v.number for v in other.find()] == [3, 2, 1]

    def meanwhile(call, key, when):
        if call == "replace":
            place.storage.hook = nothing
            other.promote(3)

    place.storage.hook = meanwhile
    with pytest.raises(ConflictError):
        place.act("promote", 2)
    place.follow()
    assert place.truth().agrees
    assert place.truth().served == "3"
    place.act("promote", 2)
    other.promote(1)  # it hears of the other's promotions first
    assert other.previous() == 2


@pytest.mark.parametrize("database", ["one database", "two databases"])
def test_two_processes_that_start_at_once_on_nothing_agree(database, tmp_path):
    storage = LocalStorage(tmp_path / "bucket")
    folders = [tmp_path / "one", tmp_path / ("one" if database == "one database" else "two")]
    other = tiny_registry(folders[1], storage)

    def meanwhile(call, key, when):
        if call == "replace" and key.startswith("models/service"):
            hooked.hook = nothing
            other.prepare()

    hooked = FaultyStorage(storage, meanwhile)
    one = tiny_registry(folders[0], hooked)
    one.prepare()
    other.prepare()
    assert one.serving().number == other.serving().number
    assert one.history() == other.history()
    second = add(other, "second").number
    other.promote(second)
    one.promote(add(one, "third").number)
    assert one.previous() == second
    other.prepare()
    assert one.history() == other.history()


def test_a_version_promoted_by_another_process_is_taken_over(place):
    tiny_registry(place.folder, place.storage).promote(3)  # as the command line does
    assert place.predictors.serving.model.version == "1"
    place.follow()
    assert place.truth().agrees
    assert place.truth().served == "3"


def test_a_start_that_failed_is_tried_again(place):
    place.storage.hook = lambda call, key, when: fail()
    broken = TinyPredictors(place.registry)
    broken.load(before=place.registry.prepare)
    assert broken.failure is not None
    place.storage.hook = nothing
    assert broken.follow(lambda: place.registry.serving().number, place.registry.open)
    broken.check()
    assert broken.serving.model.version == "1"


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


def records(place):
    with reading(place.registry._engine) as connection:
        return [
            {name: value for name, value in row._mapping.items() if name != "record_behind"}
            for row in connection.execute(select(VERSIONS).order_by(VERSIONS.c.number))
        ]


def older(place, stages, promotions, *, database):
    """The installation as the program before left it."""
    kept = records(place)
    lose_database(place.folder)
    place.storage.delete_folder("models/service")
    for record, stage in zip(kept, stages, strict=True):
        old = json.dumps(record | {"stage": stage}).encode()
        place.storage.write(f"models/{record['number']}/version.json", old)
    if not database:
        return
    with older_database(place.folder) as connection:
        for record, stage in zip(kept, stages, strict=True):
            connection.exec_driver_sql(
                "INSERT INTO versions VALUES (:number, :stage, :created_at, :sha256, "
                ":card_sha256, :card, :metrics, :lineage)",
                record | {"stage": stage},
            )
        for number in promotions:
            connection.exec_driver_sql(
                "INSERT INTO promotions (at, number, action) VALUES ('2026-11-01', ?, 'promoted')",
                (number,),
            )


@pytest.mark.parametrize(
    ("stages", "promotions", "database", "serving", "previous"),
    [
        (("retired", "serving", "candidate"), (1, 2), True, 2, 1),
        (("retired", "serving", "candidate"), (), False, 2, 1),
        # Taken in from a bucket by the program before: it lost the history.
        (("retired", "serving", "candidate"), (2,), True, 2, 1),
        # A promotion of 2 that failed halfway, then the disk was lost: none in service, or two.
        (("retired", "candidate", "candidate"), (), False, 1, None),
        (("serving", "retired", "serving"), (), False, 3, 1),
    ],
)
def test_an_installation_of_the_program_before_goes_on(
    stages, promotions, database, serving, previous, place
):
    older(place, stages, promotions, database=database)
    place.start_again()
    truth = place.truth()
    assert truth.agrees
    assert truth.served == str(serving)
    assert place.registry.previous() == previous
    for number in (1, 2, 3):
        record = json.loads(place.storage.read(f"models/{number}/version.json"))
        assert "stage" not in record
    place.start_again(lost=True)
    assert place.truth() == truth


def test_the_newest_list_that_can_be_read_counts(place):
    place.act("promote", 2)
    newest, history = ServiceLog(place.storage).read()
    place.storage.write(f"models/service/{newest + 1:06}.json", b"cut of")
    place.start_again(lost=True)
    assert place.truth().served == "2"
    place.act("promote", 3)
    assert [e.number for e in history] + [3] == place.truth().stored


def test_it_fails_in_words_only(place):
    for act in (lambda: place.act("promote", 99), lambda: place.act("roll_back", 2)):
        with pytest.raises(HippoViewError):
            act()
