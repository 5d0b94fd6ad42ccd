import numpy as np
import pytest

from core.image.intake import vetted
from core.image.volume import load
from tests.scans import all_orientations, as_bytes, image, noise, reoriented, stream


def codes(folder, shape=(35, 50, 35), affine=None, turn=None) -> list[str]:
    scan = image(noise(shape), np.eye(4) if affine is None else affine)
    scan.set_sform(scan.affine, 1)
    scan.set_qform(scan.affine, 1)
    if turn is not None:
        scan = reoriented(scan, all_orientations()[turn])
    with vetted(stream(as_bytes(scan)), folder) as file:
        return [f.code for f in load(file).findings]


def test_a_crop_like_those_of_the_training_gives_no_finding(tmp_path):
    assert codes(tmp_path) == []
    assert codes(tmp_path, (43, 59, 47)) == []
    assert codes(tmp_path, (31, 40, 24)) == []


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((60, 60, 60), "field_of_view_wide"),
        ((46, 50, 35), "field_of_view_wide"),
        ((35, 50, 20), "field_of_view_narrow"),
    ],
)
def test_a_crop_unlike_those_of_the_training_is_named(shape, code, tmp_path):
    assert codes(tmp_path, shape) == [code]


def test_the_size_is_judged_along_the_patients_axes(tmp_path):
    """59 mm from back to front are usual, whichever axis of the file that is."""
    for turn in range(48):
        assert codes(tmp_path, (40, 59, 40), turn=turn) in ([], ["orientation_handled"])


def test_unusual_voxels_are_named(tmp_path):
    assert codes(tmp_path, (35, 50, 18), np.diag([1.0, 1, 2, 1])) == ["anisotropic"]
    assert codes(tmp_path, (70, 100, 70), np.diag([0.5, 0.5, 0.5, 1])) == ["spacing_far_from_1mm"]


def test_a_tilt_is_named(tmp_path):
    angle = np.radians(25)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert codes(tmp_path, affine=tilt) == ["oblique"]
