"""A side's mask on the scan's grid has the volume that it has on the crops' own."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from core.predictor.heads import CROP
from core.predictor.merge import CropResult, merged
from tests.heads import loaded

HALF_MM = np.array((7.0, 17.0, 6.0))
VOLUME_MM3 = 4 / 3 * np.pi * HALF_MM.prod()
ANTERIOR_SHARE = 0.4
# The ellipsoid's coronal plane with this share of it in front.
BORDER_MM = 2.3


def crop(centre_mm, offset_mm, second_piece=False):
    """What a network sure of an ellipsoid says in a crop: margins fall by 2 a mm."""
    grid = np.eye(4)
    grid[:3, 3] = centre_mm + offset_mm - (np.array(CROP) - 1) / 2
    off = apply_affine(grid, np.moveaxis(np.indices(CROP), 0, -1)) - centre_mm
    depth_mm = (1 - np.sqrt(((off / HALF_MM) ** 2).sum(-1))) * HALF_MM.min()
    if second_piece:
        depth_mm = np.maximum(depth_mm, 2 - np.linalg.norm(off - (12, 0, 12), axis=-1))
    inside = 1 / (1 + np.exp(-2 * depth_mm))
    front = 1 / (1 + np.exp(-2 * (off[..., 1] - BORDER_MM)))
    probabilities = np.stack([1 - inside, inside * front, inside * (1 - front)])
    return CropResult(grid, probabilities.astype(np.float32))


def masked(volume, centre_mm, **more):
    """The labels of a side about a place, on a volume's grid, and their agreement."""
    crops = [crop(centre_mm, np.array(by), **more) for by in ((0, 0, 0), (1.5, -1.5, 1.5))]
    found = merged(volume, centre_mm, *crops)
    labels = np.zeros(volume.shape, np.uint8)
    labels[found.box] = found.labels
    return labels, found.agreement


def scan(folder, spacing_mm, extent_mm=(120, 120, 120)):
    shape = [round(mm / step) for mm, step in zip(extent_mm, spacing_mm, strict=True)]
    noise = np.random.default_rng(0).integers(1, 999, shape).astype(np.int16)
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -np.array(extent_mm) / 2
    return loaded(nib.Nifti1Image(noise, affine), folder)


@pytest.mark.parametrize("spacing_mm", [(1.1, 1, 0.9), (2, 2, 2), (1, 5, 1)])
def test_a_volume_is_the_same_wherever_the_voxels_lie(spacing_mm, tmp_path):
    volume = scan(tmp_path, spacing_mm)
    voxel_mm3 = np.prod(spacing_mm)
    found = []
    for place in np.random.default_rng(1).uniform(-5, 5, (5, 3)):
        labels, agreement = masked(volume, place)
        assert agreement > 0.93
        found.append([(labels > 0).sum() * voxel_mm3, (labels == 1).sum() * voxel_mm3])
    whole, anterior = np.array(found).T
    assert whole.std() / whole.mean() < 0.006
    assert whole.mean() == pytest.approx(VOLUME_MM3, rel=0.01)
    assert anterior.std() / whole.mean() < 0.012
    assert anterior.mean() == pytest.approx(ANTERIOR_SHARE * VOLUME_MM3, rel=0.04)


def test_the_anterior_part_lies_in_front(tmp_path):
    labels, _ = masked(scan(tmp_path, (1, 1, 1)), np.zeros(3))
    front, back = (np.argwhere(labels == value)[:, 1] for value in (1, 2))
    assert front.min() >= back.max() - 1


def test_where_the_scan_ends_the_mask_has_no_more_than_is_in_it(tmp_path):
    volume = scan(tmp_path, (2, 2, 2))
    whole, _ = masked(volume, np.zeros(3))
    cut, _ = masked(volume, np.array((59.0, 0, 0)))
    # The last voxels end at 59 mm: half of it is in the scan, to half a voxel of the crops.
    assert (cut > 0).sum() == pytest.approx((whole > 0).sum() / 2, rel=0.06)


def test_a_second_piece_is_neither_marked_nor_counted(tmp_path):
    volume = scan(tmp_path, (2, 2, 2))
    alone, _ = masked(volume, np.zeros(3))
    beside, _ = masked(volume, np.zeros(3), second_piece=True)
    assert np.array_equal(alone, beside)


def test_a_side_that_lies_outside_of_the_scan_has_no_mask(tmp_path):
    labels, agreement = masked(scan(tmp_path, (2, 2, 2)), np.array((300.0, 0, 0)))
    assert not labels.any()
    assert agreement == 0
