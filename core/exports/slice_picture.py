"""One slice with its labels as a picture, for browsers that cannot draw it themselves."""

import io

import numpy as np
from nibabel.affines import voxel_sizes

from core.anatomy import Convention
from core.cases.case import CaseImages
from core.exports.painter import Rgb, paint, write_letters
from core.exports.slices import as_drawn, letters_of, size_mm

_LONGER_EDGE_PX = 600
_LETTER_PX = 20


def slice_png(
    images: CaseImages,
    axis: int,
    index: int,
    *,
    convention: Convention,
    window: tuple[float, float],
    opacity: float,
    letter_rgb: Rgb,
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
    edges_mm = np.array(size_mm(images.shape, voxel_sizes(images.affine), axis))
    width, height = (edges_mm * _LONGER_EDGE_PX / edges_mm.max()).round().astype(int).tolist()
    drawn = paint(grey, labels, (width, height), window, opacity=opacity)
    write_letters(drawn, letters_of(axis, convention), letter_rgb, _LETTER_PX)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()
