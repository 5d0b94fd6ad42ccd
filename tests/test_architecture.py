"""docs/architecture.md and the layers are what the code is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core.settings import ROOT

PACKAGES = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for part in ("core", "app", "pages")
    for path in (ROOT / part).rglob("__init__.py")
)


def sentence_of(package: str) -> str:
    return (ROOT / package / "__init__.py").read_text().strip().strip('"').strip()


def test_every_package_stands_in_the_document_with_its_sentence():
    text = (ROOT / "docs" / "architecture.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z/]+)` \| (.+) \|$", text, flags=re.M))
    assert listed == {package: sentence_of(package) for package in PACKAGES}


def test_the_picture_has_the_layers_of_core_in_their_order():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["core"]]
    text = (ROOT / "docs" / "architecture.md").read_text()
    chain, ground = re.findall(r'^ +(commands --> .+) --> ground\["(.+)"\]$', text, flags=re.M)[0]
    assert chain.split(" --> ") == layers[1:-2]  # without what starts the command line
    assert set(ground.split(", ")) == {layers[-2], *layers[-1].split(" | ")}


@pytest.mark.parametrize(
    ("stray", "content"),
    [
        ("core/stray.py", ""),
        ("app/stray.py", ""),
        ("core/image/stray.py", "import core.cases.store\n"),
        ("core/people/stray.py", "import torch\n"),
        ("core/upkeep/stray.py", "import torch\n"),
        ("core/predictor/stray.py", "import nnunetv2\n"),
        ("core/training/stray.py", "import openvino\n"),
        ("app/http/stray.py", "import streamlit\n"),
        ("app/stopping.py", "import streamlit\n"),
    ],
)
def test_a_module_that_stands_in_no_layer_or_reaches_up_is_refused(stray, content, tmp_path):
    for part in ("core", "app", "pages"):
        for path in (ROOT / part).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    lint = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    (tmp_path / stray).write_text(content)
    done = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert stray.removesuffix(".py").replace("/", ".") in done.stdout
