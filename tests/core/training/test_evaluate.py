import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from core.training.evaluate import compare, hd95_mm

masks = hnp.arrays(np.bool_, (5, 6, 4))
SPACING = (1.0, 2.0, 0.5)


def surface(mask):
    """Voxels with one of 26 neighbours outside, by counting."""
    padded = np.pad(mask, 1)
    return [
        index
        for index in np.argwhere(mask)
        if not padded[tuple(slice(i, i + 3) for i in index)].all()
    ]


@settings(max_examples=60, deadline=None)
@given(a=masks, b=masks)
def test_hd95_is_that_of_the_definition(a, b):
    if not a.any() or not b.any():
        assert hd95_mm(a, b, SPACING) is None
        return
    points = [np.array(surface(mask)) * SPACING for mask in (a, b)]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    distances = np.concatenate([apart.min(axis=1), apart.min(axis=0)])
    assert hd95_mm(a, b, SPACING) == pytest.approx(np.percentile(distances, 95))


@given(a=masks, b=masks)
def test_dice_is_symmetric_and_one_for_the_same(a, b):
    there, back = compare(a, b, SPACING)["dice"], compare(b, a, SPACING)["dice"]
    assert there == pytest.approx(back)
    assert 0 <= there <= 1
    assert compare(a, a, SPACING)["dice"] == 1


def test_volume_error_has_the_sign_of_the_mistake():
    truth = np.zeros((6, 6, 6), bool)
    truth[1:5, 1:5, 1:5] = True
    small = np.zeros_like(truth)
    small[1:5, 1:5, 1:3] = True
    assert compare(small, truth, (1, 1, 1))["volume_error_percent"] == -50
    assert compare(truth, small, (1, 1, 1))["volume_error_percent"] == 100
