"""The slices of a case for a printed page: on white, close to the mask, large enough to judge."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from core.anatomy import Convention
from core.cases.case import CaseImages
from core.exports.painter import Rgb, write
from core.exports.sentences import Sentences
from core.exports.strip import (
    Part,
    near_the_mask,
    outlined,
    place_words,
    png,
    size_px,
    slices_through,
)
from core.predictor.heads import halves

# Pixels, at 300 an inch, 186 mm wide.
_WIDTH_PX, _GAP_PX, _LINE_PX, _TITLE_PX, _LETTER_PX = 2200, 20, 44, 32, 34
_OUTLINE_PX = 5.0
_MARGIN_MM = 8.0
_BLACK: Rgb = (0, 0, 0)
_CORONAL, _SAGITTAL = 1, 0


@dataclass(frozen=True)
class _Row:
    """Slices of one direction side by side; a place may be empty."""

    cut: int
    titles: tuple[str, ...]
    indices: tuple[int, ...]


def print_png(
    images: CaseImages, head: dict[str, Any] | None, convention: Convention, words: Sentences
) -> bytes:
    """Draw coronal slices through both sides, and sagittal ones through each.

    Parameters
    ----------
    head
        `core.predictor.heads.Head.as_dict`; None for a crop.
    """
    part = near_the_mask(images, _MARGIN_MM)
    rows = _rows_of_head(part, head, words) if head else _rows_of_crop(part, words)
    sizes = [_size(part, row) for row in rows]
    page = Image.new(
        "RGB", (_WIDTH_PX, sum(size[1] + _LINE_PX + _GAP_PX for size in sizes)), "white"
    )
    top = 0
    for row, size in zip(rows, sizes, strict=True):
        for column, (title, index) in enumerate(zip(row.titles, row.indices, strict=True)):
            left = column * (size[0] + _GAP_PX)
            write(page, title, (left + size[0] / 2, top + 33), "ms", _BLACK, _TITLE_PX)
            picture = outlined(
                part, row.cut, index, size, convention, _OUTLINE_PX, _LETTER_PX
            )  # fmt: skip
            page.paste(picture, (left, top + _LINE_PX))
        top += size[1] + _LINE_PX + _GAP_PX
    return png(page)


def _size(part: Part, row: _Row) -> tuple[int, int]:
    count = len(row.indices)
    return size_px(
        part.values.shape, part.affine, row.cut, (_WIDTH_PX - (count - 1) * _GAP_PX) // count
    )


def _rows_of_head(part: Part, head: dict[str, Any], words: Sentences) -> list[_Row]:
    """Six coronal slices in two rows; four sagittal ones: two of each side that is there."""
    labels, affine = part.labels, part.affine
    coronal = _row(part, _CORONAL, words("coronal"), slices_through(labels, _CORONAL, 6))
    sides = {name: side for name, side in halves(labels, affine, head).items() if side.any()}
    titles: list[str] = []
    indices: list[int] = []
    for name, side in sides.items():
        row = _row(part, _SAGITTAL, words(name), slices_through(side, _SAGITTAL, 4 // len(sides)))
        titles += row.titles
        indices += row.indices
    return _halved(coronal) + ([_Row(_SAGITTAL, tuple(titles), tuple(indices))] if sides else [])


def _rows_of_crop(part: Part, words: Sentences) -> list[_Row]:
    coronal = _row(part, _CORONAL, words("coronal"), slices_through(part.labels, _CORONAL, 8))
    sagittal = _row(part, _SAGITTAL, words("sagittal"), slices_through(part.labels, _SAGITTAL, 4))
    return [*_halved(coronal), sagittal]


def _row(part: Part, cut: int, name: str, indices: list[int]) -> _Row:
    titles = tuple(f"{name}  {place_words(part, cut, index)}" for index in indices)
    return _Row(cut, titles, tuple(indices))


def _halved(row: _Row) -> list[_Row]:
    middle = len(row.indices) // 2
    return [
        _Row(row.cut, row.titles[:middle], row.indices[:middle]),
        _Row(row.cut, row.titles[middle:], row.indices[middle:]),
    ]
