"""Where an image ends: a mask that is cut off is said, with the side of the patient."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.image.header import parse_header
from core.image.volume import ras_affine, to_ras
from core.measures.edges import FACES, content_extent, cut_faces, faces_looked_beyond, whole
from tests.scans import all_orientations, as_bytes, image, noise, reoriented

SHAPE = (40, 56, 40)
NAMES = [name for pair in FACES for name in pair]


def hippocampus(spacing=(1.0, 1.0, 1.0)) -> np.ndarray:
    """An ellipsoid of 14 x 40 x 14 mm in the middle of 40 x 56 x 40 mm."""
    shape = np.round(np.array(SHAPE) / spacing).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    off = (grid - (shape - 1) / 2) * spacing / (7, 20, 7)
    return (off**2).sum(-1) <= 1


def cut(mask: np.ndarray, name: str, lost: float) -> tuple[slice, ...]:
    """What is left of an RAS image where one side of the mask is cut away."""
    axis, end = next((a, pair.index(name)) for a, pair in enumerate(FACES) if name in pair)
    others = tuple(other for other in range(3) if other != axis)
    share = np.cumsum(mask.sum(others)) / mask.sum()
    kept = [slice(None)] * 3
    kept[axis] = (
        slice(int(np.searchsorted(share, lost)) + 1, None) if end == 0
        else slice(None, int(np.searchsorted(share, 1 - lost, side="right")))
    )  # fmt: skip
    return tuple(kept)


@settings(max_examples=60)
@given(
    st.sampled_from(NAMES), st.integers(0, 47), st.tuples(*[st.floats(0.7, 1.6)] * 3),
    st.tuples(*[st.floats(-12, 12)] * 3),
)  # fmt: skip
def test_the_patients_side_is_named_however_the_file_lies(name, number, spacing, angles):
    mask = hippocampus(spacing)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    part = cut(mask, name, 0.1)
    affine[:3, 3] = affine[:3, :3] @ [p.start or 0 for p in part]
    file = reoriented(image(mask[part].astype(np.float32), affine), all_orientations()[number])
    header = parse_header(as_bytes(file))
    labels = to_ras(np.asarray(file.dataobj), header) > 0
    assert cut_faces(labels, ras_affine(header), whole(labels.shape)) == [name]


def test_a_whole_hippocampus_in_a_tight_crop_is_not_cut():
    mask = hippocampus()
    for margin in (4, 5, 8):  # mm beside, behind and below
        tight = mask[13 - margin : 27 + margin, 8 - margin : 48 + margin, 13 - margin : 27 + margin]
        assert cut_faces(tight, np.eye(4), whole(tight.shape)) == []


@pytest.mark.parametrize("stops_mm", range(5))
def test_a_blunt_end_is_a_cut_one_where_the_network_stopped_before_the_edge(stops_mm):
    """As it does: the last voxels before an edge are left out."""
    mask = hippocampus()[:, :32]
    mask[:, 32 - stops_mm :] = False
    assert cut_faces(mask, np.eye(4), whole(mask.shape)) == ["in front"]


@settings(max_examples=40)
@given(st.sampled_from(NAMES), st.integers(1, 9), st.sampled_from([0.0, -7.0, np.nan]))
def test_padding_does_not_hide_a_cut(name, planes, value):
    mask = hippocampus()
    part = cut(mask, name, 0.1)
    values, labels = noise(SHAPE)[part], mask[part]
    pad = [(planes, planes)] * 3
    padded = np.pad(values, pad, constant_values=value)
    extent = content_extent(padded)
    assert extent == tuple((planes, planes + n) for n in values.shape)
    assert cut_faces(np.pad(labels, pad), np.eye(4), extent) == [name]


def test_an_image_of_one_value_has_an_extent_still():
    extent = content_extent(np.ones((4, 5, 6)))
    assert all(end - begin == 1 for begin, end in extent)


def test_what_the_network_looked_at_beyond_the_image_is_named():
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])  # any affine: both are in mm
    window = np.eye(4)
    window[:3, 3] = (-50, 20, 10)
    box = {"shape": [35, 50, 35], "affine": window.tolist()}
    assert faces_looked_beyond(box, affine, whole((80, 90, 60))) == []
    assert faces_looked_beyond(box, affine, whole((80, 60, 60))) == ["in front"]
    assert faces_looked_beyond(box, affine, ((0, 80), (0, 90), (9, 60))) == ["below"]


def test_a_leaning_axis_is_measured_at_right_angles():
    """A shear does not bring the mask nearer to the face that it slides along."""
    mask = hippocampus()[:, :, 8:]  # 5 mm below it
    leaning = np.eye(4)
    leaning[1, 2] = 0.5  # a voxel is 1.12 mm long, a plane 1 mm thick
    assert cut_faces(mask, leaning, whole(mask.shape)) == []
    assert nib.affines.voxel_sizes(leaning)[2] > 1.1
