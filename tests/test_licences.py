"""Nothing is installed whose licence is unknown, and everything has a hash."""

import re

import pytest

from core.settings import ROOT
from tests.licences import in_spdx, in_viewer, installed, listed

FREE = {
    "0BSD", "Apache-2.0", "BSD", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-CMU", "PSF-2.0",
    "Unlicense", "Zlib", "BlueOak-1.0.0",
}  # fmt: skip
# What asks for more than to be named, package by package: each is used unchanged, as a library
# that whoever installs it may replace. NVIDIA's come with PyTorch's build for CUDA alone.
BY_NAME = {
    "certifi": "MPL-2.0",
    "connected-components-3d": "LGPL",
    "fpdf2": "LGPL",
    "psycopg": "LGPL",
    "psycopg-binary": "LGPL",
    "tqdm": "MIT AND MPL-2.0",
}
NVIDIA = re.compile(r"nvidia-[a-z0-9-]+|cuda-(bindings|pathfinder|toolkit)")
SERVE, ALL = ["requirements-serve.txt"], ["requirements-serve.txt", "requirements.txt"]


def refused(licences: dict[str, str]) -> dict[str, str]:
    return {
        name: licence
        for name, licence in licences.items()
        if not set(licence.split(" AND ")) <= FREE
        and BY_NAME.get(name) != licence
        and not (NVIDIA.fullmatch(name) and licence == "proprietary")
    }


def test_every_package_has_a_licence_that_is_known_and_allowed():
    assert refused(installed(ALL)) == {}


def test_what_serves_has_nothing_proprietary():
    assert "proprietary" not in installed(SERVE).values()


def test_every_package_of_the_viewer_has_a_licence_that_is_allowed():
    packages = in_viewer()
    assert "@niivue/niivue" in packages
    assert refused(packages) == {}


@pytest.mark.parametrize(
    ("words", "licence"),
    [
        ("Apache License 2.0", "Apache-2.0"), ("BSD-3-Clause", "BSD"), ("LGPL-3.0-only", "LGPL"),
        ("GNU Lesser General Public License v3 (LGPLv3)", ""), ("GPL-3.0", "GPL"),
        ("AGPL-3.0-only", "AGPL"), ("MIT OR GPL-2.0", "GPL AND MIT"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0"), ("See file", ""), ("Business Source", ""),
        ("BUSL-1.1", ""), ("permit", ""),
    ],
)  # fmt: skip
def test_a_licence_is_known_by_its_name(words, licence):
    assert in_spdx(words) == licence


def test_an_unknown_or_unlisted_licence_is_refused():
    licences = {"a": "GPL", "b": "unknown", "c": "MIT AND GPL", "d": "MIT", "fpdf2": "LGPL",
                "nvidia-x": "proprietary", "e": "proprietary"}  # fmt: skip
    assert set(refused(licences)) == {"a", "b", "c", "e"}


def test_the_list_has_every_package():
    """Else: python -m tests.licences."""
    found = installed(ALL) | in_viewer()
    assert {name: listed().get(name) for name in found} == found


def test_every_package_is_pinned_with_hashes():
    """Else: sh scripts/lock."""
    for name in ("constraints.txt", "requirements-install.txt"):
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
        for entry in entries:
            assert re.match(r"[a-z0-9.-]+==\S+", entry), entry[:80]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    pinned = set(
        re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", (ROOT / "constraints.txt").read_text(), re.M)
    )
    for name in ("requirements-serve.txt", "requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                exact = re.match(r"([A-Za-z0-9.-]+)==([^ ;]+)", line)
                assert exact, f"{line} of {name} names no version"
                assert exact.groups() in pinned, f"{line} of {name} is not in constraints.txt"


def test_the_licences_are_there_in_full():
    assert (
        "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()
    )
    for folder in (ROOT / "models").glob("hippocampus-*"):
        text = (folder / "LICENSE").read_text()
        assert text.startswith("Creative Commons Attribution-ShareAlike 4.0 International")
        assert "Section 8" in text
    notice = (ROOT / "NOTICE").read_text()
    for name in ("NiiVue", "nnU-Net", "Medical Segmentation Decathlon", "hippodeep", "ICBM 152"):
        assert name in notice
