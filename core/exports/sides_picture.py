"""Left and right hippocampus beside each other, the right one mirrored, in corresponding slices.

The slices are sampled along the head's own axes, so that a tilted head stands upright, or across
the long axis of the hippocampus. Both sides are cut by the same planes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from core.anatomy import LETTER_RGB, SIDES, Convention
from core.cases.case import CaseImages
from core.cases.displays import Plane, axes_of
from core.exports.painter import Rgb, outline, paint, write, write_letters
from core.exports.sentences import Sentences
from core.exports.slices import ENDS
from core.exports.strip import png
from core.predictor.heads import halves

_COLUMNS = 6
_STEP_MM = 0.4
_AROUND_MM = 7.0
# Pixels: of the whole, between pictures, of a line, of words and of letters.
_WIDTH_PX, _GAP_PX, _LINE_PX, _WORDS_PX, _LETTER_PX = 2200, 16, 46, 25, 34
_OUTLINE_PX = 4.5
# Of the titles: a side has a colour that the other has not.
_SIDE_RGB: dict[str, Rgb] = {"left": (0, 90, 0), "right": (140, 0, 60)}


@dataclass(frozen=True, eq=False)
class Pane:
    """One slice of one side.

    Attributes
    ----------
    side : str
        The patient's.
    grey, labels : ndarray, shape (B, A)
        Rows from below upwards, columns from left to right; the labels of this side alone.
    letters : str
        What lies towards the left, right, lower and upper edge.
    is_mirrored : bool
        Whether left and right are the other way round than the convention has them.
    behind_mm : float
        Distance of the slice from the plane at the front end of both hippocampi.
    centre_mm : ndarray, shape (3,)
        Of the pane, RAS+.
    """

    side: str
    grey: NDArray[np.float32]
    labels: NDArray[np.uint8]
    letters: str
    is_mirrored: bool
    behind_mm: float
    centre_mm: NDArray[np.float64]


def panes(
    images: CaseImages, head: dict[str, Any], plane: Plane, convention: Convention
) -> dict[str, list[Pane]]:
    """By side, its slices from the front to the back; a side without a voxel has none.

    Parameters
    ----------
    head
        `core.predictor.heads.Head.as_dict`.
    plane
        Coronal, or across the long axis, which is that of both sides together.
    """
    parts = {
        name: part
        for name, part in halves(images.labels, images.affine, head).items()
        if part.any()
    }
    points = {name: apply_affine(images.affine, np.argwhere(part)) for name, part in parts.items()}
    if not points:
        return {}
    right, front, up = axes_of(head, points, plane)
    along = {name: mm @ front for name, mm in points.items()}
    first = max(float(of.max()) for of in along.values())
    last = min(float(of.min()) for of in along.values())
    behind = (np.arange(_COLUMNS) + 0.5) / _COLUMNS * (first - last)
    # One size for all, and one height: what is larger looks larger.
    width = max(float(np.ptp(mm @ right)) for mm in points.values()) + 2 * _AROUND_MM
    heights = np.concatenate([mm @ up for mm in points.values()])
    height, middle = float(np.ptp(heights)) + 2 * _AROUND_MM, float(np.ptp(heights)) / 2
    middle += float(heights.min())
    by_side = {}
    for name, mm in points.items():
        across = mm @ right
        is_mirrored = name == "right"
        # On the picture, from left to right: the patient's right lies left in radiology.
        to_right = (convention == "neurological") != is_mirrored
        step = right if to_right else -right
        grid = _Grid(step * _STEP_MM, up * _STEP_MM, (width, height))
        centre = right * (across.max() + across.min()) / 2 + up * middle
        letters = "".join(_letter(way) for way in (-step, step, -up, up))
        by_side[name] = [
            _pane(images, parts[name], grid, centre + front * (first - mm_behind), name, letters,
                  is_mirrored, float(mm_behind))
            for mm_behind in behind
        ]  # fmt: skip
    return by_side


def _letter(way: NDArray[np.float64]) -> str:
    """The letter of the patient's direction (RAS+) that is closest to a vector."""
    axis = int(np.abs(way).argmax())
    return ENDS[axis][int(way[axis] > 0)]


@dataclass(frozen=True, eq=False)
class _Grid:
    """Steps of a pane's columns and rows in mm, RAS+, and its width and height in mm."""

    across: NDArray[np.float64]
    up: NDArray[np.float64]
    size_mm: tuple[float, float]

    def points(self, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """The place of each pixel in mm, shape (B, A, 3)."""
        columns, rows = (
            np.arange(count) - (count - 1) / 2
            for count in (max(2, round(mm / _STEP_MM)) for mm in self.size_mm)
        )
        return np.asarray(
            centre + columns[None, :, None] * self.across + rows[:, None, None] * self.up
        )


def _pane(
    images: CaseImages,
    labels: NDArray[np.uint8],
    grid: _Grid,
    centre: NDArray[np.float64],
    side: str,
    letters: str,
    is_mirrored: bool,
    behind_mm: float,
) -> Pane:
    voxels = apply_affine(np.linalg.inv(images.affine), grid.points(centre))
    places = np.moveaxis(voxels, -1, 0)
    low = np.clip(np.floor(places.min(axis=(1, 2))).astype(int) - 1, 0, np.array(images.shape) - 1)
    high = np.clip(np.ceil(places.max(axis=(1, 2))).astype(int) + 2, low + 1, images.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    places = places - low[:, None, None]
    scan = images.voxels.read_float32((box[0], box[1], box[2]))
    grey = ndimage.map_coordinates(scan, places, order=1, cval=float(scan.min()))
    marked = ndimage.map_coordinates(labels[box], places, order=0, cval=0)
    return Pane(side, grey, marked, letters, is_mirrored, behind_mm, centre)


def sides_png(
    images: CaseImages,
    head: dict[str, Any],
    plane: Plane,
    convention: Convention,
    words: Sentences,
) -> bytes | None:
    """Draw a row of slices of each side, the right one mirrored; None where the mask is empty."""
    rows = panes(images, head, plane, convention)
    if not rows:
        return None
    rows = {side: rows[side] for side in SIDES if side in rows}
    some = np.concatenate([pane.grey.ravel() for row in rows.values() for pane in row])
    window = (float(np.percentile(some, 2)), float(np.percentile(some, 98)))
    shape = next(iter(rows.values()))[0].grey.shape
    width = (_WIDTH_PX - (_COLUMNS - 1) * _GAP_PX) // _COLUMNS
    size = (width, max(1, round(width * shape[0] / shape[1])))
    page = Image.new("RGB", (_WIDTH_PX, len(rows) * (size[1] + _LINE_PX + _GAP_PX)), "white")
    for number, (side, row) in enumerate(rows.items()):
        top = number * (size[1] + _LINE_PX + _GAP_PX)
        for column, pane in enumerate(row):
            left = column * (width + _GAP_PX)
            title = words(f"pane_{side}", mm=f"{pane.behind_mm:.0f}")
            write(page, title, (left + width / 2, top + _LINE_PX - 12), "ms", _SIDE_RGB[side],
                  _WORDS_PX, bold=True)  # fmt: skip
            picture = paint(pane.grey, pane.labels, size, window)
            outline(picture, pane.labels, _OUTLINE_PX)
            write_letters(picture, pane.letters, LETTER_RGB, _LETTER_PX, bold=True)
            page.paste(picture, (left, top + _LINE_PX))
    return png(page)
