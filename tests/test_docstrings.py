"""The examples in docstrings give what they say."""

import doctest
from importlib import import_module

import pytest

from core.settings import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for part in ("core", "app")
    for path in (ROOT / part).rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    found = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


def test_geometry_and_volumes_teach_by_example():
    """Axis orders, voxels in mm and volumes in mm3 are what newcomers get wrong."""
    assert {"core.image.geometry", "core.image.volume", "core.measures.sizes"} <= set(MODULES)
