import os
import shutil
import subprocess
import sys

from core.settings import ROOT
from core.storage import LocalStorage
from core.training.dataset import Datasets
from core.training.prepare import prepare
from tests.datasets import made


def test_a_prepared_data_set_goes_to_a_remote_and_comes_back(tmp_path):
    """With the project's own DVC configuration and a local remote."""
    work, remote = tmp_path / "work", tmp_path / "remote"
    work.mkdir()
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "HOME": str(tmp_path),
    }

    def run(*command: str) -> None:
        subprocess.run(command, cwd=work, env=environment, check=True, timeout=120)

    def dvc(*arguments: str) -> None:
        run(sys.executable, "-m", "dvc", "-q", *arguments)

    run("git", "init", "-q")
    shutil.copytree(ROOT / ".dvc", work / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    storage = LocalStorage(work / "storage")
    dataset, _ = prepare(made(tmp_path / "source", 10), storage, "one")
    dvc("remote", "add", "-d", "store", str(remote))
    dvc("add", "storage/datasets")
    dvc("push")
    shutil.rmtree(work / "storage" / "datasets")
    shutil.rmtree(work / ".dvc" / "cache")
    dvc("pull")
    back = Datasets(storage).get("one")
    assert back == dataset
    Datasets(storage).verify(back, work / "storage" / "datasets" / "one")
