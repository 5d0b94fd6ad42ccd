"""A case on other grids: every voxel shows what lies at its place in mm, on its own side."""

import numpy as np
import pytest
from nibabel.affines import apply_affine, voxel_sizes
from scipy.spatial.transform import Rotation

from core.cases.case import CaseImages
from core.cases.displays import axes_of, grid_along, images_on, labels_on, points_of
from core.image.voxels import Voxels
from core.predictor.heads import crop_grid

SHAPE = (40, 44, 36)


def tilted(angles: tuple[float, float, float]) -> tuple[CaseImages, dict]:
    """A scan that lies as its head is turned; its values are the mm to the patient's right."""
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = np.diag((2.0, 1.8, 2.2))
    affine[:3, 3] = (-41, -38, -40)
    mm = apply_affine(affine, np.moveaxis(np.indices(SHAPE), 0, -1).reshape(-1, 3))
    values = mm[:, 0].reshape(SHAPE).astype(np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    sides = {}
    for side, x in (("left", -22), ("right", 22)):
        centre = turn @ (x, -4, -6)
        own = (mm - centre) @ turn
        # A rod that rises to the front: 20 degrees against the head's own axis.
        along = own[:, 1] * np.cos(np.radians(20)) + own[:, 2] * np.sin(np.radians(20))
        off = np.sqrt(np.maximum(0, (own**2).sum(axis=1) - along**2))
        inside = (np.abs(along) < 16) & (off < 5)
        labels.reshape(-1)[inside] = np.where(along[inside] > 4, 1, 2)
        box = {"affine": crop_grid(side, centre, turn).tolist()}
        sides[side] = {"centre_mm": centre.tolist(), "box": box}
    return CaseImages(Voxels(values), labels, affine), {"sides": sides}


def grid_of(images, head, plane):
    points = points_of(images.labels, images.affine, head)
    return grid_along(images.shape, images.affine, axes_of(head, points, plane))


@pytest.mark.parametrize("angles", [(0, 0, 0), (12, -8, 6), (-15, 10, 14)])
@pytest.mark.parametrize("plane", ["coronal", "long axis"])
def test_every_voxel_shows_its_own_place_and_side(angles, plane):
    images, head = tilted(angles)
    grid = grid_of(images, head, plane)
    shown = images_on(images, grid)
    voxels = np.argwhere(np.ones(grid.shape, bool))
    to_scan = apply_affine(np.linalg.inv(images.affine), apply_affine(grid.affine, voxels))
    inside = ((to_scan >= 0) & (to_scan <= np.array(SHAPE) - 1)).all(axis=1)
    right_mm = apply_affine(grid.affine, voxels)[:, 0]
    assert np.allclose(shown.values.reshape(-1)[inside], right_mm[inside], atol=1e-3)
    # Each side's labels are where they were and as large, but for parts of their few voxels.
    before, after = (
        points_of(images.labels, images.affine, head),
        points_of(shown.labels, grid.affine, head),
    )
    for side in before:
        assert np.allclose(before[side].mean(axis=0), after[side].mean(axis=0), atol=0.6)
        volume = len(before[side]) * np.prod(voxel_sizes(images.affine))
        assert len(after[side]) * np.prod(voxel_sizes(grid.affine)) == pytest.approx(volume, 0.15)
    # The first axis still runs to the patient's right, at right angles to the others.
    cubes = grid.affine[:3, :3] / voxel_sizes(grid.affine)
    assert np.allclose(cubes.T @ cubes, np.eye(3), atol=1e-9)
    assert np.linalg.det(cubes) == pytest.approx(1)
    assert (np.diag(cubes) > np.cos(np.radians(45))).all()


def test_the_grid_stands_upright_and_across_the_hippocampus():
    images, head = tilted((12, -8, 6))
    turn = Rotation.from_euler("xyz", (12, -8, 6), degrees=True).as_matrix()
    upright = grid_of(images, head, "coronal").affine[:3, :3]
    assert np.allclose(upright / np.linalg.norm(upright, axis=0), turn, atol=1e-9)
    ahead = grid_of(images, head, "long axis").affine[:3, 1]
    rod = turn @ (0, np.cos(np.radians(20)), np.sin(np.radians(20)))
    assert np.degrees(np.arccos(ahead @ rod / np.linalg.norm(ahead))) < 2


def test_a_grid_on_which_another_letter_would_be_true_is_not_made():
    images, head = tilted((50, 0, 0))
    assert grid_of(images, head, "coronal") is None


def test_an_empty_mask_stays_empty_and_labels_beyond_the_grid_are_left_out():
    images, head = tilted((0, 0, 0))
    grid = grid_of(images, head, "coronal")
    assert not labels_on(np.zeros(SHAPE, np.uint8), images.affine, grid).any()
    away = np.eye(4)
    away[:3, 3] = 500
    assert not labels_on(images.labels, images.affine, grid, away).any()
