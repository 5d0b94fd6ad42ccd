import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from sqlalchemy import event

from core import limits
from core.errors import ConflictError, NotFoundError, StorageError
from core.state import processes
from core.state.database import DATABASE_NAME, connect
from core.state.tables import JOBS
from core.training import jobs as module
from core.training import work as work_module
from core.training.config import TrainingRequest
from core.training.jobs import Jobs, Work
from tests.older import older_database

SLEEPER = [sys.executable, "-c", "input()"]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def engine(tmp_path):
    return connect(tmp_path)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def jobs(engine, tmp_path, clock):
    return Jobs(engine, tmp_path, clock)


@pytest.fixture
def children(monkeypatch, jobs):
    """Processes that only wait, in the place of trainings."""
    made = []

    def start(job_id, attempt):
        child = subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, start_new_session=True)
        made.append(child)
        return child

    monkeypatch.setattr(jobs, "_process", start)
    yield made
    for child in made:
        child.kill()
        child.wait()
        child.stdin.close()


def look_for(jobs, clock, seconds):
    """Look once a second, as the server does."""
    for _ in range(int(seconds)):
        clock.now_s += 1
        jobs.tick()


def work_on(engine, jobs, job_id):
    """The child's side of the newest start of a job."""
    with engine.begin() as connection:
        row = connection.execute(JOBS.select().where(JOBS.c.id == job_id)).one()
    return Work(engine, job_id, attempt=row.attempt)


def far(engine):
    """Say that all jobs run on another machine: only their signs tell that they live."""
    with engine.begin() as connection:
        connection.execute(JOBS.update().values(host="elsewhere"))


def test_one_runs_the_others_wait_in_order(jobs, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "_start", lambda job_id, attempt: started.append(job_id))
    first, second = (jobs.submit({"n": n}).id for n in range(2))
    jobs.tick()
    jobs.tick()
    assert started == [first]
    assert [job.state for job in jobs.find()] == ["queued", "running"]
    jobs.cancel(first)
    jobs.tick()
    assert started == [first, second]


def test_the_spec_of_a_job_is_kept_as_asked(jobs):
    request = TrainingRequest("one", "quick", ["epochs=3"])
    kept = jobs.get(jobs.submit(request.as_dict()).id).spec
    assert TrainingRequest(**kept) == request
    assert json.dumps(kept)


def test_an_unknown_job_is_not_found(jobs):
    for call in (jobs.get, jobs.cancel, jobs.resume, jobs.log):
        with pytest.raises(NotFoundError):
            call(99)


def test_an_epoch_done_again_replaces_what_came_after_it(jobs, engine):
    work = Work(engine, jobs.submit({}).id)
    assert work.begin()
    values = dict.fromkeys(
        ("train_loss", "val_loss", "dice_anterior", "dice_posterior", "seconds"), 0.5
    )
    for epoch in (0, 1, 2, 1):
        work.epoch(f"{epoch:064}", epoch=epoch, **values)
    assert [epoch.epoch for epoch in jobs.epochs(work.job_id)] == [0, 1]
    assert len(work.checkpoints()) == 2


@pytest.fixture
def stalls(jobs, monkeypatch):
    """Processes that end as one that stood still, in the place of trainings."""
    started = []

    def start(job_id, attempt):
        code = f"raise SystemExit({module.STALLED_EXIT})"
        child = subprocess.Popen([sys.executable, "-c", code])
        child.wait()
        started.append(job_id)
        return child

    monkeypatch.setattr(jobs, "_process", start)
    return started


def test_a_training_that_stood_still_is_started_again_but_not_for_ever(jobs, stalls):
    job = jobs.submit({})
    for _ in range(limits.MAX_RESTARTS + 3):
        jobs.tick()
    assert len(stalls) == 1 + limits.MAX_RESTARTS
    assert jobs.get(job.id).state == "lost"
    assert "stood still" in jobs.get(job.id).message
    jobs.resume(job.id)
    jobs.tick()
    jobs.tick()
    assert len(stalls) == 3 + limits.MAX_RESTARTS  # a person's resume allows as many again


def test_a_machine_that_was_halted_with_its_clock_going_on_is_no_fault_of_the_training(
    jobs, clock, stalls
):
    job = jobs.submit({})
    for n in range(3 * limits.MAX_RESTARTS):
        jobs.tick()
        assert (jobs.get(job.id).state, len(stalls)) == ("running", n + 1)
        clock.now_s += 3600
    jobs.tick()
    for _ in range(int(limits.LOST_AFTER_S / limits.HEARTBEAT_S) + limits.MAX_RESTARTS + 2):
        clock.now_s += limits.HEARTBEAT_S  # from now on the machine is awake
        jobs.tick()
    assert jobs.get(job.id).state == "lost"


@pytest.mark.parametrize("when", ["while it comes to life", "before its number is known"])
def test_what_is_cancelled_while_its_process_starts_stays_so(
    when, jobs, engine, children, monkeypatch
):
    job = jobs.submit({})
    start = jobs._process

    def cancelled_meanwhile(job_id, attempt):
        if when == "while it comes to life":
            child = start(job_id, attempt)
            jobs.cancel(job_id)
            return child
        jobs.cancel(job_id)
        return start(job_id, attempt)

    monkeypatch.setattr(jobs, "_process", cancelled_meanwhile)
    jobs.tick()
    assert children[0].wait(30) == -signal.SIGKILL
    work = work_on(engine, jobs, job.id)
    assert not work.begin()
    assert not work.still_mine()
    assert not work.succeed(7)
    work.phase("Training")
    jobs.tick()
    assert (jobs.get(job.id).state, jobs.get(job.id).version) == ("cancelled", None)
    assert len(children) == 1


def test_a_child_of_a_job_that_is_not_its_own_ends_at_once(engine, jobs, tmp_path):
    job = jobs.submit({})
    jobs.cancel(job.id)
    done = subprocess.run(
        [sys.executable, "-m", "core.training", str(job.id), "1"], capture_output=True, text=True,
        env={**os.environ, "HIPPOVIEW_DATA_DIR": str(tmp_path)}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "cancelled" in done.stderr
    assert jobs.get(job.id).state == "cancelled"


def test_a_process_of_an_earlier_start_has_nothing_more_to_say(jobs, engine, children):
    job = jobs.submit({})
    jobs.tick()
    old = work_on(engine, jobs, job.id)
    assert old.begin()
    jobs.cancel(job.id)
    jobs.resume(job.id)
    with pytest.raises(ConflictError):
        jobs.resume(job.id)
    jobs.tick()
    new = work_on(engine, jobs, job.id)
    assert new.begin()
    assert not old.begin()
    assert not old.still_mine()
    assert not old.fail("too late")
    with pytest.raises(ConflictError):
        old.epoch("0" * 64, epoch=0, train_loss=0, val_loss=0, dice_anterior=0, dice_posterior=0,
                  seconds=0)  # fmt: skip
    assert jobs.epochs(job.id) == []
    assert new.succeed(7)
    assert not new.fail("and yet")
    assert (jobs.get(job.id).state, jobs.get(job.id).version) == ("succeeded", 7)


def test_a_child_that_was_only_slow_does_not_bring_a_lost_job_back(jobs, engine, clock, children):
    job = jobs.submit({})
    jobs.tick()
    far(engine)
    look_for(jobs, clock, limits.LOST_AFTER_S + 2)
    assert jobs.get(job.id).state == "lost"
    assert not work_on(engine, jobs, job.id).begin()
    assert jobs.get(job.id).state == "lost"


def test_a_full_disk_ends_no_training_between_two_epochs(jobs, engine):
    def full(connection):
        raise StorageError("The disk of the database is full")

    job = jobs.submit({})
    work = Work(engine, job.id)
    assert work.begin()
    event.listen(engine, "begin", full)
    work.phase("Training")
    event.remove(engine, "begin", full)
    work.phase("Testing")
    assert (jobs.get(job.id).state, jobs.get(job.id).phase) == ("running", "Testing")


def test_two_servers_start_a_job_once(jobs, engine, tmp_path, children, monkeypatch):
    other = Jobs(engine, tmp_path)
    monkeypatch.setattr(other, "_process", jobs._process)
    jobs.submit({})
    jobs.submit({})
    jobs.tick()
    other.tick()
    jobs.tick()
    assert len(children) == 1


def test_a_process_that_cannot_be_started_is_said_at_once(jobs, monkeypatch):
    def full(job_id, attempt):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "_process", full)
    job = jobs.submit({})
    jobs.tick()
    assert jobs.get(job.id).state == "failed"
    assert "could not be started" in jobs.get(job.id).message
    jobs.resume(job.id)


def test_a_silent_job_is_lost_even_if_its_process_is_on_another_machine(
    jobs, engine, clock, children
):
    job = jobs.submit({})
    jobs.tick()
    work = work_on(engine, jobs, job.id)
    far(engine)
    for _ in range(3):  # longer in all than it may be silent
        look_for(jobs, clock, limits.LOST_AFTER_S / 2)
        assert work.still_mine()
    assert jobs.get(job.id).state == "running"
    look_for(jobs, clock, limits.LOST_AFTER_S + 2)
    assert jobs.get(job.id).state == "lost"


def test_a_machine_that_slept_has_lost_no_training(jobs, engine, clock, children):
    job = jobs.submit({})
    jobs.tick()
    far(engine)
    look_for(jobs, clock, 10)
    clock.now_s += 8 * 3600
    jobs.tick()
    jobs.tick()
    assert jobs.get(job.id).state == "running"


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_that_is_set_loses_no_training(hours, jobs, engine, clock, children, monkeypatch):
    job = jobs.submit({})
    jobs.tick()
    work = work_on(engine, jobs, job.id)
    assert work.begin()
    now = module.timestamp
    for each in (module, work_module):
        monkeypatch.setattr(each, "timestamp", lambda offset=0.0: now(offset + 3600 * hours))
    monkeypatch.setattr(psutil, "boot_time", lambda: 3600.0 * hours)
    look_for(jobs, clock, 10)
    assert work.still_mine()
    look_for(jobs, clock, limits.LOST_AFTER_S - 5)
    assert jobs.get(job.id).state == "running"


def test_when_a_process_began_is_the_same_whatever_the_clock_says(children, jobs, monkeypatch):
    jobs.submit({})
    jobs.tick()
    pid = children[0].pid
    before = processes.started_s(pid)
    assert 0 < before < 1e9
    monkeypatch.setattr(psutil, "boot_time", lambda: 1e6)
    assert processes.started_s(pid) == before


def test_a_training_that_an_earlier_program_started_is_known_to_live(jobs, engine, children):
    job = jobs.submit({})
    jobs.tick()
    with engine.begin() as connection:  # it kept the time of day
        since = psutil.Process(children[0].pid).create_time()
        connection.execute(JOBS.update().values(pid_started=since))
    jobs.tick()
    assert jobs.get(job.id).state == "running"
    children[0].kill()
    children[0].wait()
    jobs.tick()
    assert jobs.get(job.id).state == "lost"


def test_a_job_of_a_new_database_finds_nothing_of_the_one_before(jobs, engine, tmp_path):
    first = jobs.submit({})
    jobs.folder(first.id).mkdir(parents=True)
    (jobs.folder(first.id) / "base.json").write_text("7")
    engine.dispose()
    for path in tmp_path.glob(f"{DATABASE_NAME}*"):
        path.unlink()
    again = Jobs(connect(tmp_path), tmp_path)
    second = again.submit({})
    assert second.id == first.id
    assert second.uid != first.uid
    assert not again.folder(second.id).exists()
    assert again.log(second.id) == ""


def test_a_job_of_an_earlier_program_keeps_its_folder(tmp_path):
    with older_database(tmp_path) as connection:
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, state, created_at, spec, phase, message, restarts) "
            "VALUES (3, 'failed', '2026-11-01', '{}', '', '', 0)"
        )
    jobs = Jobs(connect(tmp_path), tmp_path)
    assert jobs.folder(3) == tmp_path / "jobs" / "3"
    jobs.resume(3)
    assert len(jobs.submit({}).uid) == 32
