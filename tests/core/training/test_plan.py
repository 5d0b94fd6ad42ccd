import subprocess
import sys

import pytest

from core.settings import ROOT
from core.storage import LocalStorage
from core.training.dataset import Datasets
from core.training.prepare import prepare
from tests.datasets import made

# A process forked beside a thread that holds a lock may wait for it for ever.
_PLAN = """
import os, sys
from pathlib import Path
from core.model import load_model
from core.settings import Settings
from core.storage import LocalStorage
from core.training import plan
from core.training.config import TrainingRequest
from core.training.dataset import Datasets

forks = []
os.register_at_fork(before=lambda: forks.append(1))
folder, preset = Path(sys.argv[1]), sys.argv[2]
config = TrainingRequest("one", preset).config()
datasets = Datasets(LocalStorage(folder / "storage"))
dataset, job = datasets.get("one"), folder / "job"
base = load_model(Settings().model_dir) if config.start == "serving" else None
told = []
with datasets.storage.local("datasets/one") as files:
    plan.set_environment(job, dataset, files)
    plans, configuration = plan.plan(job, config, base)
    plan.preprocess(job, configuration, dataset, lambda done, total: told.append((done, total)))
assert told[-1] == (len(dataset.training),) * 2, told
assert not forks
"""


@pytest.mark.parametrize("preset", ["quick", "cpu"])
def test_planning_and_preprocessing_fork_no_process(preset, tmp_path):
    prepare(made(tmp_path / "source", 10), LocalStorage(tmp_path / "storage"), "one")
    subprocess.run([sys.executable, "-c", _PLAN, tmp_path, preset], cwd=ROOT, check=True)
    dataset = Datasets(LocalStorage(tmp_path / "storage")).get("one")
    made_files = list((tmp_path / "job" / "preprocessed").rglob("*.pkl"))
    assert {file.stem for file in made_files} == set(dataset.training)
