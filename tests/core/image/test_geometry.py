"""Units and sizes that a header gives twice: read, and told."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from core.image import nifti
from core.image.intake import vetted
from core.image.volume import load
from tests.scans import as_bytes, image, noise, stream


def loaded(made, folder):
    with vetted(stream(as_bytes(made)), folder) as file:
        return load(file)


def words(volume) -> dict[str, str]:
    return {finding.code: finding.message for finding in volume.findings}


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3)])
def test_true_metres_and_micrometres_are_read_in_mm(unit, factor, tmp_path):
    affine = np.diag([1.0, 1.2, 0.9, 1]) + np.pad([[-20.0], [30], [5]], ((0, 1), (3, 0)))
    scaled = affine.copy()
    scaled[:3] *= factor
    made = image(noise(), scaled)
    made.header.set_xyzt_units(unit)
    volume = loaded(made, tmp_path)
    assert np.allclose(volume.affine, affine, rtol=1e-5)
    assert volume.spacing_mm == pytest.approx((1, 1.2, 0.9), rel=1e-5)
    assert "1 x 1.2 x 0.9 mm" in words(volume)["unit_unusual"]
    mask = nifti.mask_bytes(np.zeros(made.shape, np.uint8), volume.header)
    again = nib.Nifti1Image.from_bytes(gzip.decompress(mask))
    assert np.allclose(again.affine, scaled)  # on the file's own grid, in its own unit
    assert again.header.get_xyzt_units()[0] == unit


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_mm_that_are_called_otherwise_stay_mm(unit, tmp_path):
    made = image(noise())
    made.header.set_xyzt_units(unit)
    volume = loaded(made, tmp_path)
    assert volume.spacing_mm == (1, 1, 1)
    assert "read as mm" in words(volume)["unit_unusual"]


def with_larger_sform(factor: float) -> nib.Nifti1Image:
    made = image(noise())
    made.set_qform(np.eye(4), 1)
    made.set_sform(np.diag([factor, factor, factor, 1]), 4)
    made.header["pixdim"][1:4] = 1
    return made


@pytest.mark.parametrize(
    ("factor", "words_of_it"),
    [(1.019, "5.8 % larger"), (1.0025, "0.8 % larger"), (0.99, "3.0 % smaller")],
)
def test_an_sform_of_another_volume_is_told_with_the_figure(factor, words_of_it, tmp_path):
    volume = loaded(with_larger_sform(factor), tmp_path)
    message = words(volume)["spacing_conflict"]
    assert words_of_it in message
    assert "sform was used" in message
    assert volume.spacing_mm[0] == pytest.approx(factor)


@pytest.mark.parametrize("factor", [1.0, 1.001, 0.999])
def test_rounding_is_no_conflict(factor, tmp_path):
    assert "spacing_conflict" not in words(loaded(with_larger_sform(factor), tmp_path))
