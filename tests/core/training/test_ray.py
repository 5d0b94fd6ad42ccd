"""Trainings on a real Ray cluster: side by side, cancelled, and told why when they cannot begin."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
import requests

from core.models.registry import Registry
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from core.training.config import TrainingRequest
from core.training.data.prepare import prepare
from core.training.jobs import Jobs
from core.training.ray_jobs import Ray
from tests.datasets import made
from tests.waiting import until

RAY = Path(os.environ.get("HIPPOVIEW_TEST_RAY", ROOT / ".venv-ray" / "bin" / "ray"))
TINY = ["epochs=1", "iterations=1", "validation_iterations=1"]
LONG = ["epochs=1000", "iterations=1", "validation_iterations=1"]
PATIENCE_S = 1200


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """A Ray head whose machine knows HippoView's settings; its Ray is in an environment apart."""
    if not RAY.is_file():
        pytest.skip("no Ray here: uv venv .venv-ray && uv pip install --python .venv-ray "
                    "-r requirements-ray.txt")  # fmt: skip
    dashboard, port = free_port(), free_port()
    environment = {
        **os.environ, "HIPPOVIEW_DATA_DIR": str(tmp_path / "data"), "HIPPOVIEW_TEST_HEADS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    # A path of a socket below it may have 107 bytes.
    folder = Path("/tmp") / f"ray-{port}"  # noqa: S108
    head = subprocess.Popen(
        [RAY, "start", "--head", "--block", f"--port={port}", f"--dashboard-port={dashboard}",
         "--dashboard-host=127.0.0.1", "--num-cpus=2", "--num-gpus=0", f"--temp-dir={folder}",
         "--disable-usage-stats"],
        env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{dashboard}"

    def answers():
        assert head.poll() is None
        try:
            return requests.get(f"{address}/api/jobs/", timeout=10).ok
        except requests.RequestException:
            return False

    until(answers, 180)
    yield address
    head.terminate()
    head.wait(60)


@pytest.fixture
def engine(tmp_path):
    return connect(tmp_path / "data")


@pytest.fixture
def jobs(engine, tmp_path):
    return Jobs(engine, tmp_path / "data", trains=False)


@pytest.fixture
def registry(engine, tmp_path):
    storage = LocalStorage(tmp_path / "data" / "storage")
    registry = Registry(engine, storage, Settings().model_dir)
    registry.prepare()
    prepare(made(tmp_path / "source", 10), storage, "one")
    return registry


def settings(address, **more):
    return Settings(engine="ray", ray_address=address, ray_cpus=1, **more)


def of_ray(address):
    return requests.get(f"{address}/api/jobs/", timeout=30).json()


@pytest.mark.long
def test_two_train_side_by_side_and_the_cancelled_one_is_stopped(cluster, jobs, engine, registry):
    ray, other = (Ray(engine, settings(cluster)) for _ in range(2))  # of two servers
    long, short = (jobs.submit(TrainingRequest("one", "quick", f).as_dict()) for f in (LONG, TINY))

    def look():
        for each in (ray, other, jobs):
            each.tick()

    def both_run():
        look()
        return {jobs.get(job.id).state for job in (long, short)} == {"running"}

    until(both_run, PATIENCE_S)
    assert len(of_ray(cluster)) == 2  # one each, though two servers asked

    def done():
        look()
        return not jobs.get(short.id).active and jobs.epochs(long.id)

    until(done, PATIENCE_S)
    job = jobs.get(short.id)
    assert job.state == "succeeded", (job, jobs.log(short.id))
    assert registry.get(job.version).lineage["job_uid"] == job.uid
    # Its last words come a moment after its state.
    until(lambda: "Done: model version" in jobs.log(short.id), 60)
    assert "Epoch 0" in jobs.log(long.id)
    jobs.cancel(long.id)

    def ended():
        look()
        return not [each for each in of_ray(cluster) if each["status"] in ("PENDING", "RUNNING")]

    until(ended, 60)
    assert jobs.get(long.id).state == "cancelled"


@pytest.mark.long
def test_what_cannot_begin_says_why_and_can_be_resumed(cluster, jobs, engine):
    ray = Ray(engine, settings(cluster, ray_command="echo no such image >&2; exit 7; true"))
    job = jobs.submit(TrainingRequest("one", "quick", TINY).as_dict())
    for _ in range(2):

        def failed():
            ray.tick()
            return jobs.get(job.id).state == "failed"

        until(failed, 120)
        assert "Ray ended it before it began" in jobs.get(job.id).message
        assert "no such image" in jobs.log(job.id)
        until(lambda: not of_ray(cluster), 30)
        jobs.resume(job.id)


def test_a_ray_that_does_not_answer_is_said_and_loses_no_training(engine, jobs):
    job = jobs.submit({})
    Ray(engine, settings(f"http://127.0.0.1:{free_port()}")).tick()
    assert jobs.get(job.id).state == "queued"
    assert "Ray does not answer" in jobs.get(job.id).phase
