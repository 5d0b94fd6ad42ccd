"""Workers are killed at random while they train: no training is lost, none is run twice."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from core.models.registry import Registry
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from core.training.config import TrainingRequest
from core.training.data.prepare import prepare
from core.training.jobs import Jobs
from core.training.kept import FOLDER
from tests.datasets import made
from tests.waiting import until

JOBS, EPOCHS, KILLS = 3, 3, 10
SHORT = [f"epochs={EPOCHS}", "iterations=1", "validation_iterations=1"]
LEASE_S = 20
# From one kill to the next; under a busy machine a start takes as long.
PAUSES_S = float(os.environ.get("HIPPOVIEW_TEST_PAUSE_S", "20"))
PATIENCE_S = 3600


class Machine:
    """A worker with a disk of its own, on which it can be killed with all that it began."""

    def __init__(self, name, data_dir, folder):
        self.name, self.data_dir, self.folder = name, data_dir, folder / name
        self.start()

    def start(self):
        environment = {
            **os.environ, "HIPPOVIEW_DATA_DIR": str(self.data_dir), "HIPPOVIEW_TEST_HEADS": "0",
            "HIPPOVIEW_LEASE_S": str(LEASE_S),
        }  # fmt: skip
        command = [sys.executable, "-m", "core", "worker", "--folder", str(self.folder)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def training(self):
        """Process of the training that it does, if it does one."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def fail(self, luck):
        """Lose the worker, or its training, or both, as a power failure does."""
        training = self.training()
        what = luck.choice(["worker", "training", "both"])
        if what != "training":
            self.process.kill()
            self.process.wait()
        if what != "worker":
            for pid in training:
                os.killpg(pid, signal.SIGKILL)
        if what != "training":
            self.start()
        return what if training else f"idle {what}"

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0


@pytest.mark.long
def test_no_training_is_lost_or_run_twice(tmp_path):
    data, luck = tmp_path / "data", random.Random(20)  # noqa: S311 - which to kill
    engine, storage = connect(data), LocalStorage(data / "storage")
    registry = Registry(engine, storage, Settings().model_dir)
    registry.prepare()
    prepare(made(tmp_path / "source", 10), storage, "one")
    jobs = Jobs(engine, data, lease_s=LEASE_S, trains=False)
    request = TrainingRequest("one", "quick", SHORT).as_dict()
    numbers = [jobs.submit(request).id for _ in range(JOBS)]
    machines = [Machine(name, data, tmp_path) for name in ("a", "b")]
    kills, before = [], {}
    try:
        while any(jobs.get(number).active for number in numbers):
            if len(kills) < KILLS:
                time.sleep(luck.uniform(0.5, 1.5) * PAUSES_S)  # work is done between two kills
                kills.append(luck.choice(machines).fail(luck))
            else:
                until(lambda: not any(map(is_active, map(jobs.get, numbers))), PATIENCE_S, 1)
            jobs.tick()
            for number in numbers:  # no epoch that was recorded is ever missing later
                done = [epoch.epoch for epoch in jobs.epochs(number)]
                assert done == list(range(len(done)))
                before[number] = len(done)
    finally:
        for machine in machines:
            machine.process.terminate()
    for machine in machines:
        machine.stop()
    versions = [version for version in registry.find() if "job_uid" in version.lineage]
    for number in numbers:
        job = jobs.get(number)
        assert job.state == "succeeded", (job, kills, jobs.log(number))
        assert [v.number for v in versions if v.lineage["job_uid"] == job.uid] == [job.version]
        assert [epoch.epoch for epoch in jobs.epochs(number)] == list(range(EPOCHS))
    assert len(versions) == JOBS
    for version in versions:
        with registry.open(version.number):
            pass
    assert storage.folders(FOLDER) == []
    sys.stdout.write(f"killed: {kills}\n")


def is_active(job):
    return job.active
