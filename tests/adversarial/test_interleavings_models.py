"""Promotions, registrations and trainings at the same time, on a storage that fails and stalls, in
a process that is killed anywhere: afterwards storage, database and process say the same."""

import atexit
import json
import os
import random
import shutil
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import event, select

from core.database import JOBS, REGISTRATIONS, VERSIONS, reading
from core.errors import HippoViewError
from core.jobs import Jobs, Work
from core.registrations import RECORDED, numbers
from core.storage import LocalStorage
from tests.ends import die, fail, in_child
from tests.faulty import FaultyStorage
from tests.tiny_models import (
    TinyPredictors,
    add,
    copied,
    lose_database,
    tiny_registry,
    truth_of,
)

RUNS, RUNS_A_TEST = 100, 10
ACTS = 5
KILLED = -9
# Shares of the storage's calls that fail before they are done, after, or take long.
FAILS, LIES, STALLS, STALL_S = 0.03, 0.03, 0.1, 0.004
# In one run of five nothing is killed: there all must agree without a start.
SPARED, LAST_STEP = 5, 180


class OwnProcess:
    """In the place of a training's process: the one that runs this."""

    returncode = None

    def __init__(self):
        self.pid = os.getpid()

    def poll(self):
        return None


def nothing(call, key, when):
    """The storage does as it is told."""


def opened(folder, hook=nothing):
    """An installation's parts, as a process has them."""
    storage = FaultyStorage(LocalStorage(folder / "storage"), hook)
    registry = tiny_registry(folder, storage)
    jobs = Jobs(registry._engine, folder)
    jobs._process = lambda job_id, attempt: OwnProcess()
    return storage, registry, TinyPredictors(registry), jobs


def quick_folder():
    """In memory where that can be: a kill, unlike a power failure, loses nothing of it."""
    memory = Path("/dev/shm")  # noqa: S108 - only this user may read what mkdtemp makes
    folder = Path(mkdtemp(prefix="hippoview-test-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def template():
    """The data folder that every run begins with: three versions, two of which have served."""
    folder = quick_folder() / "var"
    _, registry, _, jobs = opened(folder)
    registry.prepare()
    add(registry, "second")
    add(registry, "third")
    registry.promote(2)
    jobs.submit({"tag": "the first"})
    registry._engine.dispose()
    return folder


class Run:
    """What happens in the process that may be killed; a diary tells of each act twice."""

    def __init__(self, folder, seed):
        self.seed, self.random = seed, random.Random(seed)  # noqa: S311 - no secret
        self.kill_at = self.random.randint(1, LAST_STEP) if seed % SPARED else 0
        self.steps, self.lock = 0, threading.Lock()
        self.diary = os.open(folder / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.storage, self.registry, self.predictors, self.jobs = opened(folder)

    def go(self):
        self.predictors.load()
        self.storage.hook = self.hook
        for moment in ("begin", "commit"):
            event.listen(self.registry._engine, moment, self.step)
        acts = (self.promote, self.roll_back, self.add, self.manage, self.work)
        threads = [threading.Thread(target=act, args=(self.luck(act),)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.kill_at, self.storage.hook = 0, nothing
        self.registry.settle()
        self.predictors.follow(lambda: self.registry.serving().number, self.registry.open)
        truth = truth_of(self.registry, self.predictors, self.storage)
        self.note("end", "run", agrees=truth.agrees)

    def luck(self, act):
        return random.Random(f"{self.seed} {act.__name__}")  # noqa: S311 - no secret

    def step(self, connection=None):
        with self.lock:
            self.steps += 1
            if self.steps == self.kill_at:
                die()

    def hook(self, call, key, when):
        self.step()
        with self.lock:
            luck, pause_s = self.random.random(), self.random.random() * STALL_S
        if luck < STALLS:
            time.sleep(pause_s)  # the storage stalls
        elif luck > 1 - (FAILS if when == "before" else LIES):
            fail()

    @contextmanager
    def act(self, kind, **about):
        """Of an act that fails in words nothing is claimed: it may have happened or not."""
        self.note("try", kind, **about)
        try:
            yield
        except HippoViewError:
            return
        self.note("done", kind, **about)

    def note(self, how, kind, **about):
        os.write(self.diary, (json.dumps({"how": how, "kind": kind, **about}) + "\n").encode())

    def change(self, action, number):
        change = partial(getattr(self.registry, action), number)
        with self.act(action, number=number):
            self.predictors.swap(partial(self.registry.open, number), change)

    def promote(self, luck):
        for _ in range(ACTS):
            self.change("promote", luck.choice(self.registry.find()).number)

    def roll_back(self, luck):
        for _ in range(ACTS):
            number = self.registry.previous()
            if number is not None:
                self.change("roll_back", number)

    def add(self, luck):
        for n in range(ACTS):
            with self.act("add", tag=f"own {n}"):
                add(self.registry, f"own {n}")

    def manage(self, luck):
        """As the page."""
        for n in range(2 * ACTS):
            job_id, what = luck.choice(self.jobs.find()).id, luck.choice(["submit", "end", "end"])
            if what == "submit":
                with self.act("submit", tag=f"job {n}"):
                    self.jobs.submit({"tag": f"job {n}"})
            else:
                what = luck.choice(["cancel", "cancel", "resume"])
                with self.act(what, job=job_id):
                    getattr(self.jobs, what)(job_id)

    def work(self, luck):
        """As the supervisor, and as the child of each job."""
        for _ in range(2 * ACTS):
            self.jobs.tick()
            with reading(self.registry._engine) as connection:
                row = connection.execute(select(JOBS).where(JOBS.c.state == "running")).first()
            if row is None:
                continue
            work = Work(self.registry._engine, row.id, attempt=row.attempt)
            with self.act("work", job=row.id):
                if not work.begin() or luck.random() < 0.3:
                    continue
                made = self.registry.made_by(row.uid)
                if made is None:
                    made = add(self.registry, f"of {row.uid}", job_uid=row.uid)
                if work.succeed(made.number):
                    self.note("done", "succeed", job=row.id, number=made.number)


def diary_of(folder):
    lines = (folder / "diary").read_bytes().splitlines() if (folder / "diary").exists() else []
    return [json.loads(line) for line in lines]


def check_versions(storage, registry, diary):
    found = {version.number: version for version in registry.find()}
    tags = Counter(version.lineage.get("tag") for version in found.values())
    for line in diary:
        if line["kind"] == "add":
            assert tags[line["tag"]] <= 1
            assert line["how"] == "try" or tags[line["tag"]] == 1
        if line["kind"] == "succeed":
            assert found[line["number"]].lineage["job_uid"]
    uids = Counter(v.lineage["job_uid"] for v in found.values() if "job_uid" in v.lineage)
    assert max(uids.values(), default=0) <= 1
    # Killed between making a folder and its first file, a local storage keeps it, empty.
    assert {n for n in numbers(storage) if storage.keys(f"models/{n}")} == found.keys()
    for number in found:
        with registry.open(number) as model:
            assert model.version == str(number)
    with reading(registry._engine) as connection:
        assert connection.execute(select(REGISTRATIONS)).all() == []
        for row in connection.execute(select(VERSIONS)):
            record = json.loads(storage.read(f"models/{row.number}/version.json"))
            assert record == {name: getattr(row, name) for name in RECORDED}
    assert sum(version.stage == "serving" for version in found.values()) == 1


def check_service(registry, diary):
    """Each acknowledged change is in the history, and no change is there twice."""
    history = Counter((number, action) for _, number, action in registry.history())
    history[2, "promoted"] -= 1  # the template's
    words = {"promote": "promoted", "roll_back": "rolled back"}
    tried, done = (
        Counter(
            (line["number"], words[line["kind"]])
            for line in diary if line["kind"] in words and line["how"] == how
        )
        for how in ("try", "done")
    )  # fmt: skip
    for change in set(history) | set(tried):
        if change[1] in words.values():
            assert done[change] <= history[change] <= tried[change]


def check_jobs(jobs, diary):
    found = {job.id: job for job in jobs.find()}
    tags = Counter(job.spec["tag"] for job in found.values())
    cancelled = set()
    for line in diary:
        if line["kind"] == "submit":
            assert tags[line["tag"]] == 1 or (line["how"] == "try" and tags[line["tag"]] == 0)
        if line["kind"] == "cancel" and line["how"] == "done":
            cancelled.add(line["job"])
        if line["kind"] == "resume":
            cancelled.discard(line["job"])
        if line["kind"] == "succeed":
            assert found[line["job"]].state == "succeeded"
            assert found[line["job"]].version == line["number"]
    assert {found[job_id].state for job_id in cancelled} <= {"cancelled"}
    assert sum(job.state == "running" for job in found.values()) <= 1
    for job in found.values():
        assert (job.version is not None) == (job.state == "succeeded")


@pytest.mark.parametrize("first", range(0, RUNS, RUNS_A_TEST))
def test_whatever_is_interrupted_the_three_agree(first):
    statuses, place = [], quick_folder()
    for seed in range(first, first + RUNS_A_TEST):
        folder = copied(template(), place / str(seed) / "var")
        statuses.append(in_child(lambda folder=folder, seed=seed: Run(folder, seed).go()))
        diary = diary_of(folder)
        assert statuses[-1] in (0, KILLED), f"seed {seed}"
        if statuses[-1] == 0:
            assert diary[-1]["agrees"], f"seed {seed}"
        before = None
        for lost in (False, True):
            if lost:
                lose_database(folder)
            storage, registry, predictors, jobs = opened(folder)
            predictors.load(before=registry.prepare)
            predictors.check()
            truth = truth_of(registry, predictors, storage)
            assert truth.agrees, f"seed {seed}"
            check_versions(storage, registry, diary)
            check_service(registry, diary)
            if not lost:
                jobs.tick()
                check_jobs(jobs, diary)
                before = truth
            assert truth == before, f"seed {seed}"
            registry._engine.dispose()
    assert KILLED in statuses
    assert 0 in statuses
