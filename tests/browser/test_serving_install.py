"""The serving install, made as its user makes it: no PyTorch, the same masks."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from core.image.example import example_file
from core.settings import ROOT
from tests.browser.user import User
from tests.scans import stream
from tests.server import running

# `scripts/bare-machine serve` makes the same install in CI, from nothing.
pytestmark = pytest.mark.long
_MIB = 2**20
LEFT_OUT = ("torch", "nnunetv2", "hydra", "wandb", "nvidia")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A copy of the project with ``requirements-serve.txt`` installed."""
    folder = tmp_path_factory.mktemp("serving")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["sh", "scripts/install", "requirements-serve.txt"],
        cwd=folder, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def python(place) -> str:
    return str(place / ".venv" / "bin" / "python")


@pytest.fixture(scope="module")
def expected(predictor, tmp_path_factory) -> bytes:
    from core.pipeline import analyse

    return analyse(stream(example_file()), predictor, tmp_path_factory.mktemp("in")).mask_file


def test_it_is_small_and_leaves_training_out(place):
    packages = next((place / ".venv" / "lib").glob("python3*")) / "site-packages"
    assert [name for name in LEFT_OUT if (packages / name).exists()] == []
    # Hard links to the package cache count like files of its own.
    size = sum(p.lstat().st_blocks * 512 for p in packages.rglob("*") if p.is_file())
    assert size < 1500 * _MIB


def test_the_command_line_gives_the_same_mask(place, python, expected, tmp_path):
    (tmp_path / "scan.nii").write_bytes(example_file())
    subprocess.run(
        [python, "-m", "core", "segment", tmp_path / "scan.nii", "-o", tmp_path / "mask.nii.gz"],
        cwd=place, env={**os.environ, "HIPPOVIEW_DATA_DIR": str(tmp_path / "var")}, check=True,
    )  # fmt: skip
    assert (tmp_path / "mask.nii.gz").read_bytes() == expected


def test_api_and_pages_work_and_retraining_says_what_to_install(
    place, python, expected, browser, tmp_path, pictures
):
    with running(tmp_path / "var", python=python, root=place) as server:
        answer = httpx.post(
            f"{server.url}/api/predict", files={"image": ("a.nii", example_file())}, timeout=60
        )
        assert answer.status_code == 200
        assert answer.content == expected
        health = httpx.get(f"{server.url}/api/health").json()
        assert (health["backend"], health["precision"]) == ("openvino", "int8")
        loaded = Path(f"/proc/{server.pid}/maps").read_text()
        assert "openvino" in loaded
        assert "libtorch" not in loaded
        refused = httpx.post(f"{server.url}/api/admin/jobs", json={"dataset": "x"})
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "serving_only"

        user = User(browser.new_page(), server.url)
        user.open()
        user.try_example()
        user.go("Retrain")
        user.read("can serve but not train", "torch", "make install")
        for page in ("Models", "Drift", "Operations", "Model", "Cases"):
            user.go(page)
        user.page.screenshot(path=pictures / "serving-cases.png")
        user.page.close()
    assert "ERROR" not in server.log.read_text()
