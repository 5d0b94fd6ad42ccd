"""The same head, moved by a known way: found again, on its own side, and what was lost and won."""

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.cases.case import CaseImages
from core.cases.moved import earlier_on, lost_and_won, move_of
from core.errors import InputError
from core.image.registration import Move
from core.image.voxels import Voxels
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
    back = earlier_on(still, earlier, move)
    head = head_of(np.eye(4), np.zeros(3), 0.0)
    found = lost_and_won(still.labels, still.affine, head, back)
    for side in CENTRES:
        # A rim of part of a voxel is lost and won by resampling.
        assert found[side].lost_mm3 + found[side].won_mm3 < 0.45 * found[side].kept_mm3
        assert abs(found[side].lost_mm3 - found[side].won_mm3) < 0.15 * found[side].kept_mm3
    assert found["left"].kept_mm3 > 2 * found["right"].kept_mm3


def test_what_was_lost_on_one_side_is_lost_there_alone(still):
    smaller = still.labels.copy()
    mm = apply_affine(still.affine, np.argwhere(smaller))
    gone = np.argwhere(smaller)[(mm[:, 0] > 0) & (mm[:, 1] < CENTRES["right"][1])]
    smaller[tuple(gone.T)] = 0
    head = head_of(np.eye(4), np.zeros(3), 0.0)
    found = lost_and_won(smaller, still.affine, head, still.labels)
    assert found["right"].lost_mm3 == pytest.approx(len(gone) * 8)
    assert (found["left"].lost_mm3, found["left"].won_mm3, found["right"].won_mm3) == (0, 0, 0)


def test_what_shows_no_brain_is_not_laid_onto_a_head(still):
    affine = still.affine.copy()
    affine[:3, 3] += 900
    far = CaseImages(still.voxels, still.labels, affine)
    head = head_of(np.eye(4), np.zeros(3), 0.0)
    with pytest.raises(InputError, match="could not be laid onto each other"):
        move_of(still, head, far, head)


def test_a_mask_on_its_own_grid_stays_as_it_is(still):
    same = earlier_on(still, still, Move(np.eye(4), 0.0))
    assert np.array_equal(same, still.labels)
    assert nib.aff2axcodes(still.affine) == ("R", "A", "S")
