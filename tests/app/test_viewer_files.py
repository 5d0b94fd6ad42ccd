"""What the viewer fetches, whatever the order of the file's axes."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from app.viewer.files import ViewerFiles
from core.cases import Cases
from core.database import connect
from core.pipeline import NOTICE, analyse
from core.storage import LocalStorage
from tests.scans import all_orientations, as_bytes, example, reoriented, stream


@pytest.fixture
def cases(tmp_path) -> Cases:
    return Cases(connect(tmp_path), LocalStorage(tmp_path / "storage"))


def opened(content: bytes) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


@pytest.mark.parametrize("number", range(48))
def test_the_browser_gets_one_and_the_same_scan_however_the_file_is_turned(
    number, predictor, cases, tmp_path
):
    scan = reoriented(example(), all_orientations()[number])
    case = cases.add(analyse(stream(as_bytes(scan)), predictor, tmp_path), "x")
    files = ViewerFiles(cases)
    upright = nib.as_closest_canonical(example())
    seen = opened(files.scan(case.id).content)
    assert np.array_equal(np.asarray(seen.dataobj), np.asarray(upright.dataobj, np.float32))
    assert np.allclose(seen.affine, upright.affine, atol=1e-4)

    own = nib.Nifti1Image.from_bytes(gzip.decompress(cases.mask_file(case.id)))
    mask = opened(files.mask(case.id, 0).content)
    assert np.array_equal(
        np.asarray(mask.dataobj), np.asarray(nib.as_closest_canonical(own).dataobj)
    )
    assert np.allclose(mask.affine, seen.affine)


def test_what_is_said_of_a_case_fits_its_files(predictor, cases, tmp_path):
    case = cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), "x")
    files = ViewerFiles(cases)
    about = files.about(case.id, 0)
    scan = opened(files.scan(case.id).content)
    values = np.asarray(scan.dataobj)
    assert about["shape"] == list(scan.shape)
    assert np.allclose(about["affine"], scan.affine)
    assert about["notice"] == NOTICE
    windows = {window["name"]: window for window in about["windows"]}
    assert np.isclose(windows["2 to 98 %"]["low"], np.percentile(values, 2))
    assert np.isclose(windows["all values"]["high"], values.max())
    labels = np.asarray(opened(files.mask(case.id, 0).content).dataobj)
    for finding in about["findings"]:
        assert labels[tuple(finding["voxel"])] > 0
