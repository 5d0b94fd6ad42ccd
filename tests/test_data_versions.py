import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from core.settings import ROOT
from core.state.storage import LocalStorage
from core.training.data.dataset import Datasets
from core.training.data.prepare import prepare
from tests.datasets import made, real


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A git repository with the project's own DVC configuration."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("HOME", str(tmp_path))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    return folder


def dvc(work, *arguments):
    ended = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=work, timeout=600, check=False,
        capture_output=True, text=True, env={k: v for k, v in os.environ.items()
                                             if not k.startswith("HIPPOVIEW_")},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_prepared_data_set_goes_to_a_remote_and_comes_back(work, tmp_path):
    storage = LocalStorage(work / "storage")
    dataset, _ = prepare(made(tmp_path / "source", 10), storage, "one")
    dvc(work, "remote", "add", "-d", "store", str(tmp_path / "remote"))
    dvc(work, "add", "storage/datasets")
    dvc(work, "push")
    shutil.rmtree(work / "storage" / "datasets")
    shutil.rmtree(work / ".dvc" / "cache")
    dvc(work, "pull")
    back = Datasets(storage).get("one")
    assert back == dataset
    Datasets(storage).verify(back, work / "storage" / "datasets" / "one")


@pytest.mark.long
def test_from_data_to_a_report_and_only_what_changed_again(work, tmp_path, shared_data):
    for name in ("core", "models", "dvc.yaml"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, work / name)
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text()) | {
        "python": sys.executable,
        "source": str(real(tmp_path / "source", shared_data, 14)),
        "dataset": "some",
        "set": "epochs=1 iterations=3 validation_iterations=1",
        "run": "var/runs/some",
    }
    (work / "params.yaml").write_text(yaml.safe_dump(parameters))
    out = dvc(work, "repro")
    for stage in ("prepare", "plan", "train", "evaluate"):
        assert f"Running stage '{stage}'" in out
    report = work / "var" / "runs" / "some" / "evaluation" / "report.html"
    assert "Not for diagnosis" in report.read_text()
    figures = json.loads(report.with_name("evaluation.json").read_bytes())
    assert all(figures["dice"][label]["mean"] > 0.8 for label in figures["dice"])
    assert "Running" not in dvc(work, "repro")
    page = work / "core" / "training" / "evaluation" / "report.py"
    page.write_text(page.read_text() + "\n# changed\n")
    again = dvc(work, "repro")
    assert "Running stage 'evaluate'" in again
    assert "Running stage 'train'" not in again
