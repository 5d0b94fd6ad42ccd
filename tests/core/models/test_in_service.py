"""What serves is the same in the storage, the database and the process, whatever comes between."""

import json
from contextlib import contextmanager

import pytest
from sqlalchemy import event, select

from core import limits
from core.errors import ConflictError, HippoViewError, StorageError
from core.models.registry import Registry
from core.models.service_log import UNKNOWN, Note, ServiceLog
from core.state.database import connect, reading
from core.state.storage import LocalStorage
from core.state.tables import VERSIONS
from tests.ends import Steps, die, fail, in_child
from tests.faulty import FaultyStorage
from tests.older import older_database
from tests.places import Place, nothing, steps_of
from tests.tiny_models import TinyPredictors, add, embedded, lose_database, tiny_registry


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "var")


ACTS = [("promote", 2), ("roll_back", 1)]
NOTE = Note("mara", "it is to be tried", ("failed: Dice",))


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
            getattr(tiny_registry(folder, storage), action)(number, NOTE)

        status = in_child(work)
        place.start_again()
        truth = place.truth()
        assert truth.agrees
        assert status == -9 or truth.stored[-1] == number
        assert ServiceLog(place.storage).read()[1] == place.registry.history()[::-1]
        assert (place.registry.history()[0].note == NOTE) == (truth.stored[-1] == number)
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


@contextmanager
def unreadable(storage, number):
    """For a moment, the record of a version says nothing."""
    key = f"models/{number}/version.json"
    whole = storage.read(key)
    storage.write(key, b"{")
    yield
    storage.write(key, whole)


def stored(storage):
    return [entry.number for entry in ServiceLog(storage).read()[1]]


def test_another_servers_version_that_cannot_be_read_keeps_its_place_in_the_list(place, tmp_path):
    other = tiny_registry(tmp_path / "other", place.storage.inner)
    other.prepare()
    fourth = add(other, "fourth").number
    other.promote(fourth)
    with unreadable(place.storage.inner, fourth):
        place.act("promote", 2)
        place.act("promote", 3)
        assert place.registry.previous() == 2
        place.act("roll_back", 2)
        place.start_again()
        assert place.truth().served == "2"
    assert stored(place.storage) == [1, fourth, 2, 3, 2]
    place.start_again()
    assert place.truth().agrees
    assert place.registry.previous() == fourth
    place.act("roll_back", fourth)
    other.settle()
    other.prepare()
    assert other.serving().number == fourth


def test_a_start_that_can_read_none_of_the_versions_in_service_changes_nothing_for_others(
    place, tmp_path
):
    place.act("promote", 2)
    with unreadable(place.storage.inner, 1), unreadable(place.storage.inner, 2):
        place.start_again(lost=True)
        assert place.truth().served == "4"  # the program's own model, as it knows no other
        assert stored(place.storage) == [1, 2]
        place.act("promote", 3)
    assert stored(place.storage) == [1, 2, 3]
    place.start_again()
    assert place.truth().agrees
    assert place.registry.previous() == 2


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


def test_a_promotion_killed_before_the_database_is_followed_by_the_server_that_runs(place):
    """The command line's process ends between the two; nobody starts the server again."""

    def promote():
        def hook(call, key, when):
            if (call, when) == ("replace", "after"):
                die()

        tiny_registry(place.folder, FaultyStorage(place.storage.inner, hook)).promote(3, NOTE)

    seconds = [0.0]
    place.registry = Registry(
        connect(place.folder), place.storage, embedded(place.folder.parent / "embedded"),
        lambda: seconds[0],
    )  # fmt: skip
    assert in_child(promote) == -9
    looks = []
    place.storage.hook = lambda call, key, when: looks.append(call)
    place.follow()
    assert looks == []  # not every tick asks the storage
    assert place.truth().served == "1"
    seconds[0] += limits.SERVICE_LOOK_EVERY_S
    place.follow()
    assert place.truth().agrees
    assert place.truth().served == "3"
    assert place.registry.history()[0].note == NOTE


def test_a_start_that_failed_is_tried_again(place):
    place.storage.hook = lambda call, key, when: fail()
    broken = TinyPredictors(place.registry)
    broken.load(before=place.registry.prepare)
    assert broken.failure is not None
    place.storage.hook = nothing
    assert broken.follow(lambda: place.registry.serving().number, place.registry.open)
    broken.check()
    assert broken.serving.model.version == "1"


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
    assert {entry.note for entry in place.registry.history()} == {UNKNOWN}
    for number in (1, 2, 3):
        record = json.loads(place.storage.read(f"models/{number}/version.json"))
        assert "stage" not in record
    place.start_again(lost=True)
    assert place.truth() == truth


def test_the_newest_list_that_can_be_read_counts(place):
    place.act("promote", 2)
    newest, history = ServiceLog(place.storage).read()
    odd = json.dumps({"history": [{"at": "", "number": "3", "action": "promoted"}]}).encode()
    for number, content in enumerate((b"cut of", odd), newest + 1):
        place.storage.write(f"models/service/{number:06}.json", content)
    place.start_again(lost=True)
    assert place.truth().served == "2"
    place.act("promote", 3)
    assert [e.number for e in history] + [3] == place.truth().stored


@pytest.mark.parametrize(
    ("field", "value"),
    [("metrics", "no JSON"), ("card", "[]"), ("lineage", 5), ("sha256", None), ("number", "2")],
)
def test_a_versions_record_of_another_kind_is_left_out_and_keeps_no_other(field, value, place):
    key = "models/2/version.json"
    record = json.loads(place.storage.read(key))
    place.storage.write(key, json.dumps(record | {field: value}).encode())
    place.start_again(lost=True)
    assert [version.number for version in place.registry.find()] == [3, 1]
    place.storage.write(key, json.dumps(record).encode())
    place.start_again()
    assert [version.number for version in place.registry.find()] == [3, 2, 1]


def test_it_fails_in_words_only(place):
    for act in (lambda: place.act("promote", 99), lambda: place.act("roll_back", 2)):
        with pytest.raises(HippoViewError):
            act()
