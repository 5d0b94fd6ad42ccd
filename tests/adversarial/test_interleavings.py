"""Acts on cases by several at once, on a storage that fails and in a process that is killed.

Afterwards database and storage agree, what was acknowledged is there, nothing twice, and no
file of another case has changed.
"""

import gzip
import json
import os
import random
from collections import Counter
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sqlalchemy import Engine

from core.cases import lines as case_lines
from core.cases import store as cases_module
from core.cases.case import CaseRow
from core.cases.corrections import Corrections
from core.cases.records import record_of, record_of_row
from core.cases.store import Cases
from core.people.audit import lines, mark
from core.state.database import connect, reading
from core.state.storage import LocalStorage, Storage
from tests.adversarial.chaos import (
    KILLED,
    Act,
    Chaos,
    Journal,
    acts_of,
    at_once,
    check_last,
)
from tests.ends import in_child
from tests.faulty import FaultyStorage
from tests.tiny import analysis, number_of, packed

# No more than one thread does; all of them are each kind at least once.
ACTS = ["add", "correct", "correct", "review", "rename", "delete", "restore", "care"]
# What only two databases see; all else `test_interleavings_together` sees as well.
FEW = 10
MANY = 1000
KILLS = 10
MANY_KILLS = 400


class Server:
    """What one process has: a database of its own or shared, and the storage of all."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self.engine = engine
        self.cases = Cases(engine, storage)
        self.corrections = Corrections(engine, storage, self.cases)

    def close(self) -> None:
        self.engine.dispose()


def opened(folder: Path, database: str, chaos: Chaos) -> Server:
    """A process's parts, in which what a hook says happens."""
    engine = connect(folder / database)
    chaos.watch(engine)
    return Server(engine, FaultyStorage(LocalStorage(folder / "storage"), chaos))


def work(
    server: Server, journal: Journal, seed: int, count: int, shared: list[str], first: int
) -> None:
    """So many acts, on random cases of all. Each act has a number that no other has."""
    rng = random.Random(seed)  # noqa: S311
    cases = server.cases
    for number, kind in enumerate(rng.sample(ACTS, count), first):
        if kind == "care":
            cases.caretaker.tick()
            continue
        subject = "" if kind == "add" else rng.choice(shared)
        who = f"n{number}"
        with journal.act(kind, subject, who) as act:
            if kind == "add":
                act.subject = cases.add(analysis(number), who).id
                shared.append(act.subject)
            elif kind == "correct":
                base = cases.get(subject).mask_version
                act.result = base + 1
                server.corrections.save(subject, packed(number), base=base, author=who, comment="")
            elif kind == "review":
                cases.review(subject, rng.choice(["accepted", "rejected"]), who, who)
            elif kind == "rename":
                cases.rename(subject, who)
            elif kind == "delete":
                cases.delete(subject)
            else:
                cases.restore(subject)


def begin(folder: Path, database: str = "db-0") -> list[str]:
    """Two cases that nobody is at work on yet; their ids."""
    server = opened(folder, database, Chaos(0))
    try:
        return [server.cases.add(analysis(number), f"n{number}").id for number in (1, 2)]
    finally:
        server.close()


def check(folder: Path, database: str, acts: list[Act], ids: list[str]) -> None:
    """Start on this database, then hold everything against everything."""
    storage = LocalStorage(folder / "storage")
    for key in storage.keys("cases"):  # a day has passed
        os.utime(folder / "storage" / key, (0, 0))
    server = opened(folder, database, Chaos(0))
    try:
        server.cases.import_from_storage()
        _check(storage, server, acts, ids)
    finally:
        server.close()


def _check(storage: LocalStorage, server: Server, acts: list[Act], ids: list[str]) -> None:
    cases = server.cases
    rows = {row.id: row for row in (*cases.find(), *cases.find(deleted=True))}
    numbers = Counter(_scan_number(storage, case_id) for case_id in rows)
    assert max(numbers.values()) == 1, "a scan was added twice"
    added = {act.value: act for act in acts if act.kind == "add"}
    for number, case_id in ((1, ids[0]), (2, ids[1])):
        assert _scan_number(storage, case_id) == number, "another's scan lies in this case"
    for act in added.values():
        if act.state == "done":
            assert act.subject in rows, f"{act} is not there"
            assert _scan_number(storage, act.subject) == int(act.value[1:])
    files = set(storage.keys("cases"))
    for case_id, row in rows.items():
        own = [act for act in acts if act.subject == case_id and act.kind != "add"]
        files -= _check_case(storage, server, row, own, f"n{_scan_number(storage, case_id)}")
    assert files == set(), "files that no record knows"


def _check_case(
    storage: LocalStorage, server: Server, row: CaseRow, acts: list[Act], first_name: str
) -> set[str]:
    """Hold one case against its acts; its files."""
    folder = f"cases/{row.id}"
    record = record_of(storage, row.id, storage.read(f"{folder}/record.json"))
    with reading(server.engine) as connection:
        in_row = record_of_row(connection, row.id)
    told = Counter((one["act"], one["after"]) for one in record.pop(case_lines.ACTS, []))
    assert in_row == record, "database and storage differ"
    trail = lines(server.engine, what=mark(server.engine, "case", row.id))
    assert told <= Counter((line.act, line.after) for line in trail), "an act has no line"
    scan_number = int(first_name[1:])
    assert number_of(_labels(storage.read(f"{folder}/mask.nii.gz"))) == scan_number
    check_last(record["name"], [a for a in acts if a.kind == "rename"], first_name)
    check_last(record["reviewer"], [a for a in acts if a.kind in ("review", "correct")], "")
    switches = [a for a in acts if a.kind in ("delete", "restore")]
    for act in switches:
        act.value = act.kind
    check_last("restore" if record["deleted_at"] is None else "delete", switches, "restore")
    # Each saved mask is there once, under its number, and holds what was drawn.
    authors = [mask["author"] for mask in record["masks"]]
    assert len(set(authors)) == len(authors), "a mask was saved twice"
    assert [mask["number"] for mask in record["masks"]] == list(range(1, len(authors) + 1))
    assert record["mask_version"] == len(authors)
    files = {f"{folder}/{name}" for name in ("image.nii.gz", "mask.nii.gz", "record.json")}
    for mask in record["masks"]:
        key = f"{folder}/masks/{mask['number']}-{mask['token']}.nii.gz"
        assert number_of(_labels(storage.read(key))) == int(mask["author"][1:])
        files.add(key)
    for act in acts:
        if act.kind == "correct" and act.state == "done":
            assert authors[act.result - 1] == act.value, f"{act} is not there"
        if act.kind == "correct" and act.state == "refused":
            assert act.value not in authors
    return files


def _scan_number(storage: LocalStorage, case_id: str) -> int:
    scan = gzip.decompress(storage.read(f"cases/{case_id}/image.nii.gz"))
    return int(np.asarray(nib.Nifti1Image.from_bytes(scan).dataobj)[0, 0, 0])


def _labels(content: bytes) -> np.ndarray:
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(content)).dataobj, np.uint8)


@pytest.fixture
def few_ids(monkeypatch):
    """So few ids that two scans often want the same."""
    monkeypatch.setattr(cases_module, "LETTERS", "01")
    monkeypatch.setattr(cases_module, "_ID_LENGTH", 4)


@pytest.fixture
def folder(few_ids, tmp_path):
    return tmp_path


def interleave(folder: Path, seed: int) -> list[Act]:
    """Two servers with a database each, two threads in each, on one storage."""
    ids = begin(folder)
    shared = list(ids)
    path = folder / "journal"
    journal = Journal(path)
    chaos = Chaos(seed, fail=0.06, stall=0.2)
    servers = [opened(folder, f"db-{number}", chaos) for number in range(2)]
    at_once(
        [
            partial(work, servers[n % 2], journal, seed * 10 + n, 5, shared, 100 * (n + 1))
            for n in range(4)
        ]
    )
    chaos.calm()
    journal.close()
    for server in servers:
        server.close()
    acts = acts_of(path)
    for database in ("db-0", "db-1", "lost"):
        check(folder, database, acts, ids)
    return acts


def test_the_acts_are_of_all_kinds_and_end_in_all_ways(folder):
    seen = Counter()
    for seed in range(8):
        for act in interleave(folder / str(seed), seed):
            seen[act.kind, act.state] += 1
    for kind in ("add", "correct", "review", "rename", "delete", "restore"):
        assert seen[kind, "done"], kind
    assert sum(n for (_, state), n in seen.items() if state == "unknown")
    assert seen["correct", "refused"]


@pytest.mark.parametrize("seed", range(100, 100 + FEW, 10))
def test_whatever_fails_between_several_at_once_storage_and_database_agree(seed, folder):
    for each in range(seed, seed + 10):
        interleave(folder / str(each), each)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1000 + MANY, 50))
def test_the_same_many_times(seed, folder):
    for each in range(seed, seed + 50):
        interleave(folder / str(each), each)


def _die(folder: Path, seed: int, kill_at: int, ids: list[str]) -> None:
    """In a child: two threads at work, until the process is killed."""
    server = opened(folder, "db-0", Chaos(seed, fail=0.02, stall=0.1, kill_at=kill_at))
    journal = Journal(folder / "journal")
    shared = list(ids)
    server.cases.caretaker.tick()
    at_once(
        [partial(work, server, journal, seed * 10 + n, 6, shared, 100 * (n + 1)) for n in range(2)]
    )


def kill(folder: Path, seed: int) -> bool:
    """Whether a child was killed; what it left is right, also without its database."""
    ids = begin(folder)
    kill_at = random.Random(seed).randrange(20, 150)  # noqa: S311
    status = in_child(lambda: _die(folder, seed, kill_at, ids))
    assert status in (0, KILLED)
    journal = folder / "journal"
    acts = acts_of(journal) if journal.exists() else []
    for database in ("db-0", "lost"):
        check(folder, database, acts, ids)
    return status == KILLED


@pytest.mark.parametrize("seed", range(0, KILLS, 10))
def test_wherever_a_process_is_killed_a_start_makes_all_agree(seed, folder):
    killed = [kill(folder / str(each), each) for each in range(seed, seed + 10)]
    assert any(killed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1000 + MANY_KILLS, 50))
def test_the_same_with_many_kills(seed, folder):
    killed = [kill(folder / str(each), each) for each in range(seed, seed + 50)]
    assert any(killed)


def test_the_check_sees_what_was_lost_and_what_was_mixed_up(folder):
    """The harness can fail: each damage by hand is seen."""
    ids = begin(folder)
    storage = LocalStorage(folder / "storage")
    path = f"cases/{ids[0]}/record.json"
    whole = storage.read(path)
    done = Act("rename", ids[0], "n7", 1, 2, "done")
    damages = {
        "an acknowledged name": ([done], {}),
        "a mask": ([Act("correct", ids[0], "n8", 1, 2, "done", 1)], {}),
        "a case": ([Act("add", "HV-9999", "n9", 1, 2, "done")], {}),
        "another's scan": (
            [], {f"cases/{ids[0]}/image.nii.gz": storage.read(f"cases/{ids[1]}/image.nii.gz")}
        ),
        "another's mask": (
            [], {f"cases/{ids[0]}/mask.nii.gz": storage.read(f"cases/{ids[1]}/mask.nii.gz")}
        ),
        "another name": ([], {path: json.dumps(json.loads(whole) | {"name": "n5"}).encode()}),
    }  # fmt: skip
    check(folder, "db-0", [], ids)
    for acts, files in damages.values():
        before = {key: storage.read(key) for key in files}
        for key, content in files.items():
            storage.write(key, content)
        with pytest.raises((AssertionError, IndexError)):
            check(folder, "db-0", acts, ids)
        for key, content in before.items():
            storage.write(key, content)
