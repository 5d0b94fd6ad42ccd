import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import psutil
import pytest

from core.drift.reference import training_crops
from core.errors import ConflictError, TrainingError
from core.models.registry import Registry
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from core.state.tables import JOBS
from core.training import jobs as module
from core.training.__main__ import _environment
from core.training.config import TrainingRequest, estimate_s
from core.training.data.dataset import READER
from core.training.data.prepare import prepare
from core.training.jobs import Jobs
from tests.datasets import made
from tests.waiting import until

FAST = ["epochs=1", "iterations=2", "validation_iterations=1"]


@pytest.fixture
def engine(tmp_path):
    return connect(tmp_path)


@pytest.fixture
def jobs(engine, tmp_path):
    made = Jobs(engine, tmp_path)
    yield made
    for child in made._children.values():  # their job has ended, they are about to
        child.wait(60)


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "storage")


def ended(jobs, job_id):
    def look():
        jobs.tick()
        job = jobs.get(job_id)
        return None if job.active else job

    return until(look)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [(["epoch=2"], "epoch"), (["epochs=two"], "two"), (["epochs=0"], "epochs"),
     (["start=scratch"], "configuration"), (["learning_rate=5"], "learning_rate"),
     (["configuration=3d_cpu"], "Fine-tuning")],
)  # fmt: skip
def test_a_typing_error_in_a_configuration_is_an_error(overrides, words):
    with pytest.raises(TrainingError, match=words):
        TrainingRequest("x", "quick", overrides).config()
    with pytest.raises(TrainingError, match="no preset"):
        TrainingRequest("x", "quik").config()


def test_an_estimate_grows_with_the_epochs():
    one = TrainingRequest("x", "quick", ["epochs=1"]).config()
    ten = TrainingRequest("x", "quick", ["epochs=10"]).config()
    assert estimate_s(ten, 5) > estimate_s(one, 5) > 0


def test_a_training_that_cannot_begin_fails_in_words(jobs, tmp_path):
    job = jobs.submit(TrainingRequest("no-such-set", "quick", FAST).as_dict())
    failed = ended(jobs, job.id)
    assert failed.state == "failed"
    assert "no data set 'no-such-set'" in failed.message
    assert "no data set" in jobs.log(job.id)
    assert str(tmp_path) not in failed.message


@pytest.mark.long
def test_a_changed_file_stops_the_training_before_it_starts(jobs, engine, storage, tmp_path):
    Registry(engine, storage, Settings().model_dir).prepare()
    dataset, _ = prepare(made(tmp_path / "source", 10), storage, "one")
    case = dataset.training[0]
    (tmp_path / "storage" / "datasets" / "one" / "labelsTr" / f"{case}.nii.gz").write_bytes(b"")
    job = jobs.submit(TrainingRequest("one", "quick", FAST).as_dict())
    assert case in ended(jobs, job.id).message


@pytest.mark.long
def test_from_nothing_and_tracked_it_becomes_an_evaluated_candidate(
    jobs, engine, storage, tmp_path, monkeypatch
):
    monkeypatch.setenv("HIPPOVIEW_WANDB", "offline")
    registry = Registry(engine, storage, Settings().model_dir)
    registry.prepare()
    dataset, _ = prepare(made(tmp_path / "source", 10), storage, "one")
    job = jobs.submit(TrainingRequest("one", "cpu", FAST).as_dict())
    done = ended(jobs, job.id)
    assert done.state == "succeeded", jobs.log(job.id)
    version = registry.get(done.version)
    assert version.stage == "candidate"
    assert version.lineage["parent"] is None
    assert version.lineage["job_uid"] == job.uid
    # Nothing of the first version's data and licence is claimed for it.
    assert version.card["licence"] == "not stated"
    assert not any("Decathlon" in line for line in version.card["attribution"])
    assert version.lineage["dataset_sha256"] == dataset.sha256
    figures = version.evaluations[dataset.test_key]
    assert [case["case"] for case in figures["cases"]] == dataset.test
    assert figures["seen_in_training"] is False  # from nothing, and the test set is frozen
    assert dataset.test_key in registry.get(1).evaluations
    # On whole heads both were tested on the same ones, and they were timed in turn.
    ((key, heads),) = version.of_kind("heads").items()
    assert (heads["source"], heads["test_key"]) == ("synthetic", key)
    assert len(heads["sides"]) == 2
    assert registry.get(1).of_kind("heads")[key]["summary"]["both"]["found"] == 2
    timed = version.evaluations["latency"]
    assert (timed["against"], timed["cases"]) == (1, len(dataset.test))
    assert timed["ratio"] > 0
    assert "latency" not in registry.get(1).evaluations
    assert not (jobs.folder(job.id) / "test-heads").exists()
    learned = [name for name in dataset.training if dataset.cases[name].fold != 0]
    assert len(training_crops(registry.reference(version.number))) == len(learned)
    assert "wandb" in jobs.log(job.id)
    assert len(jobs.epochs(job.id)) == 1
    with registry.open(version.number) as model:
        assert model.configuration == "3d_cpu"


def test_a_tracked_training_has_the_jobs_own_name(monkeypatch):
    for name in ("WANDB_NAME", "nnUNet_wandb_mode", "nnUNet_wandb_enabled", "nnUNet_wandb_project",
                 "nnUNet_n_proc_DA", "nnUNet_def_n_proc"):  # fmt: skip
        monkeypatch.setenv(name, "")
    _environment(Settings(wandb="offline"), "0123abcd")
    assert os.environ["WANDB_NAME"] == "hippoview-0123abcd"


def test_cancelling_ends_every_process_of_it(jobs, tmp_path):
    job = jobs.submit(TrainingRequest("one", "quick", FAST).as_dict())
    jobs.tick()
    with connect(tmp_path).begin() as connection:
        pid = connection.execute(JOBS.select()).one().pid
    jobs.cancel(job.id)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", 10)
    jobs.tick()
    assert jobs.get(job.id).state == "cancelled"
    with pytest.raises(ConflictError):
        jobs.cancel(job.id)
    jobs.resume(job.id)
    assert jobs.get(job.id).state == "queued"
    jobs.cancel(job.id)


def test_a_training_that_stands_still_ends_and_says_where(tmp_path):
    script = (
        "import threading; from core import limits; from core.training.__main__ import watch\n"
        "limits.STALLED_AFTER_S = 0.5\n"
        "def standing_still(): threading.Event().wait()\n"
        "watch(); standing_still()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == module.STALLED_EXIT
    assert "standing_still" in ended.stderr


def test_both_of_nnunets_readers_give_the_training_the_same(task04, tmp_path):
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name
    for path in task04[:3]:
        label = path.parent.parent / "labelsTr" / path.name
        (ours, about), (theirs, their_about) = (
            recursive_find_reader_writer_by_name(name)().read_images([str(path)])
            for name in (READER, "SimpleITKIO")
        )
        assert np.array_equal(ours, theirs)
        assert np.allclose(about["spacing"], their_about["spacing"])
        ours, theirs = (
            recursive_find_reader_writer_by_name(name)().read_seg(str(label))[0]
            for name in (READER, "SimpleITKIO")
        )
        assert np.array_equal(ours, theirs)
