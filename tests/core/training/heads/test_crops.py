"""A head's crops are those of inference, left and right, and their masks fit the head again."""

import gzip
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core import limits
from core.errors import InputError
from core.measures.edges import whole
from core.predictor.engine import ScanRun
from core.predictor.head_segmentation import SECOND_CROP_OFFSET_MM, segment_head
from core.predictor.heads import CROP, crop_grid
from core.predictor.localiser import locate
from core.predictor.merge import CropResult, merged
from core.training.heads.crops import crops_of, labels_on, variation
from core.training.heads.locator import HeadLocator
from core.training.heads.sides import sides_in
from tests.heads import MIRROR, ellipsoid, head_2mm, head_labels, loaded, location
from tests.scans import all_orientations, reoriented

AXES = Rotation.from_rotvec((8, -5, 12), degrees=True).as_matrix()


def cases(image, labels, folder, where=None, cuts=2, name="a"):
    """Crops of a head by side and cut; images and labels pass through the file's own axes."""
    where = where or location()
    head = loaded(image, folder)
    values = nib.as_closest_canonical(nib.Nifti1Image(labels, image.affine))
    sides, _ = sides_in(
        np.asarray(values.dataobj), values.affine, where, whole(head.shape)
    )  # fmt: skip
    return {(c.side, c.cut): c for c in crops_of(head, sides, where.axes, name, cuts)}


def turned(matrix):
    frame = np.eye(4)
    frame[:3, :3] = matrix
    return frame


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@settings(max_examples=4)
@given(st.tuples(*[st.floats(-15, 15)] * 3), st.text("ab", min_size=1, max_size=3))
def test_a_mirrored_affine_gives_the_same_crops_with_the_sides_swapped(angles, name):
    frame = turned(Rotation.from_rotvec(angles, degrees=True).as_matrix())
    image = head_2mm()
    image = nib.Nifti1Image(np.asarray(image.dataobj), frame @ image.affine)
    labels = head_labels(head_2mm())
    other = nib.Nifti1Image(np.asarray(image.dataobj), MIRROR @ image.affine)
    with tempfile.TemporaryDirectory() as folder:
        straight = cases(image, labels, Path(folder), location(frame), name=name)
        swapped = cases(other, labels, Path(folder), location(MIRROR @ frame @ MIRROR), name=name)
    assert straight.keys() == swapped.keys() == {(s, c) for s in ("left", "right") for c in (0, 1)}
    for (side, cut), crop in straight.items():
        twin = swapped["right" if side == "left" else "left", cut]
        assert np.allclose(crop.image, twin.image, atol=2e-3)
        assert dice(crop.labels > 0, twin.labels > 0) > 0.995
        assert (crop.labels != twin.labels).mean() < 5e-4


def test_left_and_right_differ_so_that_swapping_them_would_be_seen(tmp_path):
    found = cases(head_2mm(), head_labels(head_2mm()), tmp_path)
    left, right = (found[side, 0] for side in ("left", "right"))
    assert (left.labels > 0).sum() > 1.1 * (right.labels > 0).sum()
    assert not np.allclose(left.image, right.image, atol=0.02)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_midline_lies_towards_the_end_of_the_first_axis(side, tmp_path):
    """Of both sides, as in Task04: a dark slab that is drawn there is where it should be."""
    image = head_2mm()
    data = np.asarray(image.dataobj).copy()
    medial = apply_affine(np.linalg.inv(image.affine), (-11 if side == "left" else 11, -22, -14))
    i, j, k = np.rint(medial).astype(int)
    data[i - 1 : i + 2, j - 5 : j + 6, k - 3 : k + 4] = 0
    marked = nib.Nifti1Image(data, image.affine)
    plain = cases(image, head_labels(image), tmp_path)[side, 0]
    crop = cases(marked, head_labels(image), tmp_path)[side, 0]
    changed = np.argwhere(np.abs(crop.image - plain.image) > 0.2)
    assert len(changed) > 50
    assert changed[:, 0].min() > CROP[0] / 2


@pytest.mark.parametrize("orientation", all_orientations()[1::9])
def test_the_files_orientation_changes_nothing(orientation, tmp_path):
    labels = nib.Nifti1Image(head_labels(head_2mm()), head_2mm().affine)
    turned_labels = np.asarray(reoriented(labels, orientation).dataobj)
    straight = cases(head_2mm(), np.asarray(labels.dataobj), tmp_path)
    other = cases(reoriented(head_2mm(), orientation), turned_labels, tmp_path)
    for key, crop in straight.items():
        assert np.allclose(crop.image, other[key].image, atol=1e-5)
        assert np.array_equal(crop.labels, other[key].labels)


def test_it_is_the_crop_that_the_network_gets(predictor, tmp_path):
    """Segmenting a head about the labels' centres shows the network the same arrays."""
    head = loaded(head_2mm(), tmp_path)
    run, shown = ScanRun(), []

    class Recorder:
        localiser_heat = staticmethod(predictor.engine.localiser_heat)

        @staticmethod
        def crop_probabilities(crop, run, *, quick):
            shown.append(crop)
            return predictor.engine.crop_probabilities(crop, run, quick=quick)

    where = locate(head, predictor.engine, run)
    sides, _ = sides_in(head_labels(head_2mm()), head.affine, where, whole(head.shape))
    segment_head(head, Recorder(), run, {n: side.centre_mm for n, side in sides.items()})
    made = list(crops_of(head, sides, where.axes, "a", 1))
    assert [crop.side for crop in made] == ["left", "right"]
    assert len(shown) == 4  # two crops a side, of which the first is at the centre
    for crop, seen in zip(made, shown[::2], strict=True):
        assert np.abs(crop.image - seen).max() < 5e-3


def put_back(head, side, axes):
    """Inference's way back, from the masks of its two crops."""
    grids = [
        crop_grid("left", side.centre_mm + axes @ offset, axes)
        for offset in (np.zeros(3), SECOND_CROP_OFFSET_MM)
    ]
    first, second = (
        CropResult(
            grid, np.stack([(labels_on(grid, side) == k).astype(np.float32) for k in range(3)])
        )
        for grid in grids
    )
    found = merged(head, side.centre_mm, first, second)
    labels = np.zeros(head.shape, np.uint8)
    labels[found.box] = found.labels
    return labels


def test_at_2_mm_masks_fit_the_head_again(tmp_path):
    head = loaded(head_2mm(), tmp_path)
    values = head_labels(head_2mm())
    sides, _ = sides_in(values, head.affine, location(), whole(head.shape))
    back = sum(put_back(head, side, AXES) for side in sides.values())
    assert dice(back > 0, values > 0) >= 0.97
    assert dice(back == 1, values == 1) >= 0.97
    assert dice(back == 2, values == 2) >= 0.97


def test_real_masks_of_1_mm_fit_the_head_again(shared_data, tmp_path):
    """hippodeep's shape, halved: Dice 0.97 of the whole and of each label."""
    name = "sub-02.nii.gz"
    scan = nib.load(shared_data / "heads" / "adults" / "whole" / name)
    mask = nib.load(shared_data / "heads" / "adults" / "hippodeep" / name)
    which = np.asarray(nib.as_closest_canonical(mask).dataobj)
    head = loaded(scan, tmp_path)
    middle = np.argwhere(which).mean(0)[1]
    is_front = (np.arange(which.shape[1]) > middle)[None, :, None]
    values = np.where(which > 0, 2 * which - is_front, 0).astype(np.uint8)  # 1 to 4
    with HeadLocator() as locator:
        where = locator.locate(head)
    sides, left_out = sides_in(values, head.affine, where, whole(head.shape))
    assert left_out == {}
    for number, side in enumerate(sides.values()):
        back = put_back(head, side, where.axes)
        true = np.where((values > 2) == bool(number), values, 0)
        true = np.where(true > 0, (true - 1) % 2 + 1, 0)
        assert dice(back > 0, true > 0) >= 0.97
        assert dice(back == 1, true == 1) >= 0.97
        assert dice(back == 2, true == 2) >= 0.97


def test_masks_are_nearer_to_the_true_shape_than_without_smoothing_and_keep_the_volume(tmp_path):
    """Of an ellipsoid at 2 mm: nearest neighbour leaves stairs, and the crop's volume is kept."""
    head = loaded(head_2mm(), tmp_path)
    values = head_labels(head_2mm())
    sides, _ = sides_in(values, head.affine, location(), whole(head.shape))
    for name, side in sides.items():
        grid = crop_grid(name, side.centre_mm, AXES)
        true = ellipsoid(apply_affine(grid, np.moveaxis(np.indices(CROP), 0, -1)), name)
        to = np.linalg.inv(side.affine) @ grid
        nearest = ndimage.affine_transform(side.labels, to[:3, :3], to[:3, 3], CROP, order=0)
        made = labels_on(grid, side)
        assert dice(made > 0, true > 0) > dice(nearest > 0, true > 0) + 0.02
        assert dice(made > 0, true > 0) > 0.94
        mm3 = (side.labels > 0).sum() * 8.0
        assert abs((made > 0).sum() / mm3 - 1) < 0.01


def test_cuts_differ_by_no_more_than_the_localiser_errs_and_are_repeated():
    assert np.array_equal(variation("a", 0).shift_mm, np.zeros(3))
    seen = [variation(name, cut) for name in ("a", "b", "c") for cut in range(1, 30)]
    for change in seen:
        assert np.linalg.norm(change.shift_mm) <= limits.HEAD_CUT_MM
        angle = np.degrees(Rotation.from_matrix(change.rotation).magnitude())
        assert angle <= limits.HEAD_CUT_DEG + 1e-6
        assert abs(change.scale - 1) <= limits.HEAD_CUT_SCALE
    shifts = np.array([change.shift_mm for change in seen])
    assert len(np.unique(shifts.round(6), axis=0)) == len(seen)
    assert np.linalg.norm(shifts, axis=1).max() > 0.9 * limits.HEAD_CUT_MM
    assert np.abs(shifts.mean(0)).max() < 0.2 * limits.HEAD_CUT_MM
    again = variation("b", 7)
    assert np.array_equal(again.shift_mm, variation("b", 7).shift_mm)
    assert np.array_equal(again.rotation, variation("b", 7).rotation)


def test_something_labelled_elsewhere_is_refused(tmp_path):
    labels = head_labels(head_2mm())
    labels[30:36, 100:112, 60:70] = 1
    with pytest.raises(InputError, match="labels fit into its crop"):
        cases(head_2mm(), labels, tmp_path)


def test_two_runs_give_the_same_bytes(tmp_path):
    first, second = (cases(head_2mm(), head_labels(head_2mm()), tmp_path) for _ in range(2))
    for key, crop in first.items():
        assert gzip.compress(crop.image.tobytes(), mtime=0) == gzip.compress(
            second[key].image.tobytes(), mtime=0
        )
        assert np.array_equal(crop.labels, second[key].labels)
