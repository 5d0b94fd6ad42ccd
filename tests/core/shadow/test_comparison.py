import numpy as np
import pytest

from core.image.volume import Volume
from core.image.voxels import Voxels
from core.shadow.comparison import Scan, compared

SHAPE = (40, 20, 20)
VOXEL_MM3 = 8.0
# Voxels of 2 mm; the middle of the first axis lies at x = 0.
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = -40, -20, -20
HEAD = {"sides": {"left": {"centre_mm": [-26.0, 0, 0]}, "right": {"centre_mm": [26.0, 0, 0]}}}


def volume() -> Volume:
    return Volume(Voxels(np.zeros(SHAPE, np.int16)), 0.0, 1.0, AFFINE, None, ())


def blocks(*starts: int) -> np.ndarray:
    """Hippocampi of 4 x 4 x 4 voxels, half of each anterior, from these on the first axis."""
    labels = np.zeros(SHAPE, np.uint8)
    for start in starts:
        labels[start : start + 4, 8:12, 8:10] = 2
        labels[start : start + 4, 8:12, 10:12] = 1
    return labels


def scan(labels, head=None) -> Scan:
    return Scan(volume(), labels, 1, 1.0, head, None)


def swapped(labels):
    return np.array([0, 2, 1], np.uint8)[labels]


def test_the_same_mask_agrees_and_has_the_same_volumes():
    (found,) = compared(scan(blocks(10)), blocks(10))
    assert (found.kind, found.side) == ("crop", "")
    assert (found.dice, found.dice_anterior, found.dice_posterior) == (1, 1, 1)
    assert found.anterior_mm3 == found.shadow_posterior_mm3 == pytest.approx(32 * VOXEL_MM3)


def test_labels_count_apart_from_the_whole():
    (found,) = compared(scan(blocks(10)), swapped(blocks(10)))
    assert (found.dice, found.dice_anterior, found.dice_posterior) == (1, 0, 0)


def test_a_mask_beside_the_other_counts_in_full():
    (found,) = compared(scan(blocks(10)), blocks(12))
    assert found.dice == 0.5
    assert found.shadow_anterior_mm3 == pytest.approx(32 * VOXEL_MM3)


def test_a_side_that_one_of_the_two_lacks_is_none_of_the_other():
    both, left = blocks(6, 30), blocks(6)
    for own, shadow, volumes in ((both, left, (512, 0)), (left, both, (0, 512))):
        found = {each.side: each for each in compared(scan(own, HEAD), shadow)}
        assert found["left"].dice == 1
        assert found["right"].dice == 0
        right = found["right"]
        found_mm3 = (
            right.anterior_mm3 + right.posterior_mm3,
            right.shadow_anterior_mm3 + right.shadow_posterior_mm3,
        )
        assert found_mm3 == pytest.approx(volumes)


def test_a_side_that_was_not_found_is_where_the_template_has_it():
    head = {"sides": {"left": HEAD["sides"]["left"]}}
    found = compared(scan(blocks(6), head), blocks(6, 30))
    assert [(each.side, each.dice) for each in found] == [("left", 1.0), ("right", 0.0)]


@pytest.mark.parametrize(("head", "count"), [(None, 1), (HEAD, 0)])
def test_two_empty_masks_say_nothing_of_agreement(head, count):
    empty = np.zeros(SHAPE, np.uint8)
    found = compared(scan(empty, head), empty)
    assert [each.dice for each in found] == [None] * count
