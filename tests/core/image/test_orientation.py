"""Left and right, and the affine: where people get hurt."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.eulerangles import euler2mat

from core.image.intake import vetted
from core.image.volume import from_ras, load, ras_affine, to_ras
from core.pipeline import analyse
from core.predictor.predictor import Predictor
from tests.scans import (
    all_orientations,
    as_bytes,
    example,
    image,
    noise,
    orders,
    reoriented,
    stream,
)


def mask_of(scan: nib.Nifti1Image, predictor: Predictor, folder) -> nib.Nifti1Image:
    analysis = analyse(stream(as_bytes(scan)), predictor, folder)
    return nib.Nifti1Image.from_bytes(gzip.decompress(analysis.mask_file))


def in_the_world(mask: nib.Nifti1Image) -> set[tuple[int, ...]]:
    """Label and place (tenths of a mm, RAS) of each labelled voxel."""
    labels = np.asarray(mask.dataobj)
    indices = np.argwhere(labels)
    places = np.round(nib.affines.apply_affine(mask.affine, indices) * 10).astype(int)
    return {(int(labels[tuple(i)]), *map(int, p)) for i, p in zip(indices, places, strict=True)}


@pytest.fixture(scope="module")
def upright(predictor, tmp_path_factory):
    return in_the_world(mask_of(example(), predictor, tmp_path_factory.mktemp("in")))


@pytest.mark.parametrize("number", orders())
def test_the_mask_is_at_the_same_place_however_the_file_is_turned(
    number, predictor, upright, tmp_path
):
    scan = reoriented(example(), all_orientations()[number])
    mask = mask_of(scan, predictor, tmp_path)
    assert np.array_equal(mask.affine, scan.affine)
    assert mask.shape == scan.shape
    assert (int(mask.header["sform_code"]), int(mask.header["qform_code"])) == (2, 1)
    differing = in_the_world(mask) ^ upright
    assert len(differing) <= 0.01 * len(upright)


angles = st.floats(-0.5, 0.5)


@given(x=angles, y=angles, z=angles)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tilted_affine_tilts_the_mask_with_the_scan(x, y, z, predictor, upright, tmp_path):
    tilt = np.eye(4)
    tilt[:3, :3] = euler2mat(z, y, x)
    scan = nib.Nifti1Image(np.asarray(example().dataobj), tilt @ example().affine)
    mask = mask_of(scan, predictor, tmp_path)
    assert np.allclose(mask.affine, scan.affine)
    back = nib.Nifti1Image(mask.dataobj, np.linalg.inv(tilt) @ mask.affine)
    differing = in_the_world(back) ^ upright
    assert len(differing) <= 0.01 * len(upright)


@pytest.mark.parametrize("number", range(48))
def test_turning_to_ras_and_back_changes_nothing(number, tmp_path):
    scan = reoriented(
        image(noise((20, 22, 24)), np.diag([1.0, 1.2, 1.4, 1])), all_orientations()[number]
    )
    with vetted(stream(as_bytes(scan)), tmp_path) as file:
        volume = load(file)
    stored = np.asarray(scan.dataobj)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert np.array_equal(from_ras(volume.data, volume.header), stored)
    assert np.array_equal(to_ras(stored, volume.header), volume.data)
    canonical = nib.as_closest_canonical(scan)
    assert np.allclose(ras_affine(volume.header), canonical.affine)
    assert np.array_equal(volume.data, np.asarray(canonical.dataobj))


def test_a_lopsided_scan_keeps_its_sides(tmp_path):
    """One bright voxel on the patient's right stays there, whatever the storage order."""
    for orientation in all_orientations():
        data = noise((20, 22, 24)) / 10
        data[17, 4, 6] = 1e4
        scan = reoriented(image(data, np.eye(4)), orientation)
        with vetted(stream(as_bytes(scan)), tmp_path) as file:
            volume = load(file)
        brightest = np.unravel_index(volume.data.argmax(), volume.data.shape)
        assert tuple(nib.affines.apply_affine(volume.affine, brightest)) == (17, 4, 6)
