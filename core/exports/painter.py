"""Paints slices with their labels, filled or outlined: on a strip, on pages, for browsers."""

import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.anatomy import LABEL_RGB, LABELS

Rgb = tuple[int, int, int]
_INSET_PX = 4
# Lines are drawn so many times larger and reduced, else they have steps.
_FINER = 3


def paint(
    grey: NDArray[np.float32],
    labels: NDArray[np.uint8],
    size_px: tuple[int, int],
    window: tuple[float, float],
    *,
    opacity: float = 0.0,
    smooth: bool = False,
) -> Image.Image:
    """Paint a slice.

    Parameters
    ----------
    grey, labels : ndarray, shape (B, A)
        As `core.exports.slices.as_drawn` gives them: rows from below upwards.
    size_px
        Width and height of the picture.
    window
        Values that are drawn black and white.
    opacity
        Of the filled labels, from 0 to 1.
    smooth
        Interpolate between voxels.
    """
    low, high = window
    shade = 255 * np.clip((grey - low) / max(high - low, 1e-6), 0, 1)
    picture = np.repeat(shade[..., None], 3, axis=-1)
    for name, value in LABELS.items():
        inside = labels == value
        picture[inside] = (1 - opacity) * picture[inside] + opacity * np.array(LABEL_RGB[name])
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return Image.fromarray(picture.round().astype(np.uint8)[::-1]).resize(size_px, how)


def outline(picture: Image.Image, labels: NDArray[np.uint8], width_px: float) -> None:
    """Draw the border of each label on its slice's picture."""
    from skimage.measure import find_contours

    rows, columns = labels.shape
    finer = np.array((picture.width, picture.height)) * _FINER
    for name, value in LABELS.items():
        inside = np.pad(labels == value, 1).astype(np.float32)
        line = Image.new("L", tuple(finer.tolist()))
        pen = ImageDraw.Draw(line)
        for contour in find_contours(inside, 0.5):
            # A voxel's centre lies half a voxel from its border; one was added around.
            up, across = (contour[:, 0] - 0.5) / rows, (contour[:, 1] - 0.5) / columns
            points = np.stack((across, 1 - up), axis=1) * finer
            pen.line(points.ravel().tolist(), 255, round(width_px * _FINER), "curve")
        picture.paste(LABEL_RGB[name], mask=line.reduce(_FINER))


def write_letters(
    picture: Image.Image, letters: str, colour: Rgb, size_px: int, *, bold: bool = False
) -> None:
    """Write letters at the left, right, lower and upper edge."""
    w, h = picture.size
    places = (
        ((_INSET_PX, h / 2), "lm"), ((w - _INSET_PX, h / 2), "rm"),
        ((w / 2, h - _INSET_PX), "mb"), ((w / 2, _INSET_PX), "mt"),
    )  # fmt: skip
    for letter, (place, anchor) in zip(letters, places, strict=True):
        write(picture, letter, place, anchor, colour, size_px, bold=bold, rim_px=2 * bold)


def write(
    picture: Image.Image,
    words: str,
    place: tuple[float, float],
    anchor: str,
    colour: Rgb,
    size_px: int,
    *,
    bold: bool = False,
    rim_px: int = 0,
) -> None:
    """Write words; ``anchor`` is Pillow's, ``rim_px`` the width of a black rim."""
    pen = ImageDraw.Draw(picture)
    pen.text(place, words, colour, _font(size_px, bold), anchor, stroke_width=rim_px,
             stroke_fill=(0, 0, 0))  # fmt: skip


@functools.cache
def _font(size_px: int, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(bold=bold), size_px)


def font_file(*, bold: bool = False) -> Path:
    """DejaVu Sans, which matplotlib brings; importing matplotlib itself takes a second."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("matplotlib is missing: install requirements-serve.txt")
    fonts = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return fonts / f"DejaVuSans{'-Bold' * bold}.ttf"
