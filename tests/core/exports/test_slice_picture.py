import io

import numpy as np
import pytest
from PIL import Image

from core.anatomy import LABEL_RGB
from core.cases.case import CaseImages
from core.exports.slice_picture import slice_png
from core.image.voxels import Voxels

SHAPE = (10, 20, 15)
LETTERS = (219, 26, 158)


def images() -> CaseImages:
    """Bright in the left-anterior-superior corner; anterior label right-posterior-inferior."""
    values = np.zeros(SHAPE, np.float32)
    values[:4, -8:, -6:] = 100
    labels = np.zeros(SHAPE, np.uint8)
    labels[-4:, :8, :6] = 1
    return CaseImages(Voxels(values), labels, np.diag([2.0, 1, 1, 1]))


def drawn(axis: int, index: int, convention="radiological", opacity=0.5) -> np.ndarray:
    png = slice_png(
        images(), axis, index, convention=convention, window=(0, 100), opacity=opacity,
        letter_rgb=LETTERS,
    )  # fmt: skip
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def corner(picture: np.ndarray, x: float, y: float) -> list[int]:
    h, w = picture.shape[:2]
    return picture[int(y * h), int(x * w)].tolist()


@pytest.mark.parametrize(("convention", "left"), [("radiological", 0.85), ("neurological", 0.15)])
def test_left_is_where_the_convention_says(convention, left):
    for axis, index in ((1, SHAPE[1] - 1), (2, SHAPE[2] - 1)):  # coronal, axial
        picture = drawn(axis, index, convention)
        assert corner(picture, left, 0.15) == [255] * 3
        assert corner(picture, 1 - left, 0.15) == [0] * 3
    sagittal = drawn(0, 0, convention)  # anterior is right, superior is up
    assert corner(sagittal, 0.85, 0.15) == [255] * 3


def test_labels_have_their_colour_as_strong_as_asked():
    colour = np.array(LABEL_RGB["anterior"])
    assert corner(drawn(1, 0), 0.15, 0.85) == (0.5 * colour).round().astype(int).tolist()
    assert corner(drawn(1, 0, opacity=1), 0.15, 0.85) == colour.tolist()
    assert corner(drawn(1, 0, opacity=0), 0.15, 0.85) == [0] * 3


def test_proportions_are_those_in_mm():
    assert drawn(1, 5).shape[:2] == (450, 600)  # 15 mm high, 10 voxels of 2 mm wide
    assert drawn(0, 5).shape[:2] == (450, 600)
    assert drawn(2, 5).shape[:2] == (600, 600)


def test_letters_stand_on_all_four_sides():
    letters = (drawn(1, 5) == LETTERS).all(axis=-1)
    for edge in (letters[:, :30], letters[:, -30:], letters[:30], letters[-30:]):
        assert edge.sum() > 5
