"""Promotions, registrations and trainings at the same time, on a storage that fails and stalls, in
a process that is killed anywhere: afterwards storage, database and process say the same."""

import atexit
import json
import os
import random
import shutil
from collections import Counter
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import select

from core.models.registrations import RECORDED, numbers
from core.models.service_log import Note, ServiceLog
from core.state.database import reading
from core.state.storage import LocalStorage
from core.state.tables import JOBS, REGISTRATIONS, VERSIONS
from core.training.jobs import Jobs, Work
from tests.adversarial.chaos import KILLED, Chaos, Journal, acts_of, at_once
from tests.ends import in_child
from tests.faulty import FaultyStorage
from tests.tiny_models import (
    TinyPredictors,
    add,
    copied,
    lose_database,
    tiny_registry,
    truth_of,
)

RUNS, MANY, RUNS_A_TEST = 10, 500, 10
# In one run of five nothing is killed: there all must agree without a start.
SPARED = 5


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
    """One that goes with this process."""
    folder = Path(mkdtemp(prefix="hippoview-test-"))
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
    """What happens in the process that may be killed; a journal tells of each act twice."""

    each = 5
    last_step = 350

    def __init__(self, folder, seed):
        self.seed = seed
        kill_at = random.Random(seed).randint(1, self.last_step)  # noqa: S311 - no secret
        self.chaos = Chaos(seed, 0.06, 0.1, kill_at if seed % SPARED else None)
        self.journal = Journal(folder / "journal")
        self.act = self.journal.act
        self.storage, self.registry, self.predictors, self.jobs = opened(folder)

    def go(self):
        self.predictors.load()
        self.storage.hook = self.chaos
        self.chaos.watch(self.registry._engine)
        at_once(self.workers())
        self.chaos.calm()
        self.registry.settle()
        self.predictors.follow(lambda: self.registry.serving().number, self.registry.open)
        assert truth_of(self.registry, self.predictors, self.storage).agrees

    def workers(self):
        acts = (self.promote, self.roll_back, self.register, self.manage, self.work)
        return [
            partial(act, random.Random(f"{self.seed} {act.__name__}"))  # noqa: S311 - no secret
            for act in acts
        ]

    def change(self, action, number):
        note = Note(f"of run {self.seed}", f"to {action} it", ("failed: something",))
        change = partial(getattr(self.registry, action), number, note)
        with self.act(action, "", number):
            self.predictors.swap(partial(self.registry.open, number), change)

    def promote(self, luck):
        for _ in range(self.each):
            self.change("promote", luck.choice(self.registry.find()).number)

    def roll_back(self, luck):
        for _ in range(self.each):
            number = self.registry.previous()
            if number is not None:
                self.change("roll_back", number)

    def register(self, luck):
        for n in range(self.each):
            with self.act("register", "", f"own {n}"):
                add(self.registry, f"own {n}")

    def manage(self, luck):
        """As the page."""
        kinds = ["submit", "cancel", "cancel", "resume"] * self.each
        for n, kind in enumerate(luck.sample(kinds, len(kinds))):
            if kind == "submit":
                self.submit(f"job {n}")
            else:
                job_id = luck.choice(self.jobs.find()).id
                with self.act(kind, "", job_id):
                    getattr(self.jobs, kind)(job_id)

    def submit(self, tag):
        with self.act("submit", "", tag):
            self.jobs.submit({"tag": tag})

    def work(self, luck):
        """As the supervisor, and as the child of each job."""
        begun = rounds = 0
        while rounds < 2 * self.each or not begun:
            rounds += 1
            self.jobs.tick()
            with reading(self.registry._engine) as connection:
                row = connection.execute(select(JOBS).where(JOBS.c.state == "running")).first()
            if row is None:
                self.submit(f"own {rounds}")
                continue
            work = Work(self.registry._engine, row.id, attempt=row.attempt)
            begun += 1
            with self.act("begin", "", row.id) as act:
                if not work.begin() or luck.random() < 0.3:
                    continue
                made = self.registry.made_by(row.uid)
                if made is None:
                    made = add(self.registry, f"of {row.uid}", job_uid=row.uid)
                if work.succeed(made.number):
                    act.result = made.number


def check_versions(storage, registry, acts):
    found = {version.number: version for version in registry.find()}
    tags = Counter(version.lineage.get("tag") for version in found.values())
    for act in acts:
        if act.kind == "register":
            assert tags[act.value] == 1 or (tags[act.value] == 0 and act.state != "done")
        if act.result is not None and act.kind == "begin":
            assert found[act.result].lineage["job_uid"]
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


def check_service(storage, registry, acts):
    """Each acknowledged change is in the history, and no change is there twice."""
    assert ServiceLog(storage).read()[1] == registry.history()[::-1]
    assert all(entry.note.by for entry in registry.history()[:-2])  # the template's two have none
    history = Counter((entry.number, entry.action) for entry in registry.history())
    history[2, "promoted"] -= 1  # the template's
    words = {"promote": "promoted", "roll_back": "rolled back"}
    tried = Counter((act.value, words[act.kind]) for act in acts if act.kind in words)
    done = Counter(
        (act.value, words[act.kind]) for act in acts if act.kind in words and act.state == "done"
    )
    for change in set(history) | set(tried):
        if change[1] in words.values():
            assert done[change] <= history[change] <= tried[change]


def check_jobs(jobs, acts):
    found = {job.id: job for job in jobs.find()}
    tags = Counter(job.spec["tag"] for job in found.values())
    cancelled = set()
    for act in acts:
        if act.kind == "submit":
            assert tags[act.value] == 1 or (tags[act.value] == 0 and act.state != "done")
        if act.kind == "cancel" and act.state == "done":
            cancelled.add(act.value)
        if act.kind == "resume":
            cancelled.discard(act.value)
        if act.kind == "begin" and act.result is not None:
            assert found[act.value].state == "succeeded"
            assert found[act.value].version == act.result
    assert {found[job_id].state for job_id in cancelled} <= {"cancelled"}
    assert sum(job.state == "running" for job in found.values()) <= 1
    for job in found.values():
        assert (job.version is not None) == (job.state == "succeeded")


def check(folder, acts):
    """Start on what is left, with its database and without; what then serves is the same."""
    before = None
    for lost in (False, True):
        if lost:
            lose_database(folder)
        storage, registry, predictors, jobs = opened(folder)
        predictors.load(before=registry.prepare)
        predictors.check()
        truth = truth_of(registry, predictors, storage)
        assert truth.agrees
        check_versions(storage, registry, acts)
        check_service(storage, registry, acts)
        if not lost:
            jobs.tick()
            check_jobs(jobs, acts)
            before = truth
        assert truth == before
        registry._engine.dispose()
        yield


def interrupt(folder, kind, seed):
    """One run in a process of its own, which may be killed; whether it was, and its acts."""
    status = in_child(lambda: kind(folder, seed).go())
    assert status in (0, KILLED), f"seed {seed}"
    return status == KILLED, acts_of(folder / "journal")


def check_runs(first, count):
    killed, place = [], quick_folder()
    for seed in range(first, first + count):
        folder = copied(template(), place / str(seed) / "var")
        was_killed, acts = interrupt(folder, Run, seed)
        killed.append(was_killed)
        for _ in check(folder, acts):
            continue
    assert True in killed
    assert False in killed


@pytest.mark.parametrize("first", range(0, RUNS, RUNS_A_TEST))
def test_whatever_is_interrupted_the_three_agree(first):
    check_runs(first, RUNS_A_TEST)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 1000 + MANY, 50))
def test_the_same_many_times(first):
    check_runs(first, 50)
