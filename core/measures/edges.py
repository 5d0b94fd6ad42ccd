"""Where an image ends, and whether its end cuts a mask off."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import limits

# Begin and end, in voxels, along each axis of an RAS+ array.
Extent = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
# Only every 8th voxel of a plane is checked first: those of a large file lie far apart in memory.
_THIN = 8
# Names of the faces of an RAS+ array (the patient's), where each axis begins and ends.
FACES = (("left", "right"), ("behind", "in front"), ("below", "above"))


def content_extent(values: NDArray[np.generic]) -> Extent:
    """The part of an image within its padding.

    Padding is every outer plane in which all voxels have one value: slices that were added around a
    cut image end it no later than the cut did.

    Parameters
    ----------
    values
        Shape (X, Y, Z).

    Examples
    --------
    >>> padded = np.zeros((4, 5, 6))
    >>> padded[1:4, 0:3, 2:5] = np.arange(27).reshape(3, 3, 3)
    >>> content_extent(padded)
    ((1, 4), (0, 3), (2, 5))
    """
    bounds = [[0, n] for n in values.shape]
    before = None
    while before != bounds:  # padding of another value may stand behind the first
        before = [list(pair) for pair in bounds]
        for axis, pair in enumerate(bounds):
            within = values[tuple(slice(begin, end) for begin, end in bounds)]
            planes = np.moveaxis(within, axis, 0)
            pair[0] += _padding(planes)
            pair[1] -= min(_padding(planes[::-1]), pair[1] - pair[0] - 1)
    (a, b), (c, d), (e, f) = bounds
    return (a, b), (c, d), (e, f)


def _padding(planes: NDArray[np.generic]) -> int:
    """How many of the first planes hold one value each; the last plane is never padding."""
    thin = planes[:, ::_THIN, ::_THIN]
    count = 0
    while count < len(planes) - 1 and _is_one(thin[count : count + 1])[0]:
        count += 1
    # A sample of their voxels suggested these planes: check all of the voxels.
    same = _is_one(planes[:count])
    return count if same.all() else int(same.argmin())


def _is_one(planes: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether all voxels of a plane have one value, or are NaN."""
    is_nan = (planes != planes).all(axis=(1, 2))
    return np.asarray((planes == planes[:, :1, :1]).all(axis=(1, 2)) | is_nan)


def whole(shape: tuple[int, ...]) -> Extent:
    """The extent of an image without padding."""
    x, y, z = shape
    return (0, x), (0, y), (0, z)


def extent_of(record: dict[str, Any]) -> Extent | None:
    """The extent in a case's record of its input; None in records of earlier versions."""
    if "content_extent" not in record:
        return None
    (a, b), (c, d), (e, f) = record["content_extent"]
    return (a, b), (c, d), (e, f)


def cut_faces(inside: NDArray[np.bool_], affine: NDArray[np.float64], extent: Extent) -> list[str]:
    """The faces of the image that probably cut a mask off, in the order of `FACES`.

    The network stops one to five voxels before an edge that cuts a hippocampus, and a tight crop
    ends three voxels behind a complete one. So the shape of the mask's end counts as well: a
    complete hippocampus tapers off, a cut one ends bluntly.

    Parameters
    ----------
    inside : ndarray of bool, shape (X, Y, Z)
        RAS+, with ``affine``, indices to mm.
    extent
        `content_extent` of the image.
    """
    # Thickness of a plane of voxels: their edge, or less where the axes lean.
    plane_mm = 1 / np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    cut = []
    for axis, names in enumerate(FACES):
        others = tuple(other for other in range(3) if other != axis)
        sections = np.count_nonzero(inside, axis=others)
        indices = np.flatnonzero(sections)
        if not indices.size:
            return []
        sections = sections[indices[0] : indices[-1] + 1]
        end = 1 + int(limits.BLUNT_WITHIN_MM / plane_mm[axis])
        begin, behind = extent[axis]
        gaps = (indices[0] - begin, behind - 1 - indices[-1])
        for name, gap, profile in zip(names, gaps, (sections, sections[::-1]), strict=True):
            bluntness = profile[:end].max() / sections.max()
            if gap * plane_mm[axis] <= limits.CUT_WITHIN_MM + limits.CUT_BLUNT_MM * bluntness:
                cut.append(name)
    return cut


def faces_looked_beyond(
    window: dict[str, Any], affine: NDArray[np.float64], extent: Extent
) -> list[str]:
    """The faces of the image beyond which the crop of a side reaches.

    The crop fits a hippocampus closely, so an image that ends within the crop ends within the
    hippocampus or close to it.

    Parameters
    ----------
    window
        ``shape``, and ``affine`` from its voxels to mm, RAS+: a side's ``box`` in
        `core.predictor.heads.Head.as_dict`.
    affine
        Of the image, indices to mm.
    """
    to_voxels = np.linalg.inv(affine) @ np.array(window["affine"])
    points = np.indices(window["shape"]).reshape(3, -1)
    at = to_voxels[:3, :3] @ points + to_voxels[:3, 3:]
    faces = []
    for along, (begin, end), names in zip(at, extent, FACES, strict=True):
        beyond = (along < begin - 0.5, along > end - 0.5)
        faces += [
            name
            for name, outside in zip(names, beyond, strict=True)
            if outside.mean() > limits.CUT_WINDOW_SHARE
        ]
    return faces


def shifted(extent: Extent, box: tuple[slice, ...]) -> Extent:
    """An extent in the voxels of the part of its image that a box cuts out."""
    x, y, z = (
        (begin - part.start, end - part.start)
        for (begin, end), part in zip(extent, box, strict=True)
    )
    return x, y, z
