"""A head's mask with separate values for left and right, and files that name the values."""

from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from core.anatomy import LABEL_RGB, LABELS, SIDES
from core.errors import ConflictError, InputError
from core.image import nifti
from core.image.header import Header
from core.image.volume import blank_labels, box_around, cut_affine, from_ras
from core.predictor.heads import centres_of, sides_of

# Value in the mask by (side, label); the sides are the patient's.
VALUES = {
    (side, name): 1 + n * len(LABELS) + m
    for n, side in enumerate(SIDES)
    for m, name in enumerate(LABELS)
}
_DARKER = 0.6  # the right side's colours


def sides_file(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], header: Header, head: dict[str, Any]
) -> bytes:
    """The mask as ``.nii.gz``: 1 and 2 left anterior and posterior, 3 and 4 right.

    Parameters
    ----------
    labels : ndarray, shape (X, Y, Z)
        RAS+, with ``affine``.
    head
        `core.predictor.heads.Head.as_dict`.
    """
    centres = centres_of(head)
    values = blank_labels(header)
    box = box_around(labels)
    if box is not None:
        part = labels[box]
        where = sides_of(part.shape, cut_affine(affine, box), centres)
        values[box] = np.where(part > 0, part + len(LABELS) * (where - 1), 0)
    return nifti.sides_bytes(from_ras(values, header), header)


def centres_mm(sides: dict[str, Any]) -> dict[str, Any]:
    """Centre of each hippocampus, from the ``sides`` of `core.predictor.heads.Head.as_dict`."""
    return {name: side["centre_mm"] for name, side in sides.items()}


def with_one_side(
    before: NDArray[np.uint8],
    segmented: NDArray[np.uint8],
    affine: NDArray[np.float64],
    side: str,
    centres_before: dict[str, Any],
    centres_segmented: dict[str, Any],
) -> NDArray[np.uint8]:
    """Replace one side of a head's mask and keep the other, voxel for voxel.

    Each voxel belongs to the side whose centre was nearer before, drawn or not. A side that was not
    found before begins where `core.predictor.heads.centres_of` says.

    Parameters
    ----------
    before, segmented : ndarray, shape (X, Y, Z)
        RAS+, with ``affine``: the newest mask, and the one that holds the new side.
    side
        ``left`` or ``right``, the patient's: the one that is replaced.
    centres_before, centres_segmented : dict
        By side, the hippocampi's centres in mm, RAS+, of each mask; of the first both sides'.

    Raises
    ------
    ConflictError
        The new centre lies among the voxels of the other side.
    InputError
        Nothing was segmented there.
    """
    other = next(name for name in SIDES if name != side)
    number = 1 + SIDES.index(side)

    def is_side(centres_mm: dict[str, Any]) -> NDArray[np.bool_]:
        return np.asarray(sides_of(before.shape, affine, centres_mm) == number)

    is_open = is_side(centres_before)
    # The other side stays where it was; a new search may have placed it elsewhere.
    is_new = is_side({other: centres_before[other], side: centres_segmented[side]})
    voxel = apply_affine(np.linalg.inv(affine), centres_segmented[side])
    pointed_voxel = np.clip(np.rint(voxel).astype(int), 0, np.array(before.shape) - 1)
    if not is_open[tuple(pointed_voxel)]:
        raise ConflictError(
            f"This place lies on the patient's {other} side, whose mask would be cut",
            f"Is it the {other} hippocampus? Then segment {other} here. If the sides were "
            f"found in wrong places, point at the {other} one first.",
            code="other_side",
        )
    new = np.where(is_open & is_new & is_side(centres_segmented), segmented, 0)
    if not new.any():
        raise InputError(
            f"No {side} hippocampus was found at this place",
            "Nothing was changed. Point at its middle, or draw it.", code="nothing_found",
        )  # fmt: skip
    return np.where(is_open, new, before).astype(np.uint8)


def lookup_table() -> bytes:
    """Names and colours as FreeView and 3D Slicer read them (``.txt``)."""
    rows = [f"{value} {_name(*key)} {' '.join(map(str, _rgb(*key)))} 0"
            for key, value in VALUES.items()]  # fmt: skip
    return ("0 Unknown 0 0 0 0\n" + "\n".join(rows) + "\n").encode()


def itksnap_labels() -> bytes:
    """The same as ITK-SNAP reads them (``.label``)."""
    rows = [f'{value} {" ".join(map(str, _rgb(*key)))} 1 1 1 "{_name(*key)}"'
            for key, value in VALUES.items()]  # fmt: skip
    return ('0 0 0 0 0 0 0 "Clear Label"\n' + "\n".join(rows) + "\n").encode()


def _name(side: str, name: str) -> str:
    return f"{side.capitalize()}-Hippocampus-{name.capitalize()}"


def _rgb(side: str, name: str) -> tuple[int, ...]:
    shade = 1.0 if side == SIDES[0] else _DARKER
    return tuple(round(c * shade) for c in LABEL_RGB[name])
