"""A backup or a restore that is killed, or whose disk is full."""

import os
import random
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from core.__main__ import main
from core.errors import HippoViewError, InputError, StorageError
from core.people.audit_verify import verify
from core.state.database import connect
from core.state.storage import open_storage
from core.upkeep.backup import back_up
from core.upkeep.manifest import NAME, Manifest, check
from core.upkeep.restore import restore
from tests.core.upkeep.house import House, rows_of, sha256
from tests.ends import in_child

pytestmark = pytest.mark.sqlite  # those with a PostgreSQL name it themselves
CASES = 6
FEW, MANY = 3, 60


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request):
    """The URL of a new database each time."""

    def new():
        if request.param == "sqlite":
            return ""
        cluster = request.getfixturevalue("databases").cluster
        url = cluster.database()
        request.addfinalizer(lambda: cluster.drop(url))
        return url

    return new


@pytest.fixture
def house(tmp_path):
    with filled(tmp_path / "here", "") as made:
        yield made


@pytest.fixture
def either(tmp_path, database):
    """With one of the two databases."""
    with filled(tmp_path / "here", database()) as made:
        yield made


@contextmanager
def filled(folder, url):
    made = House(folder, database_url=url)
    for _ in range(CASES):
        made.add()
    yield made
    made.close()


def killed_at(delay_s, work):
    """Do it in a process that is ended after so long, with whatever threads it has."""

    def die_or_end():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        work()

    return in_child(die_or_end)


def took_s(work):
    """How long it takes where nobody kills it (s)."""
    began_s = time.monotonic()
    assert killed_at(60, work) == 0
    return time.monotonic() - began_s


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes())
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


@contextmanager
def suppress_only(code):
    try:
        yield
    except HippoViewError as error:
        if error.code != code:
            raise


def kill_again_and_again(house, new_database, tmp_path, count, seed):
    rng = random.Random(seed)  # noqa: S311
    settings, backup = house.settings, tmp_path / "backup"
    there = replace(settings, data_dir=tmp_path / "there", database_url=new_database())
    ends = []

    def make(target=backup):
        inner = House(settings.data_dir, database_url=settings.database_url)
        back_up(settings, inner.engine, target)

    whole_s = took_s(lambda: make(tmp_path / "undisturbed"))
    for _ in range(count):
        ends.append(killed_at(rng.uniform(0.01, whole_s), make))
        if (backup / NAME).exists():  # whole, or none
            check(backup, Manifest.read(backup).files)
            backup.rename(tmp_path / f"backup-{len(ends)}")
        else:
            with pytest.raises(InputError, match="no whole backup"):
                restore(there, backup)
    back_up(settings, house.engine, backup)
    undisturbed = replace(there, data_dir=tmp_path / "first", database_url=new_database())
    whole_s = took_s(lambda: restore(undisturbed, backup))
    for _ in range(count):
        ends.append(killed_at(rng.uniform(0.01, whole_s), lambda: restore(there, backup)))
        if ends[-1] == 0:
            break
        if there.database_url:  # all rows at once
            assert rows_in(there) in ({}, rows_of(house.engine))
        with suppress_only("restore_unfinished"):  # or it was killed as it ended
            open_storage(there)
            assert rows_in(there) in ({}, rows_of(house.engine))
    with suppress_only("not_empty"):
        restore(there, backup)
    assert rows_in(there) == rows_of(house.engine)
    found = House(there.data_dir, database_url=there.database_url)
    assert verify(found.engine, found.storage).faults == []
    assert files_of(there.data_dir / "storage" / "cases") == files_of(
        settings.data_dir / "storage" / "cases"
    )
    found.close()
    return ends


def rows_in(settings):
    engine = connect(settings.data_dir, agree=False, url=settings.database_url)
    try:
        return rows_of(engine)
    finally:
        engine.dispose()


def test_a_kill_leaves_nothing_that_looks_whole_and_is_not(either, database, tmp_path):
    kill_again_and_again(either, database, tmp_path, FEW, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 4))
def test_many_kills(seed, either, database, tmp_path):
    ends = kill_again_and_again(either, database, tmp_path, MANY, seed)
    assert ends.count(-signal.SIGALRM) > MANY / 4, ends


@pytest.fixture
def small_disk(tmp_path):
    """A disk with room for little more than the database."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_and_leaves_no_backup(house, small_disk, tmp_path):
    (house.settings.data_dir / "received").mkdir()
    (house.settings.data_dir / "received" / "a").write_bytes(bytes(2**20))
    with pytest.raises(StorageError, match="disk of the backup is full") as error:
        back_up(house.settings, house.engine, small_disk / "backup")
    assert error.value.code == "backup_full"
    assert list(small_disk.iterdir()) == []
    # A restore onto it serves nothing, and goes on where there is room.
    back_up(house.settings, house.engine, tmp_path / "backup")
    there = replace(house.settings, data_dir=small_disk / "var")
    with pytest.raises(StorageError, match="full"):
        restore(there, tmp_path / "backup")
    with pytest.raises(StorageError, match="has not ended"):
        open_storage(there)


def test_the_commands_say_what_they_did_and_what_comes_next(house, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(house.settings.data_dir))
    assert main(["backup", str(tmp_path / "backup")]) == 0
    assert "each read again" in capsys.readouterr().out
    assert main(["backup", str(tmp_path / "backup")]) == 1
    assert "holds a backup already" in capsys.readouterr().err
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "there"))
    assert main(["restore", str(tmp_path / "backup")]) == 0
    told = capsys.readouterr().out
    assert f"{CASES} cases" in told
    assert "Next: " in told
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "nothing"))
    assert main(["backup", str(tmp_path / "other")]) == 1
    assert not (tmp_path / "nothing").exists()
