"""A patient that is forgotten is nowhere any more, and cases end on their day."""

import json
import os
import random
import re
import sqlite3
import threading
from datetime import timedelta

import pytest
from sqlalchemy import event

from core.cases.corrections import Corrections
from core.cases.records import record_key
from core.cases.store import Cases
from core.drift.baseline import KEY as BASELINE
from core.drift.normal import FOLDER as NORMAL
from core.errors import NotFoundError
from core.exports.drift_reports import FOLDER as REPORTS
from core.models.registry import Registry
from core.pacs.ready import Returns
from core.people.audit import lines, mark
from core.people.audit_archive import Archive
from core.people.audit_verify import verify
from core.references.group import LEAST_PEOPLE as LEAST
from core.references.group import OUR_PROTOCOL, Group, Person
from core.references.groups import References
from core.settings import Settings
from core.state.bucket import BucketStorage
from core.state.database import DATABASE_NAME, connect
from core.state.encrypted_storage import ENCRYPTED, PLAIN
from core.state.storage import LocalStorage
from core.training.data.leftovers import Leftovers
from core.training.forgetting import forget
from tests.buckets import BUCKET, emulator
from tests.ends import Steps, die, in_child
from tests.faulty import FaultyStorage
from tests.tiny import analysis, packed

WHO, NAME, OTHER = "ZYX-PSEUDONYM-77", "Quaxlmoser knee", "P-OTHER"


class House:
    """An installation with a patient of two scans, and another of one."""

    def __init__(self, folder, storage=None):
        self.data = folder / "data"
        self.engine = connect(self.data)
        self.storage = storage or LocalStorage(self.data / "storage")
        self.cases = Cases(self.engine, self.storage)
        self.corrections = Corrections(self.engine, self.storage, self.cases)
        self.registry = Registry(self.engine, self.storage, Settings().model_dir)
        self.references = References(self.storage, self.cases.guard)
        self.leftovers = Leftovers(self.cases, self.storage, self.data)

    def filled(self):
        mine = [self.cases.add(analysis(n), f"{NAME} {n}", WHO).id for n in (1, 2)]
        # Segmented again, and found to be of another patient.
        other = self.cases.add(analysis(3), f"other (again from {mine[0]})", OTHER).id
        first, second = mine
        self.corrections.save(first, packed(9), base=0, author="A", comment=NAME)
        self.corrections.drafts.keep(first, "v" * 8, packed(8), 1)
        self.cases.review(second, "rejected", "A", NAME)
        self.cases.delete(second)
        self.cases.import_from_storage()
        self.made_of(mine, other)
        return mine, other

    def made_of(self, mine, other):
        """A data set, a baseline of heads and a training's folder, as they are made of cases."""
        entry = {"patient": WHO, "content_sha256": "c" * 64, "image_sha256": "i" * 64,
                 "label_sha256": "l" * 64, "fold": 0}  # fmt: skip
        split = {
            "format": 1,
            "cases": dict.fromkeys(mine, entry) | {other: entry | {"patient": OTHER}},
        }
        report = {"kept": [*mine, other], "left_out": {"x": f"the same image as case {mine[0]}"}}
        for key, content in {
            "datasets/reviewed/split.json": split,
            "datasets/reviewed/revisions/abc.json": split,
            "datasets/reviewed/report.json": report,
            "datasets/reviewed/patients.json": {mine[0]: WHO, other: OTHER},
            BASELINE: {"format": 1, "frozen_at": "2026-11-25T12:00:00+00:00",
                       "heads": [{"case": mine[0], "features": {"a": 1.5}}]},
            f"{NORMAL}/crop/000001.json": {"cases": [{"case": mine[0], "features": {"a": 1.5}}]},
            f"{REPORTS}/2026-W48.json": {"unusual": [{"case": mine[1], "away_sd": 3.0}]},
        }.items():  # fmt: skip
            self.storage.write(key, json.dumps(content).encode())
        self.storage.write(f"{REPORTS}/2026-W48.html", f"<td>{mine[1]}</td>".encode())
        people = (Person(60.0 + n, "F", 2000.0 + n, 2100.0, mine[n % 2]) for n in range(LEAST))
        group = Group("", "Ours", OUR_PROTOCOL, "Accepted cases", tuple(people))
        self.references.add(group, "A")
        for case in (*mine, other):
            self.storage.write(f"datasets/reviewed/imagesTr/{case}_0000.nii.gz", b"scan")
            self.storage.write(f"datasets/reviewed/labelsTr/{case}.nii.gz", b"mask")
        for case in (*mine, other):  # results that wait for a PACS that is down
            Returns(self.data / "received").add(case)
        raw = self.data / "jobs" / "uid" / "raw"
        raw.mkdir(parents=True)
        (raw / f"{mine[0]}_0000.nii.gz").write_bytes(b"scan")


def everything(data, storage):
    """All names and all bytes of a data folder and a storage."""
    for root, folders, names in os.walk(data):
        for name in (*folders, *names):
            yield os.path.join(root, name).encode()  # noqa: PTH118
        for name in names:
            with open(os.path.join(root, name), "rb") as file:  # noqa: PTH118, PTH123
                yield file.read()
    for prefix in (*ENCRYPTED, *PLAIN):
        for key in storage.keys(prefix):
            yield key.encode()
            yield storage.read(key)


def traces(house, words):
    found = [part for part in everything(house.data, house.storage)
             if any(word in part for word in words)]  # fmt: skip
    return [part[:80] for part in found]


@pytest.fixture(scope="module")
def bucket():
    with emulator() as address:
        os.environ["STORAGE_EMULATOR_HOST"] = address
        yield BucketStorage.open(f"gs://{BUCKET}/forget")
        os.environ.pop("STORAGE_EMULATOR_HOST")


@pytest.fixture(params=["folder", "bucket"])
def house(request, tmp_path):
    storage = request.getfixturevalue("bucket") if request.param == "bucket" else None
    made = House(tmp_path, storage)
    yield made
    made.engine.dispose()


def test_nothing_of_a_forgotten_patient_is_found_anywhere_and_the_trail_still_verifies(house):
    Archive(house.engine, house.storage).open()
    mine, other = house.filled()
    masks = [
        house.storage.read(key) for case in mine for key in house.storage.keys(f"cases/{case}")
    ]
    words = [WHO.encode(), NAME.encode(), *(case.encode() for case in mine)]
    assert len(traces(house, words)) > 10  # the grep finds what is there
    receipt = forget(house.cases, house.registry, house.leftovers, WHO)
    Archive(house.engine, house.storage).copy()
    assert traces(house, words) == []
    assert not [part for part in everything(house.data, house.storage) if part in masks]
    assert receipt.cases == tuple(sorted(mine))
    assert WHO in receipt.file().decode()
    # What the receipt says finds the lines, which nobody else can read.
    about = {line.what for line in lines(house.engine)}
    assert set(receipt.trail) <= about
    assert [line.note for line in lines(house.engine, act="forget")] == ["scans: 2"]
    assert verify(house.engine, house.storage).faults == []
    # The other patient is as before.
    assert Returns(house.data / "received").cases() == [other]
    assert house.cases.get(other).patient == OTHER
    assert re.fullmatch(r"other \(again from gone-[0-9a-f]{8}\)", house.cases.get(other).name)
    kept = json.loads(house.storage.read("datasets/reviewed/split.json"))["cases"]
    assert list(kept) == [other]
    assert f"datasets/reviewed/imagesTr/{other}_0000.nii.gz" in house.storage.keys("datasets")
    group, _ = house.references.all()
    assert (group.people[0].age_years, group.people[0].case[:5]) == (60.0, "gone-")
    baseline = json.loads(house.storage.read(BASELINE))["heads"]
    assert [head["features"] for head in baseline] == [{"a": 1.5}]
    with pytest.raises(NotFoundError):
        forget(house.cases, house.registry, house.leftovers, WHO)


def test_a_scan_that_comes_while_its_patient_is_forgotten_is_forgotten_too(tmp_path):
    house = House(tmp_path)
    mine, other = house.filled()
    purge, late = house.leftovers.purge, []

    def purge_while_another_comes(ids):
        if not late:
            late.append(house.cases.add(analysis(9), "late", WHO).id)
        return purge(ids)

    house.leftovers.purge = purge_while_another_comes
    receipt = forget(house.cases, house.registry, house.leftovers, WHO)
    assert receipt.cases == (*sorted(mine), *late)
    assert [row.id for row in house.cases.find()] == [other]
    assert house.storage.folders("cases") == [other]
    assert verify(house.engine, house.storage).faults == []
    house.engine.dispose()


def test_a_backup_made_afterwards_holds_nothing_either(tmp_path):
    house = House(tmp_path)
    mine, _ = house.filled()
    forget(house.cases, house.registry, house.leftovers, WHO)
    copy = sqlite3.connect(tmp_path / "backup.sqlite")
    source = sqlite3.connect(house.data / DATABASE_NAME)
    source.backup(copy)
    source.close()
    copy.close()
    content = (tmp_path / "backup.sqlite").read_bytes()
    assert not any(word.encode() in content for word in (WHO, NAME, *mine))
    house.engine.dispose()


def test_a_data_set_that_names_cases_of_another_installation_stays(tmp_path):
    house = House(tmp_path)
    mine, _ = house.filled()
    entry = json.loads(house.storage.read("datasets/reviewed/split.json"))["cases"][mine[0]]
    foreign = {"cases": {"HV-ABCDEF": entry | {"patient": "x"}, mine[0]: entry}}
    for name, content in {
        "split.json": json.dumps(foreign).encode(), "imagesTr/HV-ABCDEF_0000.nii.gz": b"scan",
        f"imagesTr/{mine[0]}_0000.nii.gz": b"scan",
    }.items():  # fmt: skip
        house.storage.write(f"datasets/theirs/{name}", content)
    assert house.leftovers.purge() == 0
    forget(house.cases, house.registry, house.leftovers, WHO)
    assert house.storage.keys("datasets/theirs") == [
        "datasets/theirs/imagesTr/HV-ABCDEF_0000.nii.gz", "datasets/theirs/split.json",
    ]  # fmt: skip
    assert list(json.loads(house.storage.read("datasets/theirs/split.json"))["cases"]) == [
        "HV-ABCDEF"
    ]
    house.engine.dispose()


def test_what_a_killed_removal_left_goes_at_the_next_look(tmp_path):
    house = House(tmp_path)
    mine, _ = house.filled()
    for case_id in mine:  # as if the process had ended here
        house.cases.acts.remove(case_id, "2026-11-25T12:00:00+00:00", lambda record: True)
    house.cases.acts.removed.clear()
    house.leftovers.tick()
    assert traces(house, [case.encode() for case in mine]) == []
    assert house.leftovers.purge() == 0
    house.engine.dispose()


def test_a_case_ends_so_many_days_after_its_review_and_can_be_restored_for_a_week(tmp_path):
    house = House(tmp_path)
    reviewed, fresh, unseen = (house.cases.add(analysis(n), str(n)).id for n in (1, 2, 3))
    house.cases.review(reviewed, "accepted", "A")
    now = house.cases._now
    house.cases._now = lambda: now() + timedelta(days=29)
    house.cases.review(fresh, "accepted", "A")
    caretaker = house.cases.caretaker
    caretaker._now = lambda: now() + timedelta(days=31)
    caretaker._purge_due()
    assert house.cases.count() == 3  # off unless it is set
    caretaker.retention_days = 30
    caretaker._purge_due()
    assert [row.id for row in house.cases.find()] == [fresh]
    assert {row.id for row in house.cases.find(deleted=True)} == {reviewed, unseen}
    assert {line.note for line in lines(house.engine, act="delete")} == {"30 days after its review"}
    caretaker._now = lambda: now() + timedelta(days=39)
    caretaker._purge_due()
    assert house.cases.find(deleted=True) == []
    assert house.storage.keys(f"cases/{reviewed}") == []
    house.engine.dispose()


def test_what_is_kept_of_patients_is_for_the_servers_user_alone(tmp_path):
    house = House(tmp_path)
    house.filled()
    open_files = [
        path for path in house.data.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077 and "jobs" not in path.parts
    ]  # fmt: skip
    assert [path.name for path in open_files if path.name != ".lock"] == []
    assert house.data.stat().st_mode & 0o777 == 0o700
    house.engine.dispose()


# Acts, and how many steps of storage and database each has; a kill comes at any of them.
STEPS = {"upload": 29, "correction": 37, "delete": 25, "forget": 81}
SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 100))]
# Or after so many seconds at most, which an act takes: in the middle of a step as well.
WITHIN_S = 0.15


def act_of(folder, act, case_id, step, kill_after_s=None):
    """In a child: one act, with a call of a hook at each of its steps, or a kill after a while."""
    calls = Steps(0, die)
    house = House(folder, FaultyStorage(LocalStorage(folder / "data" / "storage"),
                                        lambda *call: calls(*call)))  # fmt: skip
    house.cases.caretaker._tell(finished=True)
    for name in ("begin", "commit"):
        event.listen(house.engine, name, lambda _: calls("database", "", "before"))
    for name in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(house.engine, name, lambda *_: calls("database", "", "statement"))
    event.listen(house.engine.pool, "checkin", lambda *_: calls("database", "", "after"))
    calls = step  # from here on
    if kill_after_s is not None:
        threading.Timer(kill_after_s, die).start()
    if act == "upload":
        house.cases.add(analysis(2), "2", WHO)
    elif act == "correction":
        house.corrections.save(case_id, packed(5), base=0, author="A", comment="")
    elif act == "delete":
        house.cases.delete(case_id)
    else:
        forget(house.cases, house.registry, house.leftovers, WHO)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_leaves_no_orphan_no_row_without_its_file_and_no_act_without_its_line(
    seed, tmp_path
):
    chance = random.Random(seed)  # noqa: S311 - no secret
    act = [*STEPS][seed % len(STEPS)]
    case_id = begun(tmp_path)
    hook = Steps(chance.randrange(1, STEPS[act] + 1), die)
    assert in_child(lambda: act_of(tmp_path, act, case_id, hook)) == -9
    check_after(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_the_same_at_any_moment(seed, tmp_path):
    chance = random.Random(seed)  # noqa: S311 - no secret
    act = [*STEPS][seed % len(STEPS)]
    case_id = begun(tmp_path)
    after_s = chance.uniform(0, WITHIN_S)
    ended = in_child(lambda: act_of(tmp_path, act, case_id, Steps(0, die), after_s))
    assert ended in (0, -9)
    print(f"{act}, {after_s:.3f} s: {'killed' if ended else 'done before'}")
    check_after(tmp_path)


def begun(folder):
    """An installation with one case; its id."""
    house = House(folder)
    case_id = house.cases.add(analysis(1), "1", WHO).id
    house.cases.import_from_storage()
    house.engine.dispose()
    return case_id


def check_after(folder):
    """A start, a day later: files, rows and lines agree."""
    after = House(folder)
    for path in (after.data / "storage").rglob("*"):  # a day later
        if path.is_file():
            os.utime(path, (1e9, 1e9))
    after.cases.import_from_storage()
    after.cases.purge_expired()
    shown = {row.id for deleted in (False, True) for row in after.cases.find(deleted=deleted)}
    assert shown == set(after.storage.folders("cases"))
    for one in shown:
        record = json.loads(after.storage.read(record_key(one)))
        named = {"image.nii.gz", "mask.nii.gz", "record.json"}
        named |= {f"masks/{m['number']}-{m['token']}.nii.gz" for m in record["masks"]}
        assert {key.split("/", 2)[2] for key in after.storage.keys(f"cases/{one}")} == named
        told = [line.act for line in lines(after.engine, what=mark(after.engine, "case", one))]
        assert told == [done["act"] for done in record["acts"]][::-1]
    if not shown:
        assert lines(after.engine, act="remove")
        assert lines(after.engine, act="forget")
    assert verify(after.engine, after.storage).faults == []
    after.engine.dispose()
