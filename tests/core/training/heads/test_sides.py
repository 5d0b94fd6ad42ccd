"""Which labels of a head are whose, and which sides cannot train."""

import numpy as np
import pytest

from core.errors import InputError
from core.measures.edges import whole
from core.training.heads.sides import sides_in
from tests.heads import MIRROR, head_2mm, head_labels, location

HEAD = head_2mm()


def told_apart(values, where=None, extent=None, affine=HEAD.affine):
    return sides_in(values, affine, where or location(), extent or whole(values.shape))


def test_both_ways_to_write_the_sides_give_the_same():
    by_place, left_out = told_apart(head_labels(HEAD))
    by_value, _ = told_apart(head_labels(HEAD, by_side=True))
    assert left_out == {}
    assert by_place.keys() == by_value.keys() == {"left", "right"}
    for side, labels in by_place.items():
        assert np.array_equal(labels.labels, by_value[side].labels)
        assert np.array_equal(np.unique(labels.labels), [0, 1, 2])
    assert by_place["left"].centre_mm[0] < -20 < 20 < by_place["right"].centre_mm[0]
    assert (by_place["left"].labels > 0).sum() > (by_place["right"].labels > 0).sum()


@pytest.mark.parametrize("by_side", [False, True])
@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_a_side_without_a_label_is_left_out_by_name(side, other, by_side):
    sides, left_out = told_apart(head_labels(HEAD, [side], by_side=by_side))
    assert set(sides) == {side}
    assert left_out == {other: "the side has no label"}


def test_a_side_that_lacks_one_label_is_left_out():
    values = head_labels(HEAD, by_side=True)
    values[values == 4] = 0
    sides, left_out = told_apart(values)
    assert set(sides) == {"left"}
    assert left_out == {"right": "the side has no voxel of posterior (2)"}


def test_a_side_that_the_images_end_cuts_off_is_left_out():
    """Also behind padding: the extent says where the image ends."""
    values = head_labels(HEAD)
    begin = np.argwhere(values)[:, 0].min() + 3
    kept = values.copy()
    kept[:begin] = 0
    extent = ((int(begin), values.shape[0]), (0, values.shape[1]), (0, values.shape[2]))
    sides, left_out = told_apart(kept, extent=extent)
    assert set(sides) == {"right"}
    assert left_out == {"left": "the image ends within the labels (left)"}


def test_the_values_of_left_and_right_are_not_taken_for_anterior_and_posterior():
    """As other programs write them: 1 the whole left one, 2 the right one."""
    values = head_labels(HEAD, by_side=True)
    values = np.select([np.isin(values, (1, 2)), values > 2], [1, 2], 0).astype(np.uint8)
    with pytest.raises(InputError, match="left and right"):
        told_apart(values)


@pytest.mark.parametrize("sides", [["left", "right"], ["right"]])
def test_values_that_contradict_the_affine_are_refused(sides):
    values = head_labels(HEAD, sides, by_side=True)
    with pytest.raises(InputError, match="lie on the other side"):
        told_apart(values, affine=MIRROR @ HEAD.affine)


def test_a_piece_across_the_middle_is_refused():
    values = head_labels(HEAD)
    line = np.argwhere(values).mean(0).astype(int)
    values[np.argwhere(values)[:, 0].min() : line[0] + 8, line[1], line[2]] = 1
    with pytest.raises(InputError, match="across the head's middle"):
        told_apart(values)


def test_without_the_heads_place_only_values_tell_the_sides():
    lost = location()
    lost = type(lost)(lost.detections, lost.brain_ml, None, np.inf)
    with pytest.raises(InputError, match=r"cannot be told apart.*3 and 4"):
        told_apart(head_labels(HEAD), lost)
    sides, _ = told_apart(head_labels(HEAD, by_side=True), lost)
    assert set(sides) == {"left", "right"}


def test_an_empty_label_is_refused():
    with pytest.raises(InputError, match="empty"):
        told_apart(np.zeros(HEAD.shape, np.uint8))
