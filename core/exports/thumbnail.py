"""A small picture of a case: middle slices of its hippocampus with the outlines of its mask."""

from PIL import Image

from core.anatomy import Convention
from core.cases.case import CaseImages
from core.exports.strip import near_the_mask, outlined, png, size_px, slices_through

_MARGIN_MM, _SIDE_PX, _GAP_PX = 20.0, 150, 4
_OUTLINE_PX, _LETTER_PX = 1.5, 11
# Sagittal and coronal, one above the other.
_CUTS = (0, 1)


def thumbnail_png(images: CaseImages, convention: Convention) -> bytes:
    """Draw one sagittal and one coronal slice, each through the middle of the mask.

    All such pictures have one size; a slice is as large as its half allows.
    """
    part = near_the_mask(images, _MARGIN_MM)
    page = Image.new("RGB", (_SIDE_PX, 2 * _SIDE_PX + _GAP_PX))
    for place, cut in enumerate(_CUTS):
        width, height = size_px(part.values.shape, part.affine, cut, _SIDE_PX)
        if height > _SIDE_PX:
            width, height = max(1, round(width * _SIDE_PX / height)), _SIDE_PX
        (index,) = slices_through(part.labels, cut, 1)
        picture = outlined(
            part, cut, index, (width, height), convention, _OUTLINE_PX, _LETTER_PX
        )  # fmt: skip
        left, top = (_SIDE_PX - width) // 2, (_SIDE_PX - height) // 2
        page.paste(picture, (left, top + place * (_SIDE_PX + _GAP_PX)))
    return png(page)
