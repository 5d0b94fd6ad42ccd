import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.model_selection import KFold

from core.errors import TrainingError
from core.settings import ROOT
from core.state.storage import LocalStorage
from core.training.config import TrainingRequest
from core.training.data.dataset import Datasets
from core.training.data.prepare import prepare
from core.training.origin import folds, trained_on
from core.training.sweep import check_held_out, table_of
from tests.datasets import made

# A process forked beside a thread that holds a lock may wait for it for ever.
_PLAN = """
import os, sys
from pathlib import Path
from core.models.folder import load_model
from core.settings import Settings
from core.state.storage import LocalStorage
from core.training import plan
from core.training.config import TrainingRequest
from core.training.data.dataset import Datasets

forks = []
os.register_at_fork(before=lambda: forks.append(1))
datasets = Datasets(LocalStorage(Path(sys.argv[1]) / "storage"))
dataset = datasets.get("one")
for number, line in enumerate(sys.argv[2:]):
    preset, *overrides = line.split()
    config = TrainingRequest("one", preset, overrides).config()
    job = Path(sys.argv[1]) / f"job{number}"
    base = load_model(Settings().model_dir) if config.start == "serving" else None
    told = []
    with datasets.storage.local("datasets/one") as files:
        plan.set_environment(job, config, dataset, files)
        plans, configuration = plan.plan(job, config, base)
        plan.preprocess(
            job, configuration, config, dataset, lambda done, total: told.append((done, total))
        )
    assert told[-1][0] == told[-1][1] > 0, told
    assert not forks
"""


@pytest.mark.long
def test_planning_and_preprocessing_fork_no_process(tmp_path):
    prepare(made(tmp_path / "source", 10), LocalStorage(tmp_path / "storage"), "one")
    requests = ["quick", "cpu", "quick fold=-1 with_test=true"]
    subprocess.run([sys.executable, "-c", _PLAN, tmp_path, *requests], cwd=ROOT, check=True)
    dataset = Datasets(LocalStorage(tmp_path / "storage")).get("one")
    for number, request in enumerate(requests):
        made_files = list((tmp_path / f"job{number}" / "preprocessed").rglob("*.pkl"))
        # The frozen test set is kept out unless it is asked for.
        wanted = dataset.cases if "with_test=true" in request else dataset.training
        assert {file.stem for file in made_files} == set(wanted)


_FINGERPRINTS = """
import json, sys
from pathlib import Path
from core.state.storage import LocalStorage
from core.training import plan
from core.training.config import TrainingRequest
from core.training.data.dataset import NNUNET_NAME, Datasets
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    datasets = Datasets(LocalStorage(folder / "storage"))
    with datasets.storage.local("datasets/one") as files:
        plan.set_environment(
            folder / "job", TrainingRequest("one", "cpu", []).config(), datasets.get("one"), files
        )
        ours = plan.fingerprint(folder / "job" / "raw" / NNUNET_NAME)
        theirs = extract_fingerprint_dataset(1, num_processes=1)
    (folder / "ours.json").write_text(json.dumps(ours))
    (folder / "theirs.json").write_text(json.dumps(theirs, default=float))
"""


@pytest.mark.long
def test_what_the_planner_is_told_is_what_nnunet_tells_it(tmp_path):
    prepare(made(tmp_path / "source", 10), LocalStorage(tmp_path / "storage"), "one")
    script = tmp_path / "fingerprints.py"  # nnU-Net's own starts processes, which read a file
    script.write_text(_FINGERPRINTS)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script, tmp_path], cwd=ROOT, env=environment, check=True)
    ours, theirs = (
        json.loads((tmp_path / f"{who}.json").read_text()) for who in ("ours", "theirs")
    )
    intensities = "foreground_intensity_properties_per_channel"
    for name in ("spacings", "shapes_after_crop", "median_relative_size_after_cropping"):
        assert np.allclose(ours[name], theirs[name])
    for name, value in theirs[intensities]["0"].items():
        assert ours[intensities]["0"][name] == pytest.approx(value, rel=0.01)


def test_a_model_knows_which_cases_it_learned_from(tmp_path):
    dataset, _ = prepare(made(tmp_path / "source", 10), LocalStorage(tmp_path / "storage"), "one")

    def learned(*overrides):
        return set(trained_on(TrainingRequest("one", "quick", list(overrides)).config(), dataset))

    everything = set(dataset.cases)
    assert learned("fold=-1", "with_test=true") == everything
    assert learned("fold=-1") == everything - set(dataset.test)
    held_out = [everything - set(dataset.test) - learned(f"fold={fold}") for fold in range(5)]
    assert set.union(*held_out) == set(dataset.training)
    assert sum(map(len, held_out)) == len(dataset.training)


def test_with_the_test_set_the_folds_are_those_that_nnunet_makes_of_all_cases(tmp_path):
    dataset, _ = prepare(made(tmp_path / "source", 10), LocalStorage(tmp_path / "storage"), "one")
    configs = [
        TrainingRequest("one", "quick", [f"fold={fold}", "with_test=true"]).config()
        for fold in range(5)
    ]
    shuffled = KFold(n_splits=5, shuffle=True, random_state=12345).split(sorted(dataset.cases))
    held_out = [[sorted(dataset.cases)[i] for i in those] for _, those in shuffled]
    assert [fold["val"] for fold in folds(configs[0], dataset)] == held_out
    for config, without in zip(configs, held_out, strict=True):
        assert set(trained_on(config, dataset)) == set(dataset.cases) - set(without)


def test_a_sweep_needs_cases_that_nobody_saw(tmp_path):
    dataset, _ = prepare(made(tmp_path / "source", 10), LocalStorage(tmp_path / "storage"), "one")
    all_cases = {case.content_sha256 for case in dataset.cases.values()}
    fine_tuned = TrainingRequest("one", "quick").config()
    check_held_out(fine_tuned, dataset, set())
    check_held_out(TrainingRequest("one", "cpu").config(), dataset, all_cases)
    with pytest.raises(TrainingError, match="seen in training"):
        check_held_out(fine_tuned, dataset, all_cases)


def test_a_sweeps_rows_on_other_cases_are_kept_apart():
    requests = [TrainingRequest("one", overrides=[f"fold={n}"]) for n in (0, 1, 0)]
    dice = [(0.8, 0.8), (0.99, 0.99), (0.9, 0.9)]
    lines = table_of(requests, dice, ["a", "b", "a"]).splitlines()
    assert [line.split()[0] for line in lines] == [
        "anterior",
        "#",
        "0.9000",
        "0.8000",
        "#",
        "0.9900",
    ]
    assert "cannot be compared" in lines[1]
    assert len(table_of(requests, dice, ["a"] * 3).splitlines()) == 4
