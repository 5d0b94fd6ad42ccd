import json
import os
import shutil
import signal

import numpy as np
import psutil
import pytest
import safetensors.numpy

from core.state.storage import LocalStorage
from core.training.data.dataset import Datasets
from core.training.data.prepare import prepare
from core.training.progress import Events
from tests.datasets import made
from tests.programs import Program, done
from tests.waiting import until

SMALL = ["--preset", "cpu", "--set", "epochs=3", "iterations=2", "validation_iterations=1",
         "features=4"]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An installation with a prepared data set, ``one``."""
    folder = tmp_path_factory.mktemp("runs")
    prepare(made(folder / "source", 10), LocalStorage(folder / "var" / "storage"), "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIPPOVIEW_DATA_DIR", str(folder / "var"))
        yield folder


@pytest.fixture(scope="module")
def run(home):
    """A whole training."""
    done("train", "one", "--out", home / "run", *SMALL)
    return home / "run"


def curve(run):
    return [
        (event["epoch"], event["train_loss"], event["val_loss"])
        for event in Events(run / "events.jsonl").read()
        if event["event"] == "epoch"
    ]


def weights(run):
    return safetensors.numpy.load_file(run / "model" / "weights.safetensors")


@pytest.fixture(scope="module")
def killed(home):
    """The folder of the same training, killed after its first epoch."""
    folder = home / "killed"
    process = Program("train", "one", "--out", folder, *SMALL)
    until(lambda: len(curve(folder)) == 1, 240)
    children = [child.cmdline() for child in psutil.Process(process.pid).children()]
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait()[0] == -signal.SIGKILL
    # Forked ones may wait for ever. Python's own helper is no fork of this process.
    assert not [line for line in children if "resource_tracker" not in " ".join(line)]
    assert not (folder / "model").exists()
    return folder


@pytest.mark.long
def test_a_training_can_end_after_the_epochs_that_are_done(home, killed):
    early = home / "early"
    shutil.copytree(killed, early, symlinks=True)
    epochs = len(curve(early))
    done("train", "one", "--out", early, *SMALL, "--end-now")
    assert len(curve(early)) == epochs
    schedule = json.loads((early / "model" / "card.json").read_bytes())["training"]["Schedule"]
    assert schedule.startswith(f"the first {epochs} of 3 epochs")


def test_one_without_an_epoch_cannot_end_and_its_folder_stays_free(home):
    status, _, err = Program("train", "one", "--out", home / "none", *SMALL, "--end-now").wait()
    assert "No epoch of this training is done" in err
    assert status == 1
    assert not (home / "none").exists()


def test_killed_and_resumed_it_comes_to_the_same_as_in_one_go(run, killed):
    """The same seed gives the same curve, and no epoch but the one under way is lost."""
    done("train", "one", "--out", killed, *SMALL)
    assert [epoch for epoch, *_ in curve(killed)] in ([0, 1, 2], [0, 0, 1, 2])
    for epoch, *losses in curve(killed):
        assert losses == pytest.approx(curve(run)[epoch][1:], rel=1e-3)  # it is bfloat16
    for name, value in weights(run).items():
        assert np.allclose(weights(killed)[name], value, atol=5e-3), name


def test_a_runs_folder_says_what_it_was_made_of(home, run):
    made_of = json.loads((run / "run.json").read_bytes())
    dataset = Datasets(LocalStorage(home / "var" / "storage")).get("one")
    assert made_of["dataset_sha256"] == dataset.sha256
    assert made_of["configuration"]["features"] == 4
    assert made_of["configuration"]["seed"] == 0
    assert {"nnunetv2", "torch", "numpy"} <= made_of["programs"].keys()
    assert len(made_of["commit"]) == 40 or made_of["commit"] == "unknown"
    assert (run / "progress.png").is_file()
    assert "Planning" in (run / "log.txt").read_text()


def test_a_runs_folder_takes_no_other_training_and_none_again(home, run):
    other = Program("train", "one", "--out", run, *SMALL[:2], "--set", "epochs=5")
    status, _, err = other.wait()
    assert status == 1
    assert "another configuration" in err
    before = curve(run)
    done("train", "one", "--out", run, *SMALL)
    assert curve(run) == before


def test_a_run_goes_on_with_the_data_set_as_it_was(tmp_path):
    from core.training.run_folder import dataset_of

    storage = LocalStorage(tmp_path / "storage")
    before, _ = prepare(made(tmp_path / "source", 10), storage, "one")
    assert dataset_of(tmp_path / "run", Datasets(storage), "one") == before
    note = {"dataset": "one", "dataset_sha256": before.sha256, "configuration": {}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(note))
    after, _ = prepare(made(tmp_path / "more", 12), storage, "one")
    assert dataset_of(tmp_path / "run", Datasets(storage), "one") == before
    assert dataset_of(tmp_path / "other", Datasets(storage), "one") == after


def test_a_model_goes_from_its_run_into_service(home, run):
    evaluation = home / "evaluation"
    done("evaluate", "one", run / "model", "--out", evaluation)
    words = done("compare", evaluation / "evaluation.json", evaluation / "evaluation.json")
    assert "anterior: Dice +0.0000" in words
    done("models", "add", run / "model", "--evaluation", evaluation / "evaluation.json")
    done("models", "promote", "2", "--reason", "to see whether it serves")
    listed = done("models", "list").splitlines()
    assert listed[0].split()[:2] == ["2", "serving"]
    assert listed[1].split()[:2] == ["1", "retired"]
    done("models", "export", "2", home / "exported")
    exported, trained = (
        json.loads((folder / "card.json").read_bytes())
        for folder in (home / "exported", run / "model")
    )
    assert exported["files"] == trained["files"]


def test_a_sweep_that_could_not_compare_is_refused_before_it_trains(home):
    status, _, err = Program("sweep", "one", "--out", home / "none", *SMALL, "fold=0,-1").wait()
    assert status == 1
    assert "no case to compare on" in err
    assert not (home / "none").exists()


@pytest.mark.long
def test_a_sweep_compares_on_the_fold_that_was_held_out(home):
    folder = home / "sweep"
    small = ["epochs=1", "iterations=2", "validation_iterations=1", "features=4"]
    out = done("sweep", "one", "--out", folder, "--preset", "cpu", "--set", *small,
               "mirroring=false", "residual=false,true", "augmentation=strong")  # fmt: skip
    outcomes = [line.split() for line in out.splitlines()[1:]]
    assert {one[-2].lower() for one in outcomes} == {"residual=false", "residual=true"}
    means = [float(one[0]) + float(one[1]) for one in outcomes]
    assert means == sorted(means, reverse=True)
    dataset = Datasets(LocalStorage(home / "var" / "storage")).get("one")
    for evaluation in folder.glob("*/evaluation.json"):
        figures = json.loads(evaluation.read_bytes())
        assert not figures["seen_in_training"]
        assert {case["case"] for case in figures["cases"]} == {
            name for name in dataset.training if dataset.cases[name].fold == 0
        }
