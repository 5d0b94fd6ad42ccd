"""The slice strip: slices through the hippocampus with the mask's outline, as one picture."""

import io
from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from PIL import Image, ImageDraw, PngImagePlugin

from core.anatomy import CONVENTION_WORDS, LABEL_RGB, LABELS, LETTER_RGB, NOTICE, Convention
from core.cases.case import Case, CaseImages, confidence_of
from core.exports.painter import Rgb, outline, paint, write, write_letters
from core.exports.slices import ENDS, as_drawn, letters_of, size_mm
from core.image.volume import box_around, cut_affine
from core.limits import MAX_CROP_MM
from core.measures.measure import why_too_small
from core.wording import minus

_COLUMNS = 6
_MARGIN_MM = 20.0
# Pixels, at 150 an inch: of the whole, around it, between pictures, for words.
_WIDTH_PX, _EDGE_PX, _GAP_PX, _LINE_PX = 1800, 36, 16, 30
_SLICE_PX = (_WIDTH_PX - 2 * _EDGE_PX - (_COLUMNS - 1) * _GAP_PX) // _COLUMNS
_OUTLINE_PX = 2.9
_CAPTION_PX, _TITLE_PX, _LETTER_PX, _NAME_PX = 19, 17, 17, 25
_WHITE: Rgb = (255, 255, 255)
_NOTE: Rgb = (255, 224, 138)
# Name, and axis that is cut, from above downwards.
_VIEWS = (("Coronal", 1), ("Sagittal", 0), ("Axial", 2))
_LABELS_PX = 690
NOTHING_FOUND = "No hippocampus was found: the slices are spread through the whole scan"


@dataclass(frozen=True, eq=False)
class Part:
    """The part of a scan that is drawn.

    Attributes
    ----------
    values, labels : ndarray, shape (X, Y, Z)
        RAS+.
    affine : ndarray, shape (4, 4)
        Indices to mm.
    window : (float, float)
        Values that are drawn black and white.
    is_crop : bool
        Whether it is of a crop, whose side is not known.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    window: tuple[float, float]
    is_crop: bool = False


def strip_png(case: Case, images: CaseImages, convention: Convention) -> bytes:
    """Draw six slices in each of the three directions, evenly spaced through the mask.

    Where the mask is empty they run through the whole volume.
    """
    part = near_the_mask(images, _MARGIN_MM)
    sizes = [size_px(part.values.shape, part.affine, cut, _SLICE_PX) for _, cut in _VIEWS]
    remark = _remark(case) if images.labels.any() else NOTHING_FOUND
    below_px = (1 + bool(remark)) * _LINE_PX + _GAP_PX
    height = 2 * _LINE_PX + sum(size[1] + _LINE_PX + _GAP_PX for size in sizes) + below_px
    page = Image.new("RGB", (_WIDTH_PX, height))
    top = 2 * _LINE_PX
    for view, size in zip(_VIEWS, sizes, strict=True):
        _draw_row(page, top, view, size, part, convention)
        top += size[1] + _LINE_PX + _GAP_PX
    _write_captions(page, case, convention, remark)
    return png(page)


def rows_png(images: CaseImages, convention: Convention) -> bytes:
    """Draw the coronal and the sagittal slices of `strip_png` alone, with the notice below."""
    part = near_the_mask(images, _MARGIN_MM)
    views = _VIEWS[:2]
    sizes = [size_px(part.values.shape, part.affine, cut, _SLICE_PX) for _, cut in views]
    page = Image.new("RGB", (_WIDTH_PX, sum(size[1] + 2 * _LINE_PX for size in sizes) + _LINE_PX))
    top = _LINE_PX
    for view, size in zip(views, sizes, strict=True):
        _draw_row(page, top, view, size, part, convention)
        top += size[1] + 2 * _LINE_PX
    end = (_WIDTH_PX - _EDGE_PX, page.height - 18)
    write(page, f"{CONVENTION_WORDS[convention]}. {NOTICE}", end, "rs", _WHITE, _CAPTION_PX)
    return png(page)


def labels_png(images: CaseImages) -> bytes:
    """Both labels outlined and named on the sagittal slice that shows most of them."""
    index = int((images.labels > 0).sum(axis=(1, 2)).argmax())
    values = images.values
    size = size_px(images.shape, images.affine, 0, _LABELS_PX)
    labels = as_drawn(images.labels[index], 0, "radiological")
    grey = as_drawn(values[index], 0, "radiological")
    low, high = np.percentile(values, (2, 98))
    picture = paint(grey, labels, size, (float(low), float(high)), smooth=True)
    outline(picture, labels, _OUTLINE_PX)
    for name, value in LABELS.items():
        up, across = (np.argwhere(labels == value).mean(axis=0) + 0.5) / labels.shape
        place = (across * size[0], (1 - up) * size[1])
        write(picture, name, place, "mm", LABEL_RGB[name], _NAME_PX, bold=True, rim_px=3)
    write_letters(picture, letters_of(0, "radiological"), LETTER_RGB, _LETTER_PX, bold=True)
    return png(picture)


def _draw_row(
    page: Image.Image,
    top: int,
    view: tuple[str, int],
    size: tuple[int, int],
    part: Part,
    convention: Convention,
) -> None:
    """Draw the slices of one direction side by side, each with its place in mm above it."""
    name, cut = view
    for column, index in enumerate(slices_through(part.labels, cut, _COLUMNS)):
        left = _EDGE_PX + column * (_SLICE_PX + _GAP_PX)
        title = f"{name}  {place_words(part, cut, index)}"
        write(page, title, (left + _SLICE_PX / 2, top), "ms", _WHITE, _TITLE_PX)
        picture = outlined(part, cut, index, size, convention, _OUTLINE_PX, _LETTER_PX)
        page.paste(picture, (left, top + _LINE_PX // 4))


def place_words(part: Part, cut: int, index: int) -> str:
    """Where a slice of a part lies, such as ``P 8 mm``; of a crop, left and right of the file's
    zero have no side."""
    middle = [(n - 1) / 2 for n in part.values.shape]
    middle[cut] = index
    position_mm = (part.affine[:3, :3] @ middle + part.affine[:3, 3])[cut]
    if cut == 0 and part.is_crop:
        return minus(f"x {position_mm:z.0f} mm")
    return f"{ENDS[cut][int(position_mm >= 0)]} {abs(position_mm):.0f} mm"


def outlined(
    part: Part,
    cut: int,
    index: int,
    size: tuple[int, int],
    convention: Convention,
    outline_px: float,
    letter_px: int,
) -> Image.Image:
    """One slice of a part with the outlines of its labels, and letters on four sides."""
    drawn_labels = as_drawn(np.take(part.labels, index, cut), cut, convention)
    grey = as_drawn(np.take(part.values, index, cut), cut, convention)
    picture = paint(grey, drawn_labels, size, part.window)
    outline(picture, drawn_labels, outline_px)
    write_letters(picture, letters_of(cut, convention), LETTER_RGB, letter_px, bold=True)
    return picture


def png(picture: Image.Image) -> bytes:
    """A picture as a file that says what it is not for."""
    out = io.BytesIO()
    about = PngImagePlugin.PngInfo()
    about.add_text("Software", "HippoView")
    about.add_text("Comment", NOTICE)
    picture.save(out, "PNG", pnginfo=about, compress_level=3)  # half of the time, as small
    return out.getvalue()


def size_px(
    shape: tuple[int, ...], affine: NDArray[np.float64], cut: int, width_px: int
) -> tuple[int, int]:
    """Width and height of a slice's picture, in true proportions."""
    width_mm, height_mm = size_mm(shape, voxel_sizes(affine), cut)
    return width_px, max(1, round(width_px * height_mm / width_mm))


def near_the_mask(images: CaseImages, margin_mm: float) -> Part:
    """The part of a head around both hippocampi; all of a crop."""
    labels, affine, box = images.labels, images.affine, None
    spacing = voxel_sizes(affine)
    is_crop = max(np.array(images.shape) * spacing) <= MAX_CROP_MM
    if not is_crop:
        box = box_around(labels, int(margin_mm / min(spacing)))
    if box is None:
        values = images.values
    else:
        values, labels = images.voxels.read_float32(box), labels[box]
        affine = cut_affine(affine, box)
    low, high = np.percentile(values, (2, 98))
    return Part(values, labels, affine, (float(low), float(high)), is_crop)


def slices_through(labels: NDArray[np.uint8], axis: int, count: int) -> list[int]:
    """So many slices, evenly spaced through the mask; coronal ones from the front to the back."""
    others = tuple(a for a in range(3) if a != axis)
    inside = np.flatnonzero((labels > 0).any(axis=others))
    first, last = (inside[0], inside[-1]) if inside.size else (0, labels.shape[axis] - 1)
    # Not the outermost slices: they show a few voxels at most.
    shares = (np.arange(count) + 0.5) / count
    chosen = [int(i) for i in np.round(first + shares * (last - first))]
    return chosen[::-1] if axis == 1 else chosen


def _write_captions(page: Image.Image, case: Case, convention: Convention, remark: str) -> None:
    left, right, x = _EDGE_PX, _WIDTH_PX - _EDGE_PX, _EDGE_PX
    for name in LABELS:
        ImageDraw.Draw(page).rectangle((x, 14, x + 13, 27), LABEL_RGB[name])
        write(page, name, (x + 22, 28), "ls", LABEL_RGB[name], _CAPTION_PX)
        x += 150
    model = case.report["model"]
    about = f"{case.id}   HippoView model {model['version']} ({model['name']})"
    write(page, about, (right, 28), "rs", _WHITE, _CAPTION_PX)
    low = page.height - 18
    if remark:
        write(page, remark, (left, low - _LINE_PX), "ls", _NOTE, _CAPTION_PX)
    write(page, CONVENTION_WORDS[convention], (left, low), "ls", _WHITE, _CAPTION_PX)
    write(page, NOTICE, (right, low), "rs", _WHITE, _CAPTION_PX)


def _remark(case: Case) -> str:
    """The warning that is written on each picture of the mask; empty where there is none."""
    confidence = {"check": "Check the mask", "unreliable": "The mask is unreliable"}
    small = why_too_small(case.report["measures"])
    words = [confidence.get(confidence_of(case.report), ""), f"Volume {small}" if small else ""]
    return ". ".join(word for word in words if word)
