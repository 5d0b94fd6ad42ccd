"""How a slice lies on a picture."""

import numpy as np
import pytest

from core.exports.slices import as_drawn, letters_of, size_mm

SHAPE = (3, 4, 5)


@pytest.mark.parametrize(
    ("axis", "convention", "letters"),
    [
        (0, "radiological", "PAIS"), (0, "neurological", "PAIS"),
        (1, "radiological", "RLIS"), (1, "neurological", "LRIS"),
        (2, "radiological", "RLPA"), (2, "neurological", "LRPA"),
    ],
)  # fmt: skip
def test_letters_stand_where_the_voxels_of_that_end_lie(axis, convention, letters):
    assert letters_of(axis, convention) == letters
    indices = np.moveaxis(np.indices(SHAPE), 0, -1)  # each voxel holds its R, A and S
    r, a, s = (
        as_drawn(np.take(indices[..., part], 1, axis), axis, convention) for part in range(3)
    )
    ends = {"L": r == 0, "R": r == 2, "P": a == 0, "A": a == 3, "I": s == 0, "S": s == 4}
    left, right, lower, upper = (ends[letter] for letter in letters)
    assert left[:, 0].all()
    assert right[:, -1].all()
    assert lower[0].all()
    assert upper[-1].all()


def test_the_size_is_that_of_the_axes_that_are_left():
    spacing = np.array([2.0, 1.0, 0.5])
    assert [size_mm(SHAPE, spacing, axis) for axis in range(3)] == [(4, 2.5), (6, 2.5), (6, 4)]
