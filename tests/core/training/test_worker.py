"""A worker and its child, without a training: a process that only waits stands for it."""

import os
import signal
import sys
import threading
from contextlib import contextmanager

import pytest

from core.state.database import connect
from core.state.storage import LocalStorage
from core.training import worker as module
from core.training.jobs import Jobs
from core.training.worker import Worker
from tests.waiting import until


@pytest.fixture
def engine(tmp_path):
    return connect(tmp_path)


@pytest.fixture
def jobs(engine, tmp_path):
    return Jobs(engine, tmp_path, trains=False)


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """What stands for ``python -m core.training``: it says a word, and waits for a signal."""
    program = tmp_path / "stub"
    program.write_text("#!/bin/sh\necho begun $3\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(module.sys, "executable", str(program))
    yield
    assert sys.executable


@contextmanager
def working(engine, folder, job_id=None):
    worker = Worker(engine, LocalStorage(folder / "storage"), folder / "worker", 60)
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(worker.run(job_id)))
    thread.start()
    try:
        yield worker, outcome
    finally:
        worker.stop()
        thread.join(30)
    assert not thread.is_alive()


def child_of(worker):
    return until(lambda: worker._training and worker._training._child, 30, 0.05)


def running(jobs, job):
    return until(lambda: jobs.get(job.id).state == "running", 30, 0.05)


def test_a_stopped_worker_hands_its_job_back_and_leaves_nothing_here(jobs, engine, stub, tmp_path):
    job, other = jobs.submit({}), jobs.submit({})
    with working(engine, tmp_path) as (worker, outcome):
        child = child_of(worker)
        until(lambda: "begun" in worker._training._log.read_text(), 30, 0.05)
    assert child.returncode == -signal.SIGKILL
    assert outcome == [0]
    assert jobs.get(job.id).state == "queued"
    assert "Handed back" in jobs.get(job.id).phase
    assert "begun" in jobs.log(job.id)
    assert jobs.get(other.id).phase == "Waiting for its turn"  # one at a time
    assert list((tmp_path / "worker").iterdir()) == []


def test_a_child_that_was_killed_is_begun_again_until_it_is_given_up(
    jobs, engine, stub, tmp_path, monkeypatch
):
    monkeypatch.setattr(module.limits, "MAX_TAKEOVERS", 1)
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    job = jobs.submit({})
    with working(engine, tmp_path, job.id) as (worker, outcome):
        os.killpg(child_of(worker).pid, signal.SIGKILL)
        until(lambda: outcome, 30, 0.05)
    assert jobs.get(job.id).state == "queued"
    with working(engine, tmp_path, job.id) as (worker, outcome):
        os.killpg(child_of(worker).pid, signal.SIGKILL)
        until(lambda: outcome, 30, 0.05)
    assert outcome == [1]
    assert jobs.get(job.id).state == "lost"
    with working(engine, tmp_path, job.id) as (_, outcome):  # it is not to be had any more
        until(lambda: outcome, 30, 0.05)
    assert outcome == [1]
