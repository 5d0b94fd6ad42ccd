"""With a key set, nothing of a patient stands in clear on the disk, and all works as without."""

import fcntl
import sqlite3

import pytest

from app.batch import Batch, Upload
from app.viewer.files import ViewerFiles
from core.__main__ import main
from core.cases.corrections import Corrections
from core.cases.ending import of_patient
from core.cases.origins import KEY_FILE, Origins, installation_key
from core.cases.persons import persons, scans_of
from core.cases.store import Cases
from core.errors import StorageError
from core.people import audit
from core.people.audit_archive import Archive
from core.people.kept import KeptPeople
from core.settings import Settings
from core.state.database import DATABASE_NAME, connect
from core.state.encryption import Keyring
from core.state.private import clear
from core.state.renewal import look, renew
from core.state.storage import open_storage
from core.state.tables import CASES
from core.training.data.prepare import prepare
from tests.core.cases.test_origins import analysis as of_dicom
from tests.datasets import made
from tests.dicom_sources import BORN, ID, NAME, source_of
from tests.tiny import analysis, number_of, packed

KEY, NEWER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
CALLED, WHOSE, SAID = "Quaxlmoser knee", "MRN-7734120", "Quaxlmoser moved"
# What a stored scan, a packed one and a draft begin with.
MAGICS = b"n+1\0", b"\x1f\x8b\x08\0\0\0\0\0"


class Installation:
    """An installation as `app.services` builds it, without a server."""

    def __init__(self, folder, *keys):
        self.settings = Settings(data_dir=folder, encryption_key=",".join(keys))
        self.engine = connect(folder, Keyring(keys))
        self.storage = open_storage(self.settings)
        audit.set_up(self.engine, self.settings)
        origins = Origins(self.storage, lambda: installation_key(self.settings))
        self.cases = Cases(self.engine, self.storage, origins=origins)
        self.corrections = Corrections(self.engine, self.storage, self.cases)
        self.cases.import_from_storage()

    def filled(self):
        """A case of a NIfTI and one of a DICOM series, with all that is kept of them."""
        first = self.cases.add(analysis(1), CALLED, WHOSE).id
        second = self.cases.add(of_dicom(source_of("axial"), 2), "t1").id
        self.corrections.save(first, packed(5), base=0, author="Reader", comment=SAID)
        self.corrections.drafts.keep(first, "v" * 8, packed(6), 1)
        self.cases.review(first, "rejected", "Reader", SAID)
        Archive(self.engine, self.storage).copy()
        KeptPeople(self.engine, self.storage).tick()
        return first, second

    def key_files(self):
        names = (KEY_FILE, audit.KEY_FILE)
        return [self.settings.data_dir / n for n in names if (self.settings.data_dir / n).is_file()]

    def close(self):
        self.engine.dispose()


def in_clear(folder):
    """What of a patient stands in the files below a folder, with the files."""
    sought = [word.encode() for word in (CALLED, WHOSE, SAID, NAME, ID, BORN)]
    return [
        (path.relative_to(folder).as_posix(), word)
        for path in folder.rglob("*")
        if path.is_file() and "models" not in path.parts
        for word in (*sought, *MAGICS)
        if word in path.read_bytes()
    ]


def check_filled(house, first, second):
    assert [row.name for row in house.cases.find("quaxl")] == [CALLED]
    assert [row.id for row in house.cases.find(WHOSE[:6].lower())] == [first]
    assert list(of_patient(house.cases.acts, WHOSE)) == [first]
    pseudonym = house.cases.get(second).patient
    assert house.cases.patients() == sorted([WHOSE, pseudonym])
    assert {person.patient for person in persons(house.cases)} == {WHOSE, pseudonym}
    assert [case.id for case in scans_of(house.cases, WHOSE)] == [first]
    assert house.cases.get(first).review.reason == SAID
    assert house.corrections.versions(first)[0].comment == SAID
    assert house.cases.images(first).labels.shape == (8, 9, 10)
    draft = house.corrections.drafts.of_browser(first, "v" * 8)
    assert draft.labels == packed(6)
    origin = house.cases.origin(second)
    assert (origin.patient_name, origin.patient_id) == (NAME, ID)


def test_nothing_stands_in_clear_and_everything_is_found(tmp_path):
    house = Installation(tmp_path, KEY)
    first, second = house.filled()
    check_filled(house, first, second)
    files = ViewerFiles(house.cases, tmp_path / "viewed", encrypt=True)
    for _ in range(2):
        with files.scan(first).file as scan:
            assert scan.read(2) == b"\x1f\x8b"
    assert number_of(files.images(first, 1).labels) == 5
    files.forget(first)
    assert number_of(files.images(first, 1).labels) == 5
    (kept,) = tmp_path.rglob("labels-1.nii")
    kept.write_bytes(b"")  # a disk that lost it
    files.kept._recent.clear()
    assert number_of(files.images(first, 1).labels) == 5
    files.scan(first).file.close()
    assert files.about(first, 1)["shape"] == [8, 9, 10]
    prepare(made(tmp_path.with_name("source"), 10), house.storage, "reviewed")
    assert list((tmp_path / "viewed").rglob("*.nii.gz"))
    assert list((tmp_path / "storage" / "datasets").rglob("*.nii.gz"))
    # The log of the database too, which is still open.
    assert in_clear(tmp_path) == []
    house.close()
    assert in_clear(tmp_path) == []
    again = Installation(tmp_path, KEY)  # as after a restart
    check_filled(again, first, second)
    again.close()


def test_an_installation_in_clear_is_encrypted_turned_and_decrypted(tmp_path):
    house = Installation(tmp_path)
    first, second = house.filled()
    house.close()
    assert in_clear(tmp_path)
    for keys, decrypt in (((KEY,), False), ((NEWER, KEY), False), ((NEWER,), True)):
        house = Installation(tmp_path, *keys)
        check_filled(house, first, second)  # half in clear, or with the key of before
        found = renew(house.storage, house.engine, house.key_files(), decrypt=decrypt)
        assert not found.unreadable
        assert not found.left(Keyring(() if decrypt else keys))
        check_filled(house, first, second)
        house.close()
        assert bool(in_clear(tmp_path)) == decrypt
    plain = Installation(tmp_path)
    check_filled(plain, first, second)
    found = look(plain.storage, plain.engine, plain.key_files())
    assert set(found.by_key) == {""}
    plain.close()


def test_the_commands_say_what_they_find_and_leave_a_line(tmp_path, monkeypatch, capsys):
    house = Installation(tmp_path)
    house.filled()
    house.close()
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))

    def said(*words, key=""):
        monkeypatch.setenv("HIPPOVIEW_ENCRYPTION_KEY", key)
        code = main(["encryption", *words])
        return code, "".join(capsys.readouterr())

    assert said("status")[0] == 0
    code, words = said("encrypt")
    assert (code, "HIPPOVIEW_ENCRYPTION_KEY is not set" in words) == (1, True)
    code, words = said("status", key=KEY)
    assert (code, "not encrypted: " in words) == (1, True)
    assert said("status")[0] == 0  # to look at it binds nobody to the key
    Installation(tmp_path).close()
    code, words = said("encrypt", key=KEY)
    assert (code, "not encrypted" in words) == (0, False)
    assert f"key {Keyring([KEY]).ids[0]}, the first: " in words
    assert said("status", key=KEY)[0] == 0
    with (tmp_path / "incoming.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a server does
        code, words = said("decrypt", key=KEY)
        assert (code, "Stop it first" in words) == (1, True)
    assert said("decrypt", key=KEY)[0] == 0
    assert said("status")[0] == 0
    house = Installation(tmp_path)
    notes = [line.note for line in audit.lines(house.engine) if line.act == "settings"]
    assert sorted(note.split(" with ")[0] for note in notes) == [
        "decrypted at rest", "encrypted at rest",
    ]  # fmt: skip
    house.close()


def test_a_lost_database_comes_back_encrypted(tmp_path):
    house = Installation(tmp_path, KEY)
    first, second = house.filled()
    house.close()
    for path in tmp_path.glob(f"{DATABASE_NAME}*"):
        path.unlink()
    again = Installation(tmp_path, KEY)
    assert again.cases.get(first).name == CALLED
    assert again.cases.origin(second).patient_name == NAME
    again.close()
    assert in_clear(tmp_path) == []


def test_a_damaged_record_costs_one_case_and_no_other(tmp_path):
    house = Installation(tmp_path, KEY)
    first, second = house.filled()
    house.close()
    record = tmp_path / "storage" / "cases" / second / "record.json"
    content = bytearray(record.read_bytes())
    content[-1] ^= 1
    record.write_bytes(content)
    again = Installation(tmp_path, KEY)
    assert again.cases.get(first).name == CALLED
    with pytest.raises(StorageError) as refused:
        again.cases.rename(second, "x")
    assert refused.value.code == "storage_damaged"
    assert again.cases.caretaker.progress.damaged == 1
    again.close()


def test_a_mask_in_another_cases_place_is_refused(tmp_path):
    house = Installation(tmp_path, KEY)
    first, second = house.filled()
    masks = [tmp_path / "storage" / "cases" / case / "mask.nii.gz" for case in (first, second)]
    masks[1].write_bytes(masks[0].read_bytes())
    with pytest.raises(StorageError, match="in the place of another"):
        house.cases.mask_file(second)
    house.close()


def test_a_private_column_is_compared_decrypted_or_not_at_all(tmp_path):
    house = Installation(tmp_path, KEY)
    house.cases.add(analysis(1), CALLED)
    with pytest.raises(TypeError, match="clear"):
        CASES.c.name == CALLED  # noqa: B015
    with pytest.raises(TypeError, match="private"):
        clear(CASES.c.id)
    with sqlite3.connect(tmp_path / DATABASE_NAME) as database:
        database.execute("UPDATE cases SET name = substr(name, 1, length(name) - 1)")
    with pytest.raises(StorageError, match="changed, cut off"):
        house.cases.find()
    house.close()


def test_a_file_that_waits_is_encrypted_and_comes_whole(tmp_path):
    content, seen = CALLED.encode() * 200_000, []

    def work(source, name, caller, patient, series):
        (waiting,) = tmp_path.iterdir()
        seen.append(CALLED.encode() in waiting.read_bytes())
        seen.append(source.read(7) + source.read() == content)
        return None

    batch = Batch(work, tmp_path, lambda: True, encrypt=True)
    with (tmp_path.with_name("upload")).open("w+b") as source:
        source.write(content)
        source.seek(0)
        batch.add([Upload("x", source)])
    while batch.now().active:
        batch.wait(1)
    assert seen == [False, True]
    batch.add([Upload("from the PACS", lambda to, tell, gone: to.write(content) and None)])
    while batch.now().active:
        batch.wait(1)
    assert seen[3:] == [True]  # what was fetched is read as it came
    assert not list(tmp_path.iterdir())
