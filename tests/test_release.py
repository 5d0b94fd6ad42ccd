"""The archive of a release: the same whoever makes it, with all that a start without Node needs."""

import os
import subprocess
import tarfile

import pytest

from app.viewer.bundle import bundle
from core.settings import ROOT


def released(folder, umask):
    command = ["sh", str(ROOT / "scripts" / "release"), str(folder)]
    before = os.umask(umask)
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.mark.long
def test_an_archive_is_the_same_to_the_byte_and_holds_viewer_model_and_packages(tmp_path):
    first, second = (released(tmp_path / str(umask), umask) for umask in (0o022, 0o077))
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert {member.uname for member in archive.getmembers()} <= {"", "root"}
    assert f"app/viewer/built/{bundle().name}" in names
    assert {"sbom.cdx.json", "constraints.txt", "scripts/install"} <= names
    assert any(name.startswith("models/hippocampus-3d-16/") for name in names)
    assert not {"node_modules", ".venv"} & {name.partition("/")[0] for name in names}
