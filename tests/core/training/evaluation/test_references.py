"""What the values of a reference mean, and which are refused."""

import functools

import numpy as np
import pytest

from core.anatomy import SIDES
from core.errors import InputError
from core.training.evaluation.head_figures import BY_LABEL, WHOLE
from core.training.evaluation.references import Protocol, references_in
from tests.heads import MIRROR, head_2mm
from tests.heads import head_labels as made_labels

HEAD = head_2mm()
LABELLED = Protocol(BY_LABEL)


@functools.cache
def _labels(sides, by_side):
    return made_labels(HEAD, sides, by_side=by_side)


def head_labels(sides=SIDES, *, by_side=False):
    return _labels(tuple(sides), by_side).copy()


def read(values, protocol=LABELLED, affine=HEAD.affine):
    return references_in(values.astype(float), affine, protocol)


def whole_values(left=1, right=2):
    by_side = head_labels(by_side=True)
    return np.select([np.isin(by_side, (1, 2)), by_side > 2], [left, right], 0)


def test_both_ways_to_write_the_sides_give_the_same():
    by_place, by_value = read(head_labels()), read(head_labels(by_side=True))
    for side in SIDES:
        assert by_place[side].box == by_value[side].box
        assert np.array_equal(by_place[side].labels, by_value[side].labels)
        assert set(np.unique(by_place[side].labels)) == {0, 1, 2}
    assert by_place["left"].labels.astype(bool).sum() > by_place["right"].labels.astype(bool).sum()


def test_one_side_alone_needs_values_that_name_it():
    assert read(head_labels(["right"], by_side=True)).keys() == {"right"}
    with pytest.raises(InputError, match="cannot be told apart"):
        read(head_labels(["right"]))


def test_in_our_own_side_files_1_and_2_are_the_left_s():
    found = read(head_labels(["left"], by_side=True), Protocol(BY_LABEL, sided=True))
    assert found.keys() == {"left"}


@pytest.mark.parametrize(("left", "right"), [(1, 2), (48, 47)])
def test_whole_hippocampi_have_a_value_for_each_side(left, right):
    values = whole_values(left, right)
    values[0, 0, 0] = 99  # another structure
    found = read(values, Protocol(WHOLE, left, right))
    for side in SIDES:
        assert found[side].box == read(head_labels())[side].box
        assert set(np.unique(found[side].labels)) <= {0, 1}


def test_a_protocol_that_the_values_do_not_have_is_refused():
    with pytest.raises(InputError, match="those of left and right"):
        read(whole_values())
    with pytest.raises(InputError, match="on both sides"):
        read(head_labels(), Protocol(WHOLE))
    with pytest.raises(InputError, match="known are"):
        read(whole_values(48, 47))
    with pytest.raises(InputError, match="no label"):
        read(whole_values(), Protocol(WHOLE, 17, 53))


@pytest.mark.parametrize("protocol", [LABELLED, Protocol(WHOLE)])
def test_values_that_contradict_the_affine_are_refused(protocol):
    values = head_labels(by_side=True) if protocol is LABELLED else whole_values()
    with pytest.raises(InputError, match="lie on the right"):
        read(values, protocol, MIRROR @ HEAD.affine)


def test_an_empty_reference_is_refused():
    with pytest.raises(InputError, match="empty"):
        read(np.zeros(HEAD.shape))
