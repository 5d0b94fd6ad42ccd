"""Files on this machine: what the disk refuses comes in words, and nothing half written stays."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core.cases.store import Cases
from core.errors import ChangedError, StorageError
from core.settings import ROOT
from core.state.database import connect
from core.state.storage import LocalStorage
from tests import tiny

# Everything that a caller may ask of a storage.
CALLS = {
    "write": lambda s: s.write("a/b/c", b"x"),
    "replace": lambda s: s.replace("a/b/c", b"x", None),
    "read": lambda s: s.read("a/b/c"),
    "keys": lambda s: s.keys("a/b"),
    "ages_s": lambda s: s.ages_s("a/b"),
    "folders": lambda s: s.folders("a/b"),
    "delete": lambda s: s.delete("a/b/c"),
    "delete_folder": lambda s: s.delete_folder("a/b"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_file_where_a_folder_should_be_is_told_in_words(call, tmp_path):
    storage = LocalStorage(tmp_path)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError, match="file lies where a folder should be") as caught:
        CALLS[call](storage)
    assert str(tmp_path) not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint


def test_a_folder_where_a_file_should_be_is_told_in_words(tmp_path):
    storage = LocalStorage(tmp_path)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    for call in ("write", "replace", "read", "delete"):
        with pytest.raises((StorageError, ChangedError)):
            CALLS[call](storage)


@pytest.mark.parametrize("call", CALLS)
def test_whatever_the_operating_system_refuses_is_told_in_words(call, tmp_path, monkeypatch):
    storage = LocalStorage(tmp_path)
    storage.write("a/b/c", b"1")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "/secret/patient.nii")

    for where, name in (
        (Path, "open"), (Path, "read_bytes"), (Path, "iterdir"), (Path, "unlink"), (os, "scandir"),
        (os, "open"), (shutil, "rmtree"), (tempfile, "mkstemp"),
    ):  # fmt: skip
        monkeypatch.setattr(where, name, refuse)
    with pytest.raises(StorageError, match="no access") as caught:
        CALLS[call](storage)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of half a MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here (not root, or a container)")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)  # databases may be open on it


def test_a_full_disk_is_told_and_nothing_half_written_stays(small_disk):
    storage = LocalStorage(small_disk)
    storage.write("a/old", b"1")
    for write in (
        lambda: storage.write("a/old", bytes(700_000)),
        lambda: storage.replace("a/new", bytes(700_000), None),
    ):
        with pytest.raises(StorageError, match="full") as caught:
            write()
        assert caught.value.code == "storage_full"
        assert "Make room" in caught.value.hint
    assert storage.keys("a") == ["a/old"]
    assert storage.read("a/old") == b"1"
    storage.write("a/old", bytes(100_000))  # what failed takes no room


def test_a_full_disk_refuses_acts_and_still_shows_the_cases(small_disk):
    data = small_disk / "var"
    cases = Cases(connect(data), LocalStorage(data / "storage"))
    case = cases.add(tiny.analysis(1), "A")
    cases.import_from_storage()
    hog = small_disk / "hog"
    with pytest.raises(OSError, match="No space"), hog.open("wb") as file:
        file.write(bytes(1_000_000))
    with pytest.raises(StorageError, match="full"):
        cases.rename(case.id, "B")
    with pytest.raises(StorageError, match="full"):
        cases.add(tiny.analysis(2), "B")
    for look in (cases.find, cases.count, lambda: cases.get(case.id), cases.features):
        assert look()
    again = Cases(connect(data), LocalStorage(data / "storage"))  # it starts, too
    again.caretaker.tick()
    assert [row.name for row in again.find()] == ["A"]
    hog.unlink()
    cases.rename(case.id, "B")
    assert cases.get(case.id).name == "B"


def test_what_a_killed_process_was_writing_is_removed_after_a_day(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.write("a/one", b"1")
    young, old = tmp_path / ".unfinished" / "1-a", tmp_path / ".unfinished" / "2-b"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    again = LocalStorage(tmp_path)
    assert list((tmp_path / ".unfinished").iterdir()) == [young]
    assert again.keys("a") == ["a/one"]


_HOLDS = """
import sys
from pathlib import Path
from core.state.opened import clear_unless_shared
folder = Path(sys.argv[1])
clear_unless_shared(folder)
(folder / "upload").write_bytes(b"1")
print("holds", flush=True)
sys.stdin.read()
"""


def test_uploads_of_a_process_that_lives_are_left_alone_and_those_of_a_dead_one_removed(tmp_path):
    folder = tmp_path / "incoming"
    command = [sys.executable, "-c", _HOLDS, folder]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == b"holds\n"
        look = [sys.executable, "-c", _HOLDS.split("(folder /")[0], folder]
        subprocess.run(look, cwd=ROOT, check=True, timeout=60)
        assert list(folder.iterdir()) == [folder / "upload"]
        process.kill()
    subprocess.run(look, cwd=ROOT, check=True, timeout=60)
    assert list(folder.iterdir()) == []
