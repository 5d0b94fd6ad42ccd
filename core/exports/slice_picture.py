"""One slice with its labels as a picture, for browsers that cannot draw it themselves."""

import io

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.anatomy import LABEL_RGB, LABELS, Convention
from core.cases.case import CaseImages
from core.exports.slices import as_drawn, letters_of, size_mm

_LONGER_EDGE_PX = 600
_LETTER_PX = 20
_INSET_PX = 4


def slice_png(
    images: CaseImages,
    axis: int,
    index: int,
    *,
    convention: Convention,
    window: tuple[float, float],
    opacity: float,
    letter_rgb: tuple[int, int, int],
) -> bytes:
    """Draw a slice as the viewer does: nearest voxel, true proportions, letters on four sides.

    Parameters
    ----------
    axis
        The axis (R, A, S) that is cut.
    index
        Voxel along it, RAS+.
    window
        Values that are drawn black and white.
    opacity
        Of the labels, from 0 to 1.
    """
    place = tuple(slice(index, index + 1) if a == axis else slice(None) for a in range(3))
    box = (place[0], place[1], place[2])
    grey = as_drawn(images.voxels.read_float32(box).squeeze(axis), axis, convention)
    labels = as_drawn(images.labels[box].squeeze(axis), axis, convention)
    picture = _blended(grey, labels, window, opacity)[::-1]
    edges_mm = np.array(size_mm(images.shape, voxel_sizes(images.affine), axis))
    width, height = (edges_mm * _LONGER_EDGE_PX / edges_mm.max()).round().astype(int)
    drawn = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
    _write(drawn, letters_of(axis, convention), letter_rgb)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def _blended(
    grey: NDArray[np.float32],
    labels: NDArray[np.uint8],
    window: tuple[float, float],
    opacity: float,
) -> NDArray[np.uint8]:
    low, high = window
    shade = 255 * np.clip((grey - low) / (high - low), 0, 1)
    picture = np.repeat(shade[..., None], 3, axis=-1)
    for name, value in LABELS.items():
        inside = labels == value
        picture[inside] = (1 - opacity) * picture[inside] + opacity * np.array(LABEL_RGB[name])
    return picture.round().astype(np.uint8)


def _write(drawn: Image.Image, letters: str, colour: tuple[int, int, int]) -> None:
    """Letters at the left, right, lower and upper edge."""
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(_LETTER_PX)
    w, h = drawn.size
    places = (
        ((_INSET_PX, h / 2), "lm"), ((w - _INSET_PX, h / 2), "rm"),
        ((w / 2, h - _INSET_PX), "mb"), ((w / 2, _INSET_PX), "mt"),
    )  # fmt: skip
    for letter, (place, anchor) in zip(letters, places, strict=True):
        pen.text(place, letter, colour, font, anchor)
