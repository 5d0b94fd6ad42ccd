"""A backup of an installation at work, restored elsewhere."""

import itertools
import json
import os
import sqlite3
import stat
import time
from dataclasses import replace

import pytest

from core.errors import ConflictError, InputError, StorageError
from core.people import audit
from core.people.audit_archive import Archive
from core.people.audit_verify import verify
from core.state.claim import MARK_NAME
from core.state.database import DATABASE_NAME, connect, reading
from core.state.encryption import Keyring
from core.state.opened import clear_unless_shared
from core.state.storage import UNFINISHED, LocalStorage, open_storage
from core.state.tables import SESSIONS
from core.upkeep.backup import back_up
from core.upkeep.manifest import NAME, Manifest, check
from core.upkeep.restore import restore
from tests.core.upkeep.house import House, changes, follow_rows, rows_at, rows_of, sha256

pytestmark = pytest.mark.sqlite  # those with a PostgreSQL name it themselves
KEY = "k" * 32


@pytest.fixture(
    params=["in clear", pytest.param("encrypted", marks=pytest.mark.long), "postgresql",
            pytest.param("postgresql, encrypted", marks=pytest.mark.long)]
)  # fmt: skip
def house(request, tmp_path):
    url = new_database(request) if "postgresql" in request.param else ""
    key = KEY if "encrypted" in request.param else ""
    made = House(tmp_path / "here", encryption_key=key, database_url=url)
    yield made
    made.close()


@pytest.fixture
def small(tmp_path):
    """With two cases."""
    made = House(tmp_path / "here")
    made.add()
    made.add()
    yield made
    made.close()


def new_database(request):
    """A PostgreSQL of its own, empty."""
    cluster = request.getfixturevalue("databases").cluster
    url = cluster.database()
    request.addfinalizer(lambda: cluster.drop(url))
    return url


def elsewhere(house, tmp_path, name="there"):
    return replace(house.settings, data_dir=tmp_path / name)


def opened(settings):
    engine = connect(settings.data_dir, Keyring.of(settings), url=settings.database_url)
    audit.set_up(engine, settings)
    return engine


def moments(backup, first, last):
    """After how many changes the database of a backup may have been copied."""
    if Manifest.read(backup).engine == "postgresql":
        return range(first, last + 1)
    with sqlite3.connect(backup / "database" / DATABASE_NAME) as copied:
        (moment,) = copied.execute("SELECT max(n) FROM seen").fetchone()
    copied.close()
    assert first <= moment <= last
    return [moment]


def test_rows_and_files_are_those_of_a_moment_of_the_backup(house, tmp_path, request):
    follow_rows(house.engine)
    ids = [house.add() for _ in range(12)]
    with house.busy(4, ids) as busy:
        before, began_s = changes(house.engine), time.monotonic()
        manifest = back_up(house.settings, house.engine, tmp_path / "backup")
        after, ended_s = changes(house.engine), time.monotonic()
    assert not busy.failures
    there = elsewhere(house, tmp_path)
    if there.database_url:
        there = replace(there, database_url=new_database(request))
    restored = restore(there, tmp_path / "backup")
    assert restored.faults == []
    engine = opened(there)
    rows = rows_of(engine)
    # What was removed for good while it was copied is gone, and nothing else.
    assert any(
        rows == {
            key: row for key, row in rows_at(house.engine, moment).items()
            if key[1].split("/")[0] not in manifest.removed_cases
        }
        for moment in moments(tmp_path / "backup", before, after)
    )  # fmt: skip
    stored = there.data_dir / "storage"
    for path in stored.rglob("[!.]*.*"):
        key = path.relative_to(stored).as_posix()
        states = [*house.files.get(key, []), (ended_s, "")]
        during = [
            state for (at_s, state), (until_s, _) in itertools.pairwise(states)
            if until_s >= began_s and at_s <= ended_s
        ]  # fmt: skip
        assert sha256(path.read_bytes()) in during or key.startswith("encryption/"), key
    # Each case is whole: started as a server does, every mask and scan can be read.
    found = House(
        there.data_dir, encryption_key=there.encryption_key, database_url=there.database_url
    )
    found.cases.import_from_storage()
    rows = found.cases.find() + found.cases.find(deleted=True)
    assert {row.id for row in rows} >= set(ids[:12]) - gone(house)
    for row in found.cases.find():
        case = found.cases.get(row.id)
        found.cases.image_file(case.id)
        found.cases.mask_file(case.id)
    assert verify(found.engine, found.storage).faults == []
    found.close()
    engine.dispose()


def gone(house):
    return {key.split("/")[1] for key, states in house.files.items() if states[-1][1] == ""}


def test_a_backup_is_private_and_its_trail_tells_of_both(small, tmp_path):
    manifest = back_up(small.settings, small.engine, tmp_path / "backup")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "backup").rglob("*")
             if p.name != MARK_NAME}  # fmt: skip
    assert modes == {0o700, 0o600}
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    notes = [line.note for line in audit.lines(small.engine, act="backup")]
    assert notes[0].startswith(f"{manifest.id} ended")
    assert notes[1] == f"{manifest.id} began"
    there = elsewhere(small, tmp_path)
    restore(there, tmp_path / "backup")
    engine = opened(there)
    (line,) = audit.lines(engine, act="restore")
    assert manifest.id in line.note
    Archive(engine, open_storage(there)).open()  # as a start does
    assert verify(engine, open_storage(there)).faults == []
    assert not audit.lines(engine, act="begin")[0].note.startswith("the ")
    engine.dispose()


def test_a_checkpoint_on_another_disk_stays_and_tells_what_came_after_the_backup(tmp_path):
    (tmp_path / "safe").mkdir()
    here = House(tmp_path / "here", audit_checkpoint=str(tmp_path / "safe" / "end"))
    back_up(here.settings, here.engine, tmp_path / "backup")
    here.add()
    restored = restore(elsewhere(here, tmp_path), tmp_path / "backup")
    assert any("checkpoint names line" in fault for fault in restored.faults), restored.faults
    # On a machine without that disk's file, the trail is whole as of the backup.
    new = replace(elsewhere(here, tmp_path, "new"), audit_checkpoint=str(tmp_path / "new-end"))
    assert restore(new, tmp_path / "backup").faults == []
    assert (tmp_path / "new-end").is_file()
    here.close()


def test_nobody_stays_signed_in(small, tmp_path):
    with small.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO people (id, name, name_key, role, created_at) "
            "VALUES ('a', 'A', 'a', 'reader', '')"
        )
        row = {"token_sha256": "0", "account": "a", "began_at": "", "seen_at": "", "expires_at": ""}
        connection.execute(SESSIONS.insert().values(**row))
    back_up(small.settings, small.engine, tmp_path / "backup")
    restore(elsewhere(small, tmp_path), tmp_path / "backup")
    engine = opened(elsewhere(small, tmp_path))
    with reading(engine) as connection:
        assert connection.execute(SESSIONS.select()).all() == []
    engine.dispose()


def test_what_is_damaged_is_not_restored(small, tmp_path):
    backup = tmp_path / "backup"
    manifest = back_up(small.settings, small.engine, backup)
    victim = backup / next(p for p in manifest.files if p.endswith("mask.nii.gz"))
    content = victim.read_bytes()
    there = elsewhere(small, tmp_path)
    for spoil in (lambda: victim.write_bytes(content[:-1]), victim.unlink):
        spoil()
        with pytest.raises(InputError, match="damaged: ") as error:
            restore(there, backup)
        assert error.value.code == "backup_damaged"
        victim.write_bytes(content)
    told = json.loads((backup / NAME).read_text())
    del told["files"][next(iter(told["files"]))]
    (backup / NAME).write_text(json.dumps(told))
    with pytest.raises(InputError, match="manifest"):
        restore(there, backup)
    (backup / NAME).unlink()
    with pytest.raises(InputError, match="no whole backup"):
        restore(there, backup)
    assert not there.data_dir.exists()


def changed(backup, change):
    """The manifest, as somebody might write it who wants more than a restore."""
    told = json.loads((backup / NAME).read_text())
    change(told)
    sums = json.dumps(sorted(told["files"].items())).encode()
    (backup / NAME).write_text(json.dumps(told | {"sha256": sha256(sums)}))


@pytest.mark.parametrize(
    "path",
    [
        "data/../../out", "data/hippoview.sqlite", "data/incoming.lock", "data/opened/x",
        "data/trail.checkpoint.d/x", "storage/restore/unfinished.json", "storage/cases/.lock",
        "storage/cases/HV-1/\ud800", "database/other", "data/received", "data/jobs",
        "storage/cases",
    ],
)  # fmt: skip
def test_a_manifest_names_nothing_that_no_backup_has(small, tmp_path, path):
    back_up(small.settings, small.engine, tmp_path / "backup")
    if "\ud800" not in path:
        file = tmp_path / "backup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_dir():
            file.write_bytes(b"x")
    changed(tmp_path / "backup", lambda told: told["files"].update({path: sha256(b"x")}))
    there = elsewhere(small, tmp_path)
    with pytest.raises(InputError) as error:
        restore(there, tmp_path / "backup")
    assert error.value.code == "backup_damaged"
    assert not there.data_dir.exists()


def test_a_restore_that_began_elsewhere_opens_no_living_data_folder(small, tmp_path):
    back_up(small.settings, small.engine, tmp_path / "backup")
    small.add()
    before = rows_of(small.engine)
    # The storage may be a bucket, and a restore of another data folder into it has begun.
    LocalStorage(small.settings.data_dir / "storage").write(
        UNFINISHED, b'{"backup": "1", "by": "another"}'
    )
    for mark in ("", "of-before"):  # nor is one meant that an earlier restore of this folder left
        (small.settings.data_dir / "restore.unfinished").write_text(mark)
        with pytest.raises(ConflictError, match="it has hippoview"):
            restore(small.settings, tmp_path / "backup")
        assert rows_of(small.engine) == before


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_a_backup_of_one_database_is_restored_into_the_other(tmp_path, request, into):
    urls = {"sqlite": "", "postgresql": new_database(request)}
    (other,) = {*urls} - {into}
    here = House(tmp_path / "here", database_url=urls[other])
    ids = {here.add(), here.add()}
    assert back_up(here.settings, here.engine, tmp_path / "backup").engine == other
    there = replace(elsewhere(here, tmp_path), database_url=urls[into])
    restored = restore(there, tmp_path / "backup")
    assert (restored.cases, restored.faults) == (2, [])
    engine = opened(there)
    found = House(there.data_dir, database_url=urls[into])
    assert {row.id for row in found.cases.find()} == ids
    found.close()
    audit.record_alone(engine, "settings", note="it goes on")  # after the ids that were given
    engine.dispose()
    here.close()
    if into == "postgresql":
        with pytest.raises(ConflictError, match="not empty"):
            restore(replace(there, data_dir=tmp_path / "third"), tmp_path / "backup")


def test_a_finished_backup_is_not_begun_anew_nor_lost_with_the_line_of_its_end(small, tmp_path):
    with small.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no_end BEFORE INSERT ON trail WHEN new.note LIKE '%ended%' "
            "BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
        )
    manifest = back_up(small.settings, small.engine, tmp_path / "backup")
    with pytest.raises(InputError, match="holds a backup already"):
        back_up(small.settings, small.engine, tmp_path / "backup")
    assert Manifest.read(tmp_path / "backup") == manifest
    check(tmp_path / "backup", manifest.files)


def test_a_backup_without_its_database_is_not_restored(small, tmp_path):
    back_up(small.settings, small.engine, tmp_path / "backup")
    changed(tmp_path / "backup", lambda told: told["files"].pop("database/hippoview.sqlite"))
    there = elsewhere(small, tmp_path)
    with pytest.raises(InputError, match="lacks its database"):
        restore(there, tmp_path / "backup")
    assert not there.data_dir.exists()


def test_what_somebody_put_beside_the_files_of_the_storage_stops_no_backup(small, tmp_path):
    cases = small.settings.data_dir / "storage" / "cases"
    (next(cases.iterdir()) / "Copy of mask.nii.gz").write_bytes(b"x")
    (cases / "lost+found").mkdir()
    (small.settings.data_dir / "jobs" / "1").mkdir(parents=True)
    os.mkfifo(small.settings.data_dir / "jobs" / "1" / "pipe")
    manifest = back_up(small.settings, small.engine, tmp_path / "backup")
    assert not [path for path in manifest.files if "Copy of" in path or "pipe" in path]
    assert restore(elsewhere(small, tmp_path), tmp_path / "backup").cases == 2


def test_a_key_that_comes_while_a_backup_is_made_stands_in_it(tmp_path):
    here = House(tmp_path / "here", encryption_key=KEY)
    for _ in range(4):
        here.add()
    newer = replace(here.settings, encryption_key=f"{'n' * 32},{KEY}")

    def change_keys(count):
        if count == 10:  # in the middle of the cases
            open_storage(newer)

    manifest = back_up(here.settings, here.engine, tmp_path / "backup", change_keys)
    here.close()
    assert set(manifest.keys) == {*Keyring.of(newer).ids}


def test_a_restore_refuses_what_is_in_use_or_not_empty(small, tmp_path):
    back_up(small.settings, small.engine, tmp_path / "backup")
    files = sorted(small.settings.data_dir.rglob("*"))
    with pytest.raises(ConflictError, match="not empty"):
        restore(small.settings, tmp_path / "backup")
    assert sorted(p for p in small.settings.data_dir.rglob("*") if p.suffix != ".lock") == [
        p for p in files if p.suffix != ".lock"
    ]
    there = elsewhere(small, tmp_path)
    clear_unless_shared(there.data_dir / "incoming")  # as a server does
    with pytest.raises(ConflictError, match="server runs"):
        restore(there, tmp_path / "backup")


def test_a_backup_goes_into_a_folder_of_its_own(small, tmp_path):
    with pytest.raises(InputError, match="data folder itself"):
        back_up(small.settings, small.engine, small.settings.data_dir / "backup")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        back_up(small.settings, small.engine, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter").read_text() == "x"
    back_up(small.settings, small.engine, tmp_path / "backup")
    with pytest.raises(InputError, match="a backup already"):
        back_up(small.settings, small.engine, tmp_path / "backup")
    check(tmp_path / "backup", Manifest.read(tmp_path / "backup").files)


def test_a_missing_key_is_said_before_anything_is_written(tmp_path):
    here = House(tmp_path / "here", encryption_key=KEY)
    here.add()
    back_up(here.settings, here.engine, tmp_path / "backup")
    here.close()
    assert b"n1" not in b"".join(
        p.read_bytes() for p in (tmp_path / "backup" / "storage" / "cases").rglob("record.json")
    )
    with pytest.raises(StorageError) as error:
        restore(replace(here.settings, data_dir=tmp_path / "there", encryption_key=""),
                tmp_path / "backup")  # fmt: skip
    assert error.value.code == "encryption_key"
    assert not (tmp_path / "there").exists()


def test_a_restore_that_has_not_ended_serves_nothing(small, tmp_path):
    back_up(small.settings, small.engine, tmp_path / "backup")
    there = elsewhere(small, tmp_path)

    def end(count):
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(there, tmp_path / "backup", end)
    with pytest.raises(StorageError, match="has not ended"):
        open_storage(there)
    LocalStorage(there.data_dir / "storage").write("cases/HV-OTHER/record.json", b"of another")
    restore(there, tmp_path / "backup")
    storage = open_storage(there)
    assert storage.keys("restore") == []
    assert UNFINISHED not in storage.keys("restore")
    assert storage.keys("cases") == small.storage.keys("cases")
