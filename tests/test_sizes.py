"""A module is small enough to read in one sitting."""

from pathlib import Path

import pytest

from core.settings import ROOT

MOST_LINES = 400
FOLDERS = ("core", "app", "pages", "benchmarks", "tests", "scripts")
KINDS = {".py", ".js", ".mjs", ".css"}


def too_large(root: Path) -> set[str]:
    """Sources of more lines than that, by their path below the root."""
    return {
        str(path.relative_to(root))
        for folder in FOLDERS
        for path in (root / folder).rglob("*")
        if path.suffix in KINDS and path.parent.name != "built"
        and len(path.read_text("utf-8").splitlines()) > MOST_LINES
    }  # fmt: skip


def test_no_module_is_too_large_to_read():
    assert too_large(ROOT) == set()


@pytest.mark.parametrize("name", ["core/a/b.py", "app/viewer/frontend/c.js", "pages/d.py"])
def test_one_line_too_many_is_noticed(name, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("x\n" * MOST_LINES)
    assert too_large(tmp_path) == set()
    file.write_text("x\n" * (MOST_LINES + 1))
    assert too_large(tmp_path) == {name}
