"""One side of a head is segmented anew: no voxel of the other changes."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.cases.side_labels import with_one_side
from core.errors import ConflictError, InputError
from core.predictor.heads import sides_of
from tests.scans import all_orientations, image, noise, reoriented

SHAPE = (9, 8, 7)
SIDES = ("left", "right")
PLACE = st.tuples(*[st.floats(-40, 40)] * 3)


def masks(seed: int, shape) -> tuple[np.ndarray, np.ndarray]:
    """Two masks that have labels everywhere, on both sides and across the middle."""
    both = np.random.default_rng(seed).integers(0, 3, (2, *shape)).astype(np.uint8)
    return both[0], both[1]


@given(PLACE, PLACE, PLACE, st.sampled_from(SIDES), st.integers(0, 47), st.integers(0, 99))
def test_no_voxel_of_the_other_side_changes(left, right, pointed, side, number, seed):
    scan = reoriented(image(noise(SHAPE), np.diag([9.0, 8, 7, 1])), all_orientations()[number])
    before, made = masks(seed, scan.shape)
    known = {"left": left, "right": right}
    other = SIDES[1 - SIDES.index(side)]
    assume(np.linalg.norm(np.subtract(left, right)) > 1)
    assume(np.linalg.norm(np.subtract(pointed, known[other])) > 1)
    is_other = sides_of(scan.shape, scan.affine, known) == 1 + SIDES.index(other)
    try:
        # The new search places the other side elsewhere as well: that changes nothing.
        elsewhere = {side: pointed, other: tuple(np.add(known[other], 3))}
        now = with_one_side(before, made, scan.affine, side, known, elsewhere)
    except (ConflictError, InputError):
        return  # refused whole
    assert np.array_equal(now[is_other], before[is_other])
    changed = now != before
    assert np.isin(now[changed], (0, *np.unique(made))).all()


def test_the_side_itself_is_the_new_mask():
    scan = image(noise((20, 8, 7)), np.diag([4.0, 4, 4, 1]))
    before, made = masks(1, scan.shape)
    known = {"left": (10.0, 16, 12), "right": (66.0, 16, 12)}
    now = with_one_side(before, made, scan.affine, "left", known, known | {"left": (14.0, 16, 12)})
    is_left = sides_of(scan.shape, scan.affine, known) == 1
    assert np.array_equal(now[is_left], made[is_left])
    assert np.array_equal(now[~is_left], before[~is_left])


def test_a_place_among_the_other_sides_voxels_is_refused_with_its_side():
    scan = image(noise((20, 8, 7)), np.diag([4.0, 4, 4, 1]))
    before, made = masks(1, scan.shape)
    known = {"left": (10.0, 16, 12), "right": (66.0, 16, 12)}
    with pytest.raises(ConflictError, match="the patient's right side") as caught:
        with_one_side(before, made, scan.affine, "left", known, known | {"left": (60.0, 16, 12)})
    assert caught.value.code == "other_side"


def test_a_place_with_nothing_there_takes_no_mask_away():
    scan = image(noise((20, 8, 7)), np.diag([4.0, 4, 4, 1]))
    before, _ = masks(1, scan.shape)
    known = {"left": (10.0, 16, 12), "right": (66.0, 16, 12)}
    with pytest.raises(InputError, match="No left hippocampus was found at this place"):
        with_one_side(before, np.zeros_like(before), scan.affine, "left", known, known)
