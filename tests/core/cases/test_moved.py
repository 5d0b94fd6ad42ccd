"""The same head, moved by a known way: found again, on its own side, and what was lost and won."""

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.anatomy import LABELS
from core.cases.case import CaseImages
from core.cases.moved import earlier_on, lost_and_won, move_of
from core.errors import InputError
from core.image.registration import Move
from core.image.voxels import Voxels
from core.measures.change import PARTS
from core.predictor.heads import crop_grid
from tests.scans import template_head

CENTRES = {"left": np.array((-26.0, -22.0, -14.0)), "right": np.array((26.0, -22.0, -14.0))}


def head_of(move: np.ndarray, off: np.ndarray, turned_deg: float) -> dict[str, Any]:
    """The record of a head that was moved, as a localiser has it: off by some mm and degrees."""
    axes = Rotation.from_euler("xyz", [turned_deg] * 3, degrees=True).as_matrix() @ move[:3, :3]
    sides = {}
    for side, centre in CENTRES.items():
        at = apply_affine(move, centre) + off
        box = {"shape": [35, 50, 35], "affine": crop_grid(side, at, axes).tolist()}
        sides[side] = {"centre_mm": at.tolist(), "box": box}
    return {"sides": sides}


HEAD = head_of(np.eye(4), np.zeros(3), 0.0)
STILL = Move(np.eye(4), 0.0)
# Of the template at 2 mm, without its 58 hindmost slices.
FORWARD = np.array([[2.0, 0, 0, -97.5], [0, 2, 0, -133.5 + 116], [0, 0, 2, -71.5], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def still() -> CaseImages:
    """The template at 2 mm, with a mask of two sizes: the left one is larger."""
    head = template_head()
    affine = head.affine @ np.diag([2, 2, 2, 1])
    affine[:3, 3] += 0.5
    data = np.asarray(head.dataobj, np.float32)[:196, :232, :188]
    data = data.reshape(98, 2, 116, 2, 94, 2).mean(axis=(1, 3, 5))
    mm = np.moveaxis(apply_affine(affine, np.moveaxis(np.indices(data.shape), 0, -1)), -1, 0)
    labels = np.zeros(data.shape, np.uint8)
    for (side, centre), radius in zip(CENTRES.items(), (9, 6), strict=True):
        off = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(mm, centre, strict=True)))
        labels[(off < radius) & (mm[1] >= centre[1])] = 1
        labels[(off < radius) & (mm[1] < centre[1])] = 2
        assert (off < radius).any(), side
    return CaseImages(Voxels(data.astype(np.float32)), labels, affine)


def with_labels(images: CaseImages, labels: np.ndarray) -> CaseImages:
    return CaseImages(images.voxels, labels, images.affine)


def crop_at(images: CaseImages, move: np.ndarray, off: np.ndarray) -> CaseImages:
    """A crop of 35 x 50 x 35 mm around the left hippocampus after a move, some mm off."""
    affine = np.eye(4)
    affine[:3, 3] = apply_affine(move, CENTRES["left"]) + off - (17, 24.5, 17)
    return moved(images, move, (35, 50, 35), affine)


def moved(images: CaseImages, move: np.ndarray, shape: tuple[int, ...], affine: np.ndarray):
    """The same head after a move, on a grid of its own, brighter, with noise."""
    to_voxels = np.linalg.inv(images.affine) @ np.linalg.inv(move) @ affine
    values, labels = (
        ndimage.affine_transform(
            part, to_voxels[:3, :3], to_voxels[:3, 3], shape, order=order, mode="constant"
        )
        for part, order in ((images.voxels.read_float32(), 1), (images.labels, 0))
    )
    noise = np.random.default_rng(0).normal(0, 0.02 * values.max(), shape)
    return CaseImages(Voxels((1.4 * values + noise + 7).astype(np.float32)), labels, affine)


@pytest.fixture(scope="module")
def pair(still: CaseImages) -> tuple[CaseImages, np.ndarray, Move]:
    """A head that was moved and tilted, the way, and the move that is found back."""
    way = np.eye(4)
    way[:3, :3] = Rotation.from_euler("xyz", [7, -4, 5], degrees=True).as_matrix()
    way[:3, 3] = (6, -9, 11)
    affine = np.diag([2.2, 1.8, 2.0, 1.0])
    affine[:3, 3] = (-92, -122, -70)
    earlier = moved(still, way, (90, 130, 95), affine)
    move = move_of(
        still, head_of(np.eye(4), np.array((0.5, 1.0, -1.0)), 1.0),
        earlier, head_of(way, np.array((-1.5, 1.0, 2.0)), -1.5),
    )  # fmt: skip
    return earlier, way, move


def test_a_known_move_is_found_back_and_its_residual_is_of_the_size_of_the_error(still, pair):
    _, way, move = pair
    places = apply_affine(still.affine, np.argwhere(still.labels))
    off = apply_affine(move.matrix @ way, places) - places
    error_mm = float(np.sqrt((off**2).sum(axis=1).mean()))
    assert error_mm < 0.5
    assert abs(move.residual_mm - error_mm) < 0.5
    assert np.allclose(move.matrix[:3, :3] @ move.matrix[:3, :3].T, np.eye(3), atol=1e-5)
    assert np.linalg.det(move.matrix) == pytest.approx(1, abs=1e-5)


def test_what_did_not_change_is_kept_on_its_own_side(still, pair):
    earlier, _, move = pair
    compared = lost_and_won(still, HEAD, earlier, move)
    found = {side: parts["total"] for side, parts in compared.sides.items()}
    for side in CENTRES:
        # A rim of part of a voxel is lost and won by resampling.
        assert found[side].lost_mm3 + found[side].won_mm3 < 0.45 * found[side].kept_mm3
        assert abs(found[side].lost_mm3 - found[side].won_mm3) < 0.15 * found[side].kept_mm3
    assert found["left"].kept_mm3 > 2 * found["right"].kept_mm3
    assert (compared.later_alone_mm3, compared.earlier_alone_mm3) == (0, 0)


def test_what_was_lost_is_lost_on_its_side_and_of_its_label_alone(still):
    smaller = still.labels.copy()
    mm = apply_affine(still.affine, np.argwhere(smaller))
    gone = np.argwhere(smaller)[(mm[:, 0] > 0) & (mm[:, 1] < CENTRES["right"][1])]
    smaller[tuple(gone.T)] = 0
    found = lost_and_won(with_labels(still, smaller), HEAD, still, STILL).sides
    lost = {side: [parts[part].lost_mm3 for part in PARTS] for side, parts in found.items()}
    assert lost["left"] == [0, 0, 0]
    assert lost["right"] == pytest.approx([len(gone) * 8, 0, len(gone) * 8])
    assert {part.won_mm3 for parts in found.values() for part in parts.values()} == {0}


def test_a_border_that_moved_is_no_loss_and_each_difference_is_accounted_for(still):
    random = np.random.default_rng(1)
    now = still.labels.copy()
    mm = apply_affine(still.affine, np.argwhere(now))
    forward = np.argwhere(now)[(now[now > 0] == 1) & (mm[:, 1] < CENTRES["left"][1] + 4)]
    now[tuple(forward.T)] = 2
    border = lost_and_won(with_labels(still, now), HEAD, still, STILL).sides
    for parts in border.values():
        assert {(part.lost_mm3, part.won_mm3) for part in parts.values()} == {(0, 0)}
        assert parts["anterior"].border_mm3 == -parts["posterior"].border_mm3 < 0
        assert parts["total"].border_mm3 == 0
    # Whatever becomes of both masks.
    now = np.where(random.random(now.shape) < 0.0005, random.integers(0, 3, now.shape), now)
    later = with_labels(still, now.astype(np.uint8))
    found = lost_and_won(later, HEAD, still, STILL).sides
    for part in PARTS:
        of = [found[side][part] for side in found]
        counts = [
            8 * np.isin(each.labels, [LABELS[part]] if part in LABELS else [1, 2]).sum()
            for each in (later, still)
        ]
        assert sum(o.won_mm3 - o.lost_mm3 + o.border_mm3 for o in of) == pytest.approx(
            counts[0] - counts[1]
        )
        assert sum(o.kept_mm3 + o.won_mm3 for o in of) == pytest.approx(counts[0])


def test_what_lies_where_the_other_scan_shows_nothing_is_not_counted(still):
    cut = CaseImages(Voxels(still.voxels.read_float32()[:, 58:]), still.labels[:, 58:], FORWARD)
    beyond = 8 * np.count_nonzero(still.labels[:, :58])
    assert beyond > 0
    for later, earlier, alone in ((still, cut, (beyond, 0)), (cut, still, (0, beyond))):
        found = lost_and_won(later, HEAD, earlier, STILL)
        assert (found.later_alone_mm3, found.earlier_alone_mm3) == pytest.approx(alone)
        for parts in found.sides.values():
            assert parts["total"].lost_mm3 == parts["total"].won_mm3 == 0


def test_two_crops_are_laid_onto_each_other(still):
    """Of a hippocampus in its surroundings, at 1 mm, turned and shifted within the crop."""
    way = np.eye(4)
    way[:3, :3] = Rotation.from_euler("xyz", [6, -5, 4], degrees=True).as_matrix()
    way[:3, 3] = (300, -40, 25)  # the mm of a crop's file need say nothing of the scanner
    later = crop_at(still, np.eye(4), np.array((0.0, 2.0, 1.0)))
    earlier = crop_at(still, way, np.array((2.0, -1.0, -1.0)))
    move = move_of(later, None, earlier, None)
    places = apply_affine(still.affine, np.argwhere(still.labels[:49]))
    off = apply_affine(move.matrix @ way, places) - places
    error_mm = float(np.sqrt((off**2).sum(axis=1).mean()))
    assert error_mm < 0.6
    assert move.residual_mm < 1
    (parts,) = lost_and_won(later, None, earlier, move).sides.values()
    assert parts["total"].kept_mm3 > 4 * (parts["total"].lost_mm3 + parts["total"].won_mm3)


def test_a_crop_is_not_laid_onto_a_head_nor_one_without_a_mask_onto_another(still):
    crop = crop_at(still, np.eye(4), np.zeros(3))
    with pytest.raises(InputError, match="One scan is a whole head"):
        move_of(still, HEAD, crop, None)
    with pytest.raises(InputError, match="A mask is empty"):
        move_of(crop, None, with_labels(crop, np.zeros_like(crop.labels)), None)


def test_what_shows_no_brain_is_not_laid_onto_a_head(still):
    affine = still.affine.copy()
    affine[:3, 3] += 900
    far = CaseImages(still.voxels, still.labels, affine)
    with pytest.raises(InputError, match="could not be laid onto each other"):
        move_of(still, HEAD, far, HEAD)


def test_a_mask_on_its_own_grid_stays_as_it_is(still):
    same = earlier_on(still, still, Move(np.eye(4), 0.0))
    assert np.array_equal(same, still.labels)
    assert nib.aff2axcodes(still.affine) == ("R", "A", "S")
