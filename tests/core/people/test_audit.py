"""The trail: lines with their acts or not at all, one chain, and every tampering found."""

import os
import random
from contextlib import suppress

import pytest
from sqlalchemy import select

from core.errors import StorageError
from core.people import audit, audit_archive
from core.people.acting import Actor, acting_as
from core.people.audit import lines, mark, record, record_alone, recording, trail_of
from core.people.audit_archive import FOLDER, Archive
from core.people.audit_checkpoint import CheckpointFile
from core.people.audit_verify import faults_here, verify
from core.settings import Settings
from core.state.database import DATABASE_NAME, connect, reading
from core.state.storage import LocalStorage
from core.state.tables import CHOICES, TRAIL
from tests.ends import in_child

READER = Actor("u1", "Rita Reader", "reader", address="10.0.0.7")


@pytest.fixture
def engine(tmp_path):
    opened = connect(tmp_path / "data")
    yield opened
    opened.dispose()


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "storage")


def fill(engine, count):
    with recording(engine) as connection:
        for number in range(count):
            record(connection, "review", mark(engine, "case", f"HV-{number}"), note="accepted")


def test_a_line_says_who_when_from_where_and_what(engine):
    with acting_as(READER):
        record_alone(engine, "review", "case 1", before="a", after="b", note="accepted")
    line = lines(engine)[0]
    assert (line.number, line.act, line.what) == (2, "review", "case 1")
    assert (line.who, line.name, line.role, line.address) == (
        "u1",
        "Rita Reader",
        "reader",
        "10.0.0.7",
    )
    assert (line.before, line.after, line.note) == ("a", "b", "accepted")
    assert line.at.endswith("+00:00")


def test_an_act_and_its_line_are_committed_together_or_neither(engine):
    with recording(engine) as connection:
        connection.execute(CHOICES.insert().values(name="one", content="{}"))
        record(connection, "settings")
    with suppress(ZeroDivisionError), recording(engine) as connection:
        connection.execute(CHOICES.insert().values(name="two", content="{}"))
        record(connection, "settings")
        raise ZeroDivisionError
    with pytest.raises(RuntimeError), recording(engine) as connection:
        connection.execute(CHOICES.insert().values(name="three", content="{}"))
    with reading(engine) as connection:
        assert connection.scalars(select(CHOICES.c.name)).all() == ["one"]
    assert [line.act for line in lines(engine)] == ["settings", "begin"]


def test_no_line_can_be_written_outside_of_a_recording_or_of_an_unknown_act(engine):
    with engine.begin() as connection, pytest.raises(KeyError):
        record(connection, "settings")
    with pytest.raises(ValueError, match="no act"):
        record_alone(engine, "gossip")
    assert lines(engine) == []


def test_the_database_itself_refuses_to_change_or_remove_a_line(engine):
    fill(engine, 3)
    for statement in (TRAIL.delete(), TRAIL.update().values(name="somebody else")):
        with pytest.raises(Exception, match="the trail"), engine.begin() as connection:
            connection.execute(statement)


def test_a_mark_tells_nothing_without_the_key_and_is_found_with_it(engine, tmp_path):
    fill(engine, 3)
    other = connect(tmp_path / "other")
    assert mark(engine, "case", "HV-1") == mark(engine, "case", "HV-1")
    assert mark(engine, "case", "HV-1") != mark(other, "case", "HV-1")
    assert "HV-1" not in mark(engine, "case", "HV-1")
    assert [line.number for line in lines(engine, what=mark(engine, "case", "HV-1"))] == [3]
    other.dispose()


def test_two_processes_that_write_at_once_keep_one_chain(tmp_path, storage):
    connect(tmp_path / "data").dispose()

    def write():
        own = connect(tmp_path / "data")
        for _ in range(20):
            record_alone(own, "view", "case 1")

    first = os.fork()
    if first == 0:
        try:
            write()
        finally:
            os._exit(0)
    assert in_child(write) == 0
    os.waitpid(first, 0)
    engine = connect(tmp_path / "data")
    found = verify(engine, storage)
    assert (found.lines, found.faults) == (41, [])
    assert trail_of(engine).checkpoint.read().number == 41
    engine.dispose()


def test_a_line_that_another_process_writes_meanwhile_is_no_fault(tmp_path, storage, monkeypatch):
    engine, server = connect(tmp_path / "data"), connect(tmp_path / "data")
    fill(server, 3)
    read = CheckpointFile.read

    def read_late(file):
        monkeypatch.setattr(CheckpointFile, "read", read)
        record_alone(server, "view", "case 1")
        return read(file)

    monkeypatch.setattr(CheckpointFile, "read", read_late)
    assert verify(engine, storage).faults == []
    monkeypatch.setattr(CheckpointFile, "read", read_late)
    Archive(engine, storage).open()
    assert [line.act for line in lines(engine)].count("begin") == 1
    engine.dispose()
    server.dispose()


# Each takes the rows, as lists in their order, and a source of chance; returns the rows after it.
def _change(rows, chance):
    row, column = chance.choice(rows), chance.randrange(1, len(audit.COLUMNS))
    row[column] = str(row[column])[:-1] + "~"
    return rows


def _change_and_mend_itself(rows, chance):
    place = chance.randrange(len(rows))
    rows[place][5] += "x"
    before = rows[place - 1][-1] if place else ""
    rows[place][-1] = audit.chained(before, rows[place][:-1])
    return rows


def _change_and_mend_all(rows, chance):
    place = chance.randrange(len(rows))
    rows[place][chance.choice((3, 4, 5, 7, 10))] += "x"
    return _mended(rows)


def _remove(rows, chance):
    del rows[chance.randrange(len(rows))]
    return rows


def _remove_and_number_anew(rows, chance):
    del rows[chance.randrange(len(rows))]
    return _mended(rows)


def _cut(rows, chance):
    return rows[: chance.randrange(len(rows))]


def _swap(rows, chance):
    one, other = chance.sample(range(len(rows)), 2)
    rows[one][1:], rows[other][1:] = rows[other][1:], rows[one][1:]
    return rows


def _move(rows, chance):
    one, other = chance.sample(range(len(rows)), 2)
    rows.insert(other, rows.pop(one))
    return _mended(rows)


def _insert(rows, chance):
    place = chance.randrange(1, len(rows))
    rows.insert(place, [*chance.choice(rows)])
    rows[place][2] = "view"
    return _mended(rows)


def _mended(rows):
    chain = ""
    for number, row in enumerate(rows, 1):
        row[0] = number
        row[-1] = chain = audit.chained(chain, row[:-1])
    return rows


TAMPERINGS = (
    _change, _change_and_mend_itself, _change_and_mend_all, _remove, _remove_and_number_anew,
    _cut, _swap, _move, _insert,
)  # fmt: skip


def drop_triggers(connection):
    """As somebody does who owns the database."""
    on = " ON trail" if connection.dialect.name == "postgresql" else ""
    for name in ("trail_keeps_its_lines", "trail_changes_no_line"):
        connection.exec_driver_sql(f"DROP TRIGGER {name}{on}")


def test_a_thousand_random_tamperings_are_all_found(engine, storage):
    fill(engine, 9)
    with engine.begin() as connection:
        drop_triggers(connection)
    with reading(engine) as connection:
        kept = [list(row) for row in connection.execute(select(TRAIL))]
    assert verify(engine, storage).faults == []
    missed, checkpoint = [], trail_of(engine).checkpoint
    with engine.begin() as connection:
        for seed in range(1000):
            chance = random.Random(seed)  # noqa: S311 - no secret
            tampering = TAMPERINGS[seed % len(TAMPERINGS)]
            undone = connection.begin_nested()
            rows = tampering([list(row) for row in kept], chance)
            assert rows != kept
            _replace(connection, rows)
            if not faults_here(connection, checkpoint):
                missed.append((seed, tampering.__name__))
            undone.rollback()
        assert missed == []
        assert faults_here(connection, checkpoint) == []


def _replace(connection, rows):
    connection.execute(TRAIL.delete())
    if rows:
        values = [dict(zip(audit.COLUMNS, row, strict=True)) for row in rows]
        connection.execute(TRAIL.insert(), values)


def _put(engine, rows):
    with engine.begin() as connection:
        _replace(connection, rows)


def test_a_trail_written_anew_is_found_also_after_more_acts(engine, storage):
    Archive(engine, storage).open()
    fill(engine, 10)
    archive = Archive(engine, storage)
    archive.copy()
    with engine.begin() as connection:
        drop_triggers(connection)
        rows = [list(row) for row in connection.execute(select(TRAIL))]
    rows[4][5] = "somebody else"
    _put(engine, _mended(rows))
    fill(engine, 5)  # the checkpoint does not follow
    assert any("written anew" in fault for fault in verify(engine, storage).faults)
    with pytest.raises(StorageError, match="not the one that was copied"):
        archive.copy()
    Archive(engine, storage).open()  # a start says so for ever, and goes on
    fill(engine, 5)
    Archive(engine, storage).copy()
    found = verify(engine, storage)
    assert found.faults
    assert any("differs from the checkpoint" in note for note in found.notes)


def test_a_checkpoint_that_somebody_else_wrote_is_found(engine, storage):
    fill(engine, 5)
    path = trail_of(engine).checkpoint.path
    signed = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(signed.replace(b'"number": 6', b'"number": 5'))
    assert "not signed" in verify(engine, storage).faults[0]
    path.write_bytes(b"{}")
    assert "damaged" in verify(engine, storage).faults[0]
    path.unlink()
    assert verify(engine, storage).faults == ["There is no checkpoint"]
    path.write_bytes(signed)
    assert verify(engine, storage).faults == []


def test_a_copy_in_the_storage_that_was_changed_or_shortened_is_found(engine, storage):
    Archive(engine, storage).open()
    fill(engine, 5)
    Archive(engine, storage).copy()
    [key] = storage.keys(FOLDER)
    content = storage.read(key)
    storage.write(key, content.replace(b"accepted", b"rejected"))
    assert any("not signed" in fault for fault in verify(engine, storage).faults)
    storage.write(key, b"[]")
    assert any("damaged" in fault for fault in verify(engine, storage).faults)
    storage.write(key, content)
    assert verify(engine, storage).faults == []


def test_a_long_trail_is_copied_in_parts_and_each_copy_costs_one_write(
    engine, storage, monkeypatch
):
    monkeypatch.setattr(audit_archive, "_AT_ONCE", 5)
    archive = Archive(engine, storage)
    archive.open()
    fill(engine, 10)
    archive.copy()
    assert [key[-14:] for key in storage.keys(FOLDER)] == [
        "000000001.json", "000000006.json", "000000011.json",
    ]  # fmt: skip
    written = []
    storage.write = lambda key, data: written.append(key)
    fill(engine, 1)
    archive.copy()
    archive.copy()
    assert [key[-14:] for key in written] == ["000000011.json"]


@pytest.mark.sqlite
def test_a_lost_database_begins_another_trail_and_says_so(tmp_path, storage):
    settings = Settings(data_dir=tmp_path / "data", audit_key="k" * 32)
    engine = connect(settings.data_dir)
    audit.set_up(engine, settings)
    Archive(engine, storage).open()
    assert list(settings.data_dir.glob("*.ended-*")) == []  # none has ended yet
    fill(engine, 8)
    Archive(engine, storage).copy()
    before = lines(engine)
    fill(engine, 2)  # not copied any more
    engine.dispose()
    for path in settings.data_dir.glob(f"{DATABASE_NAME}*"):
        path.unlink()
    engine = connect(settings.data_dir)
    audit.set_up(engine, settings)
    archive = Archive(engine, storage)
    archive.open()
    archive.open()  # a second start adds nothing
    assert len(list(settings.data_dir.glob("*.ended-*"))) == 1
    fill(engine, 1)
    archive.copy()
    first = lines(engine)[-1]
    assert first.number == 1
    assert "the database of before is gone" in first.note
    assert "with 9 lines" in first.note
    assert "as of line 11" in first.note
    found = verify(engine, storage)
    assert found.lines == 2
    assert [fault.partition(" ")[2][17:] for fault in found.faults] == [
        "had 11 lines; 9 of them are in the storage"
    ]
    kept = next(name for name in archive.trails() if len(archive.lines_of(name)) == 9)
    assert archive.lines_of(kept) == before[::-1]
    engine.dispose()


def test_a_database_from_a_backup_is_said_to_end_early(tmp_path, storage):
    settings = Settings(data_dir=tmp_path / "data", audit_key="k" * 32)
    engine = connect(settings.data_dir)
    audit.set_up(engine, settings)
    Archive(engine, storage).open()
    fill(engine, 3)
    with engine.begin() as connection:
        drop_triggers(connection)
        backup = [list(row) for row in connection.execute(select(TRAIL))]
    fill(engine, 3)
    Archive(engine, storage).copy()
    _put(engine, backup)
    assert verify(engine, storage).faults
    Archive(engine, storage).open()
    Archive(engine, storage).copy()
    found = verify(engine, storage)
    assert lines(engine)[0].act == "begin"
    assert "ends earlier than the checkpoint of line 7" in lines(engine)[0].note
    assert found.faults[0] == "The trail was cut or written anew up to line 7"
    assert "is not what was copied to the storage" in found.faults[1]
    assert len(found.notes) == 3  # and every line of before is in the storage
    engine.dispose()


def test_an_older_checkpoint_put_back_with_a_cut_trail_is_found_by_the_copies(engine, storage):
    Archive(engine, storage).open()
    fill(engine, 3)
    path = trail_of(engine).checkpoint.path
    older = path.read_bytes()
    with engine.begin() as connection:
        drop_triggers(connection)
        rows = [list(row) for row in connection.execute(select(TRAIL))]
    fill(engine, 3)
    Archive(engine, storage).copy()
    forged = [list(rows[0])]
    forged[0][2] = "begin"  # as if a start had found it so
    _put(engine, _mended([*rows, *forged]))
    path.write_bytes(older)
    assert any("copied to the storage" in fault for fault in verify(engine, storage).faults)
