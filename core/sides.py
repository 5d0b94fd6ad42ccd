"""A head's mask with values of their own for left and right, and files that name them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import nifti
from core.colours import LABEL_RGB
from core.heads import sides_of
from core.localise import SIDES
from core.nifti_header import Header
from core.segmentation import LABELS
from core.volume import blank_labels, box_around, cut_affine, from_ras

# The patient's sides.
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
        `core.heads.Head.as_dict`.
    """
    centres = {name: side["centre_mm"] for name, side in head["sides"].items()}
    values = blank_labels(header)
    box = box_around(labels)
    if box is not None:
        part = labels[box]
        where = sides_of(part.shape, cut_affine(affine, box), centres)
        values[box] = np.where(part > 0, part + len(LABELS) * (where - 1), 0)
    return nifti.sides_bytes(from_ras(values, header), header)


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
