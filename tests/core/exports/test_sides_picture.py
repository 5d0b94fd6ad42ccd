"""Left and right beside each other: each pane shows the side that it names, and says which way."""

import io

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from PIL import Image

from core.cases.case import CaseImages
from core.exports.sentences import Sentences
from core.exports.sides_picture import panes, sides_png
from core.image.header import parse_header
from core.image.volume import ras_affine, to_ras
from core.image.voxels import Voxels
from tests.scans import all_orientations, as_bytes, reoriented

CENTRES = {"left": (-25.0, -20.0, -14.0), "right": (25.0, -22.0, -12.0)}
SHAPE, STEP_MM = (64, 44, 34), 1.6
HEAD = {"sides": {side: {"centre_mm": centre} for side, centre in CENTRES.items()}}
RADII_MM = np.array((6.0, 17.0, 6.0))
PITCH = np.deg2rad(25)  # the front end lies lower


def turned(degrees):
    a, b, c = np.deg2rad(degrees)
    about_z = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    about_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    about_x = [[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]]
    return np.array(about_z) @ about_y @ about_x


def scan(value_of, number=0, degrees=(0, 0, 0)):
    """Two hippocampi in a file of one of 48 axis orders, read as the program reads it.

    ``value_of`` gives the grey value at places in the patient's mm, shape (..., 3).
    """
    affine = np.eye(4)
    affine[:3, :3] = turned(degrees) * STEP_MM
    affine[:3, 3] = np.array((0.0, -21, -13)) - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    mm = apply_affine(affine, np.moveaxis(np.indices(SHAPE), 0, -1))
    labels = np.zeros(SHAPE, np.uint8)
    lowered = turned((0, 0, np.rad2deg(-PITCH)))
    for centre in CENTRES.values():
        own = (mm - centre) @ lowered
        inside = ((own / RADII_MM) ** 2).sum(axis=-1) < 1
        labels[inside] = np.where(own[inside][:, 1] > 0, 1, 2)

    def read(array):
        file = reoriented(nib.Nifti1Image(array, affine), all_orientations()[number])
        header = parse_header(as_bytes(file)[:540])
        return np.ascontiguousarray(to_ras(np.asarray(file.dataobj), header)), ras_affine(header)

    values, ras = read(value_of(mm).astype(np.float32))
    return CaseImages(Voxels(values), read(labels)[0], ras)


conventions = st.sampled_from(["radiological", "neurological"])
planes = st.sampled_from(["coronal", "long axis"])


@settings(max_examples=25)
@given(
    number=st.integers(0, 47), convention=conventions, plane=planes,
    degrees=st.tuples(*[st.integers(-15, 15)] * 3),
)  # fmt: skip
def test_each_pane_shows_its_own_side_and_its_letters_tell_the_truth(
    number, convention, plane, degrees
):
    found = panes(scan(lambda mm: mm[..., 0], number, degrees), HEAD, plane, convention)
    assert set(found) == {"left", "right"}
    for side, row in found.items():
        assert sum((pane.labels > 0).any() for pane in row) >= 4
        for pane in row:
            assert pane.side == side
            # The grey value is the millimetre to the patient's right.
            to_right = pane.grey[pane.labels > 0]
            assert (to_right < 0).all() if side == "left" else (to_right > 0).all()
            left, right = (float(pane.grey[:, edge].mean()) for edge in (0, -1))
            assert pane.letters[:2] == ("LR" if right > left else "RL")
            assert pane.is_mirrored == (side == "right")
            as_convention = "RL" if convention == "radiological" else "LR"
            assert (pane.letters[:2] == as_convention) != pane.is_mirrored


@settings(max_examples=10)
@given(number=st.integers(0, 47), plane=planes)
def test_what_is_up_is_up_and_both_sides_are_cut_by_the_same_planes(number, plane):
    upwards = panes(scan(lambda mm: mm[..., 2], number), HEAD, plane, "radiological")
    ahead = panes(scan(lambda mm: mm[..., 1], number), HEAD, plane, "radiological")
    for left, right in zip(ahead["left"], ahead["right"], strict=True):
        assert left.behind_mm == right.behind_mm
        middle = tuple(n // 2 for n in left.grey.shape)
        assert left.grey[middle] == pytest.approx(right.grey[middle], abs=0.1)
    for side in upwards:
        front_to_back = [pane.centre_mm[1] for pane in ahead[side]]
        assert front_to_back == sorted(front_to_back, reverse=True)
        for pane in upwards[side]:
            assert pane.grey[-1].mean() > pane.grey[0].mean()
            assert pane.letters[2:] == "IS"


def test_across_the_long_axis_the_slices_are_tilted_by_its_slope():
    ahead = panes(scan(lambda mm: mm[..., 1]), HEAD, "long axis", "radiological")["left"][2]
    per_row_mm = (ahead.grey[-1] - ahead.grey[0]).mean() / (len(ahead.grey) - 1) / 0.4
    assert np.arcsin(per_row_mm) == pytest.approx(PITCH, abs=0.06)
    flat = panes(scan(lambda mm: mm[..., 1]), HEAD, "coronal", "radiological")["left"][2]
    assert np.ptp(flat.grey) < 0.1


def test_a_tilted_head_stands_upright():
    axes = turned((12, 0, 0))
    box = np.eye(4)
    box[:3, :3] = axes
    head = {"sides": {
        side: {"centre_mm": centre, "box": {"affine": box.tolist()}}
        for side, centre in CENTRES.items()
    }}  # fmt: skip
    found = panes(scan(lambda mm: mm @ axes[:, 1]), head, "coronal", "radiological")
    for row in found.values():
        assert max(float(np.ptp(pane.grey)) for pane in row) < 0.1


def test_the_first_row_is_the_left_one():
    images = scan(lambda mm: np.where(mm[..., 0] < 0, 900.0, 100.0))
    for convention in ("radiological", "neurological"):
        png = sides_png(images, HEAD, "long axis", convention, Sentences("en"))
        rows = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(float)
        middle = rows.shape[0] // 2
        assert rows[100 : middle - 20].mean() > 2 * rows[middle + 100 : -40].mean()


def test_one_side_alone_has_one_row_and_an_empty_mask_no_picture():
    images = scan(lambda mm: mm[..., 0])
    labels = images.labels.copy()
    labels[: SHAPE[0] // 2] = 0
    one = CaseImages(images.voxels, labels, images.affine)
    assert list(panes(one, HEAD, "coronal", "radiological")) == ["right"]
    none = CaseImages(images.voxels, np.zeros_like(labels), images.affine)
    assert sides_png(none, HEAD, "coronal", "radiological", Sentences("en")) is None
