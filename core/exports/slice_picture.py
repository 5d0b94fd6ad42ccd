"""One slice with its labels as a picture, for browsers that cannot draw it themselves."""

import io

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.anatomy import LABEL_RGB, LABELS, Convention
from core.cases.case import CaseImages

_LONGER_EDGE_PX = 600
_LETTER_PX = 20
_INSET_PX = 4
# For each axis (R, A, S) that is cut: the axes drawn across and up.
_DRAWN = ((1, 2), (0, 2), (0, 1))
_ENDS = ("LR", "PA", "IS")


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
    across, up = _DRAWN[axis]
    place = tuple(slice(index, index + 1) if a == axis else slice(None) for a in range(3))
    box = (place[0], place[1], place[2])
    grey = images.voxels.read_float32(box).squeeze(axis).T  # rows: up, columns: across
    labels = images.labels[box].squeeze(axis).T
    picture = _blended(grey, labels, window, opacity)[::-1]
    letters = [*_ENDS[across], *_ENDS[up]]
    if across == 0 and convention == "radiological":
        picture = picture[:, ::-1]
        letters[:2] = letters[1::-1]
    spacing = voxel_sizes(images.affine)
    size_mm = np.array([picture.shape[1] * spacing[across], picture.shape[0] * spacing[up]])
    width, height = (size_mm * _LONGER_EDGE_PX / size_mm.max()).round().astype(int)
    drawn = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
    _write(drawn, letters, letter_rgb)
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


def _write(drawn: Image.Image, letters: list[str], colour: tuple[int, int, int]) -> None:
    """Letters at the left, right, lower and upper edge."""
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(_LETTER_PX)
    w, h = drawn.size
    places = (
        ((_INSET_PX, h / 2), "lm"), ((w - _INSET_PX, h / 2), "rm"),
        ((w / 2, h - _INSET_PX), "mb"), ((w / 2, _INSET_PX), "mt"),
    )  # fmt: skip
    for letter, (place, anchor) in zip(letters, places, strict=True):
        pen.text(place, letter, colour, font, anchor)
