"""A small picture of a case: middle slices of its hippocampus with the outlines of its mask."""

import io

from PIL import Image

from core.anatomy import Convention
from core.cases.case import CaseImages
from core.exports.strip import near_the_mask, outlined, size_px, slices_through

_MARGIN_MM, _WIDTH_PX, _GAP_PX = 20.0, 150, 4
_OUTLINE_PX, _LETTER_PX = 1.5, 11
# Sagittal and coronal, one above the other.
_CUTS = (0, 1)


def thumbnail_png(images: CaseImages, convention: Convention) -> bytes:
    """Draw one sagittal and one coronal slice, each through the middle of the mask."""
    part = near_the_mask(images, _MARGIN_MM)
    pictures = []
    for cut in _CUTS:
        size = size_px(part.values.shape, part.affine, cut, _WIDTH_PX)
        (index,) = slices_through(part.labels, cut, 1)
        pictures.append(outlined(part, cut, index, size, convention, _OUTLINE_PX, _LETTER_PX))
    height = sum(picture.height for picture in pictures) + _GAP_PX * (len(pictures) - 1)
    page = Image.new("RGB", (_WIDTH_PX, height))
    top = 0
    for picture in pictures:
        page.paste(picture, (0, top))
        top += picture.height + _GAP_PX
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()
