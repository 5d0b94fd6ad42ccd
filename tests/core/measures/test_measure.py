import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.measures.measure import MASK_CODES, assess, measure


def box(shape=(35, 50, 35), anterior=(10, 10, 10), posterior=(10, 20, 10)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    x, y, z = anterior
    labels[5 : 5 + x, 30 : 30 + y, 5 : 5 + z] = 1
    x, y, z = posterior
    labels[5 : 5 + x, 30 - y : 30, 5 : 5 + z] = 2
    return labels


def test_volumes_are_voxels_times_their_size():
    m = measure(box(), np.diag([1.0, 0.5, 2, 1]))
    assert m.anterior.voxels == 1000
    assert m.anterior.volume_mm3 == pytest.approx(1000)
    assert m.posterior.volume_mm3 == pytest.approx(2000)
    assert m.total.volume_mm3 == pytest.approx(3000)
    assert m.total.volume_ml == pytest.approx(3)
    assert m.anterior_share_percent == pytest.approx(100 / 3)
    assert m.anterior.bounding_box_mm == pytest.approx((10, 5, 20))
    assert m.side == "side unknown on a crop"


def test_the_length_is_along_the_longest_axis():
    labels = np.zeros((35, 50, 35), np.uint8)
    labels[17, 5:45, 17] = 2
    assert measure(labels, np.eye(4)).total.length_mm == pytest.approx(40)
    labels = np.zeros((35, 50, 35), np.uint8)
    for i in range(20):
        labels[5 + i, 5 + i, 17] = 2
    length = measure(labels, np.eye(4)).total.length_mm
    assert length == pytest.approx(20 * np.sqrt(2))  # corner to corner


@given(
    st.tuples(*[st.floats(0.3, 5)] * 3), st.tuples(*[st.integers(1, 20)] * 3),
    st.tuples(*[st.floats(-180, 180)] * 3),
)  # fmt: skip
def test_a_box_has_its_true_length_whatever_its_voxels(spacing, counts, angles):
    edges = np.sort(np.array(spacing) * counts)
    if edges[2] < 1.05 * edges[1]:
        return  # which edge is the longest is a matter of rounding
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    labels = np.zeros((22, 22, 22), np.uint8)
    labels[1 : 1 + counts[0], 1 : 1 + counts[1], 1 : 1 + counts[2]] = 1
    assert measure(labels, affine).total.length_mm == pytest.approx(edges[2], rel=1e-6)


def codes(labels) -> list[str]:
    found = [f.code for f in assess(labels, measure(labels, np.eye(4)))]
    assert MASK_CODES.issuperset(found)
    return found


def test_an_ordinary_mask_gives_no_warning():
    assert codes(box()) == []


def test_an_empty_mask_is_said_and_measured_as_nothing():
    empty = np.zeros((35, 50, 35), np.uint8)
    assert codes(empty) == ["mask_empty"]
    m = measure(empty, np.eye(4))
    assert m.total.volume_mm3 == 0
    assert m.anterior_share_percent is None
    assert m.total.length_mm is None


def test_each_fault_of_a_mask_is_named():
    missing = np.where(box() == 1, 2, box())
    assert codes(missing) == ["anterior_missing"]
    fragments = box()
    fragments[25:30, 35:40, 25:30] = 1
    assert codes(fragments) == ["anterior_fragmented"]
    assert codes(box(anterior=(5, 10, 5), posterior=(5, 20, 5))) == ["volume_small"]
    assert codes(box(posterior=(25, 25, 25))) == ["volume_large"]
    assert codes(box(anterior=(14, 9, 14), posterior=(14, 9, 14))) == ["length_short"]
    assert codes(box((35, 95, 35), (10, 48, 7), (10, 16, 7))) == ["length_long"]
    touching = box()
    touching[0:6, 30:40, 5:15] = 1
    assert codes(touching) == ["touches_border"]


def test_a_stray_voxel_is_no_fragment():
    labels = box()
    labels[30, 45, 30] = 2
    assert codes(labels) == []


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ((1, 1, 1), ""), ((2, 2, 2), ""), ((0.9, 0.9, 2.2), ""), ((1, 3, 1), ""), ((5, 1, 1), ""),
        ((0.91, 0.91, 2.999995), "voxels of 3.0 mm from below to above"),
        ((1, 4, 1), "voxels of 4.0 mm from behind to front"),
        ((6, 1, 1), "voxels of 6.0 mm from left to right"),
        ((0.9, 0.9, 2.5), "voxels of 2.5 mm from below to above"),
        ((2.2, 2.2, 2.2), "voxels of 2.2 x 2.2 x 2.2 mm"),
    ],
)  # fmt: skip
def test_voxels_that_make_volumes_too_small_are_said(spacing, words):
    labels = np.zeros((30, 40, 30), np.uint8)
    labels[10:18, 10:30, 10:18] = 1
    affine = np.diag([*spacing, 1.0])
    found = measure(labels, affine)
    assert found.too_small.get("total", {}) == ({"coarse": words} if words else {})
    messages = [f.message for f in assess(labels, found) if f.code == "coarse"]
    assert [m.startswith("Voxels of") and "too small" in m for m in messages] == [True] * bool(
        words
    )
