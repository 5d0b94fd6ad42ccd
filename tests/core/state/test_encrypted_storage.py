"""A storage with keys: nothing in clear, nothing under a wrong key, and a way there and back."""

import re
import threading
import tracemalloc

import pytest

from core.__main__ import main
from core.errors import ChangedError, NotFoundError, StorageError
from core.settings import ROOT
from core.state.bucket import BucketStorage
from core.state.database import connect
from core.state.encrypted_storage import ENCRYPTED, PLAIN, EncryptedStorage
from core.state.encryption import NO_KEYS, DamagedError, Keyring, is_encrypted
from core.state.renewal import look, renew
from core.state.storage import LocalStorage, read_many
from tests.buckets import BUCKET, emulator
from tests.ends import Steps, die, in_child
from tests.faulty import FaultyStorage

OLD, NEW = "old-key-" * 4, "new-key-" * 4
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def gcs():
    with emulator() as address:
        yield address


@pytest.fixture(params=["local", "bucket"])
def inner(request, tmp_path, monkeypatch):
    if request.param == "local":
        yield LocalStorage(tmp_path / "storage")
        return
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("gcs"))
    bucket = BucketStorage.open(f"gs://{BUCKET}/{tmp_path.name}")
    yield bucket


@pytest.fixture
def opened(inner, tmp_path):
    """Opens the storage with some keys."""
    return lambda *words: EncryptedStorage.open(inner, Keyring(words), tmp_path / "opened")


@pytest.mark.parametrize("length", [1, 3, 4, 40])
def test_an_encrypted_file_that_was_cut_off_is_refused_however_short(inner, opened, length):
    storage = opened(OLD)
    storage.write("cases/a/scan", b"scan" * 99)
    inner.write("cases/a/scan", inner.read("cases/a/scan")[:length])
    with pytest.raises(DamagedError):
        storage.read("cases/a/scan")


def test_files_are_read_replaced_and_opened_as_if_they_were_in_clear(inner, opened, tmp_path):
    storage = opened(OLD)
    storage.write("cases/a/scan", b"scan" * 99)
    storage.replace("cases/a/record", b"1", None)
    for wrong in (None, b"2"):
        with pytest.raises(ChangedError):
            storage.replace("cases/a/record", b"3", wrong)
    storage.replace("cases/a/record", b"2", b"1")
    with pytest.raises(ChangedError):
        storage.replace("cases/a/none", b"2", b"1")
    assert dict(read_many(storage, ["cases/a/record", "cases/a/none"])) == {
        "cases/a/record": b"2", "cases/a/none": None,
    }  # fmt: skip
    with pytest.raises(NotFoundError):
        storage.read("cases/a/none")
    assert all(is_encrypted(inner.read(key)) for key in inner.keys("cases"))
    with storage.local("cases/a") as folder:
        assert (folder / "scan").read_bytes() == b"scan" * 99
        assert (folder / "scan").stat().st_mode & 0o077 == 0
        assert folder.stat().st_mode & 0o077 == 0
    assert not [p for p in (tmp_path / "opened").iterdir() if p.is_dir()]
    storage.write("models/1/weights", b"public")
    assert inner.read("models/1/weights") == b"public"
    with pytest.raises(ValueError, match="neither"):
        storage.write("new-folder/x", b"")


def test_every_folder_of_the_storage_is_said_to_be_encrypted_or_not():
    """A module with a folder of its own in the storage names it so."""
    found = set()
    for path in (ROOT / "core").rglob("*.py"):
        text = path.read_text()
        if "storage" in text:
            found |= set(re.findall(r'^_?(?:FOLDER|KEY)\b[^=]*= "([a-z-]+)', text, re.MULTILINE))
    on_this_machine = {"jobs", "test-heads", "worker"}
    assert {"cases", "trail", "reports"} <= found
    assert found - on_this_machine <= {*ENCRYPTED, *PLAIN}


def test_a_file_in_the_place_of_another_is_refused(inner, opened):
    storage = opened(OLD)
    storage.write("cases/a/scan", b"a")
    storage.write("cases/b/scan", b"b")
    inner.write("cases/a/scan", inner.read("cases/b/scan"))
    with pytest.raises(DamagedError, match="in the place of another"):
        storage.read("cases/a/scan")


def test_without_the_key_or_with_a_wrong_one_nothing_opens_and_nothing_is_written(inner, opened):
    storage = opened(OLD)
    storage.write("people/people.json", b"1")
    before = inner.read("people/people.json"), inner.read("encryption/keys.json")
    for words in ((), (NEW,)):
        with pytest.raises(StorageError, match=Keyring([OLD]).ids[0]) as refused:
            opened(*words)
        assert "HIPPOVIEW_ENCRYPTION_KEY" in refused.value.message
    inner.delete("encryption/keys.json")  # even where nobody can tell any more
    for words in ((), (NEW,)):
        wrong = opened(*words)
        for act in (
            lambda wrong=wrong: wrong.read("people/people.json"),
            lambda wrong=wrong: wrong.write("people/people.json", b"2"),
            lambda wrong=wrong: wrong.replace("people/people.json", b"2", b"1"),
        ):
            with pytest.raises(StorageError) as refused:
                act()
            assert refused.value.code == "encryption_key"
    assert (inner.read("people/people.json"), before[1]) == before


def test_a_database_without_its_key_does_not_open(tmp_path):
    connect(tmp_path, Keyring([OLD])).dispose()
    for keys in (NO_KEYS, Keyring([NEW])):
        with pytest.raises(StorageError, match="encrypted"):
            connect(tmp_path, keys)
    connect(tmp_path, Keyring([NEW, OLD])).dispose()
    with pytest.raises(StorageError, match="encrypted"):
        connect(tmp_path, Keyring([OLD]))


def test_a_command_without_the_key_says_so(tmp_path, monkeypatch, capsys):
    connect(tmp_path, Keyring([OLD])).dispose()
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))
    assert main(["audit", "verify"]) == 1
    said = capsys.readouterr().err
    assert "HIPPOVIEW_ENCRYPTION_KEY is not set" in said
    assert Keyring([OLD]).ids[0] in said


def filled(storage):
    contents = {f"cases/{n}/scan": b"scan %d" % n for n in range(12)} | {"trail/x": b"line"}
    for key, content in contents.items():
        storage.write(key, content)
    return contents


def test_encrypted_turned_and_decrypted_it_is_the_same(inner, opened, tmp_path):
    contents = filled(opened())
    for words, decrypt in (((OLD,), False), ((NEW, OLD), False), ((NEW,), True)):
        keys = Keyring(words)
        storage, engine = opened(*words), connect(tmp_path / "db", keys)
        assert {key: storage.read(key) for key in contents} == contents
        found = renew(storage, engine, [], decrypt=decrypt)
        assert not found.left(NO_KEYS if decrypt else keys)
        assert not found.unreadable
        assert {key: storage.read(key) for key in contents} == contents
        wanted = "" if decrypt else keys.ids[0]
        assert look(storage, engine, []).by_key == {wanted: len(contents)}
        engine.dispose()
    assert {key: inner.read(key) for key in contents} == contents
    connect(tmp_path / "db", NO_KEYS).dispose()
    assert opened().read("trail/x") == b"line"


def test_a_key_that_is_still_needed_is_asked_for_until_all_is_turned(opened, tmp_path):
    filled(opened(OLD))
    opened(NEW, OLD).write("cases/new/scan", b"new")
    for words in ((NEW,), (OLD,)):
        with pytest.raises(StorageError, match="encrypted with key"):
            opened(*words)
    both = opened(NEW, OLD)
    renew(both, connect(tmp_path / "db", both.keyring), [])
    assert opened(NEW).read("cases/new/scan") == b"new"


def test_a_damaged_file_is_told_and_keeps_its_key_needed(inner, opened, tmp_path):
    storage = opened(OLD)
    filled(storage)
    inner.write("cases/3/scan", inner.read("cases/3/scan")[:-1])
    both = opened(NEW, OLD)
    found = renew(both, connect(tmp_path / "db", both.keyring), [])
    assert found.unreadable == ["storage_damaged"]
    assert found.left(both.keyring) == 1
    assert both.needed()[1] == [*Keyring([OLD, NEW]).ids]


@pytest.mark.sqlite  # a child cannot make a database in the cluster of its parent
@pytest.mark.parametrize("decrypt", [False, True])
def test_killed_at_any_step_every_file_is_readable_and_the_next_call_ends_it(decrypt, tmp_path):
    words = (NEW, OLD)
    keys = Keyring(words)
    folder = LocalStorage(tmp_path / "storage")
    contents = filled(EncryptedStorage.open(folder, Keyring([OLD]), tmp_path / "opened"))
    contents |= {"cases/plain/scan": b"plain"}
    folder.write("cases/plain/scan", b"plain")
    kills = 0
    for at in range(1, 170, 13):

        def work(at=at):
            inner = FaultyStorage(LocalStorage(tmp_path / "storage"), Steps(at, die))
            storage = EncryptedStorage(inner, keys, tmp_path / "opened")
            renew(storage, connect(tmp_path / "db", keys), [], decrypt=decrypt)

        kills += in_child(work) == -9
        storage = EncryptedStorage.open(folder, keys, tmp_path / "opened")
        assert {key: storage.read(key) for key in contents} == contents
    assert kills > 5
    found = renew(storage, connect(tmp_path / "db", keys), [], decrypt=decrypt)
    assert not found.left(NO_KEYS if decrypt else keys)


def test_what_others_write_and_remove_meanwhile_is_neither_lost_nor_brought_back(tmp_path):
    keys, old = Keyring([NEW, OLD]), Keyring([OLD])
    folder = LocalStorage(tmp_path / "storage")
    contents = filled(EncryptedStorage.open(folder, old, tmp_path / "opened"))
    server = EncryptedStorage(folder, Keyring([OLD, NEW]), tmp_path / "opened")
    written: dict[str, bytes] = {}

    def meanwhile(call, key, when):
        """A server writes, in the moment before the command replaces the file."""
        if (call, when) == ("replace", "before") and key in contents and key not in written:
            written[key] = b"newer"
            if key.startswith("cases/1"):
                server.delete(key)
            else:
                server.replace(key, b"newer", contents[key])

    slow = EncryptedStorage(FaultyStorage(folder, meanwhile), keys, tmp_path / "opened")
    found = renew(slow, connect(tmp_path / "db", keys), [])
    assert not found.left(keys)
    kept = [key for key in contents if not key.startswith("cases/1")]
    assert sorted(folder.keys("cases") + folder.keys("trail")) == sorted(kept)
    assert {server.read(key) for key in kept} == {b"newer"}


def test_two_commands_at_once_end_alike(tmp_path):
    keys = Keyring([NEW, OLD])
    folder = LocalStorage(tmp_path / "storage")
    contents = filled(EncryptedStorage.open(folder, Keyring([OLD]), tmp_path / "opened"))
    storage = EncryptedStorage.open(folder, keys, tmp_path / "opened")
    engine = connect(tmp_path / "db", keys)
    both = [threading.Thread(target=renew, args=(storage, engine, [])) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    only = EncryptedStorage.open(folder, Keyring([NEW]), tmp_path / "opened")
    assert {key: only.read(key) for key in contents} == contents


@pytest.mark.long
def test_half_a_gibibyte_is_written_and_turned_in_parts(tmp_path):
    content = bytes(512 * MIB)
    folder = LocalStorage(tmp_path / "storage")
    storage = EncryptedStorage.open(folder, Keyring([OLD]), tmp_path / "opened")
    engine = connect(tmp_path / "db", Keyring([NEW, OLD]))
    both = EncryptedStorage.open(folder, Keyring([NEW, OLD]), tmp_path / "opened")
    tracemalloc.start()
    storage.write("cases/a/scan", content)
    renew(both, engine, [])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB
    assert len(both.read("cases/a/scan")) == len(content)


def test_what_a_killed_process_left_in_clear_is_gone_at_the_next_start(tmp_path):
    folder = LocalStorage(tmp_path / "storage")
    storage = EncryptedStorage.open(folder, Keyring([OLD]), tmp_path / "opened")
    storage.write("datasets/x/scan", b"scan")

    def work():
        with storage.local("datasets/x"):
            die()

    assert in_child(work) == -9
    assert list((tmp_path / "opened").rglob("scan"))
    with storage.local("datasets/x") as used:
        EncryptedStorage.open(folder, Keyring([OLD]), tmp_path / "opened")
        assert (used / "scan").read_bytes() == b"scan"  # in use, it stays
    assert not list((tmp_path / "opened").rglob("scan"))
