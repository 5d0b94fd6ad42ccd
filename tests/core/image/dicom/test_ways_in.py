"""A DICOM series by every way in: the same masks as of the same scan as NIfTI."""

import gzip
import io
import subprocess
import sys
import zipfile

import httpx
import nibabel as nib
import numpy as np
import pytest

from core.image.dicom.unpack import zipped
from core.pipeline import analyse
from core.settings import ROOT
from tests.phantoms import Phantom, phantom_of, written
from tests.scans import as_bytes, example, stream


@pytest.fixture(scope="module")
def made():
    return phantom_of(example())


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    return written(tmp_path_factory.mktemp("dicom"), made.datasets())


@pytest.fixture(scope="module")
def archive(folder):
    target = io.BytesIO()
    zipped(sorted(folder.iterdir()), target)
    return target.getvalue()


def check_same(mask, made, predictor, tmp_path):
    """The mask of a DICOM export is that of the NIfTI, voxel for voxel and in mm."""
    expected = analyse(stream(as_bytes(made.image)), predictor, tmp_path / "nifti").mask_file
    ours, theirs = (
        nib.as_closest_canonical(nib.Nifti1Image.from_bytes(gzip.decompress(file)))
        for file in (mask, expected)
    )
    assert np.allclose(ours.affine, theirs.affine, atol=1e-3)
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert set(np.unique(np.asarray(ours.dataobj))) == {0, 1, 2}


def test_the_api_takes_a_zip(server, made, folder, archive, predictor, tmp_path):
    url = f"{server.url}/api/predict"
    answer = httpx.post(url, files={"image": archive}, timeout=60)
    assert answer.status_code == 200, answer.text
    check_same(answer.content, made, predictor, tmp_path)
    same = httpx.post(url, files={"image": archive}, params={"series": made.series_uid}, timeout=60)
    assert same.content == answer.content
    other = httpx.post(url, files={"image": archive}, params={"series": "1.2.3"}, timeout=60)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "no_series"
    assert made.series_uid in other.json()["error"]["hint"]


def test_the_command_line_takes_a_folder(made, folder, predictor, tmp_path):
    out = tmp_path / "mask.nii.gz"
    done = subprocess.run(
        [sys.executable, "-m", "core", "segment", str(folder), "-o", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_same(out.read_bytes(), made, predictor, tmp_path)


def test_an_enhanced_file_alone_and_a_zip_with_other_things(made, predictor, tmp_path):
    file = tmp_path / "one"
    made.enhanced().save_as(file, enforce_file_format=True)
    alone = analyse(stream(file.read_bytes()), predictor, tmp_path / "a")
    check_same(alone.mask_file, made, predictor, tmp_path)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as mixed:
        mixed.write(file, "study/IM1")
        mixed.writestr("study/notes.txt", "hello")
        mixed.writestr("__MACOSX/._IM1", b"\0" * 200)
    together = analyse(stream(target.getvalue()), predictor, tmp_path / "b")
    assert together.mask_file == alone.mask_file


def test_the_series_asked_for_is_taken(made, folder, predictor, tmp_path):
    other = Phantom(made.voxels[:, :, ::-1].copy(), made.affine)
    files = sorted(folder.iterdir())
    files += sorted(written(tmp_path / "other", other.datasets()).iterdir())
    target = io.BytesIO()
    zipped(files, target)
    taken = analyse(stream(target.getvalue()), predictor, tmp_path / "a", series=made.series_uid)
    check_same(taken.mask_file, made, predictor, tmp_path)
