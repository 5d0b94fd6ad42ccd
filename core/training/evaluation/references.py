"""Reference labels of a whole head, told apart by side, of this project's protocol or another."""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from core.anatomy import LABELS, SIDES
from core.cases.side_labels import VALUES
from core.errors import InputError
from core.image.volume import box_around
from core.image.voxels import Box
from core.training.data.labels import whole_numbers
from core.training.evaluation.head_figures import BY_LABEL, WHOLE
from core.training.heads.sides import HEAD_VALUES

# Between the two hippocampi of a head lie some 25 mm without a label.
_LEAST_GAP_MM = 5.0
# Each side has at least this share of the labelled voxels: less are strays.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Protocol:
    """What the values of a reference mean.

    Attributes
    ----------
    name : str
        `BY_LABEL`: 1 anterior and 2 posterior on both sides, or 1 and 2 on the left, 3 and 4 on the
        right, as our side files have them. `WHOLE`: one value for each whole hippocampus.
    left, right : int
        Of `WHOLE`: the values. All others are other structures.
    sided : bool
        Of `BY_LABEL`: whether 1 and 2 are the left's, as in our own side files; else they are of
        both sides where there is no 3 or 4.
    """

    name: str
    left: int = 1
    right: int = 2
    sided: bool = False

    @property
    def in_words(self) -> str:
        """Such as *whole hippocampus (1 left, 2 right)*."""
        if self.name == WHOLE:
            return f"{WHOLE} ({self.left} left, {self.right} right)"
        return self.name


@dataclass(frozen=True, eq=False)
class SideReference:
    """The reference labels of one hippocampus.

    Attributes
    ----------
    box
        The part of the head's grid that holds them, RAS+.
    labels : ndarray of uint8
        In that box: 1 anterior, 2 posterior; 1 everywhere where there is no such border.
    """

    box: Box
    labels: NDArray[np.uint8]

    @classmethod
    def of(cls, labels: NDArray[np.uint8]) -> "SideReference | None":
        """The labels of one side on the whole grid; None if there are none."""
        box = box_around(labels, 0)
        return None if box is None else cls(box, np.ascontiguousarray(labels[box]))


def references_in(
    values: NDArray[np.float64], affine: NDArray[np.float64], protocol: Protocol
) -> dict[str, SideReference]:
    """The reference of each side that is labelled.

    Neither the localiser nor a model is asked: what is tested must not choose what it is tested on.

    Parameters
    ----------
    values : ndarray, shape (X, Y, Z)
        As the file has them, RAS+, with ``affine``.

    Raises
    ------
    InputError
        There is no label, the values are not those of the protocol, or the sides cannot be told
        apart.
    """
    if protocol.name == BY_LABEL:
        by_side = _by_label(values, affine, sided=protocol.sided)
    else:
        by_side = {
            side: (np.abs(values - value) < 0.5).astype(np.uint8)
            for side, value in zip(SIDES, (protocol.left, protocol.right), strict=True)
        }
    references = {
        side: reference
        for side, labels in by_side.items()
        if (reference := SideReference.of(labels)) is not None
    }
    if not references:
        raise InputError(f"the reference has no label of the protocol {protocol.in_words}")
    if len(references) == len(SIDES):
        left, right = (_along_x_mm(references[side], affine) for side in SIDES)
        if left.min() > right.max():
            raise InputError("the left side's labels lie on the right: values or affine are wrong")
        if left.max() > right.min():
            raise InputError(
                f"the labels of left and right lie on both sides: is it {protocol.in_words}?"
            )
    return references


def _by_label(
    values: NDArray[np.float64], affine: NDArray[np.float64], *, sided: bool
) -> dict[str, NDArray[np.uint8]]:
    labels, _ = whole_numbers(values, HEAD_VALUES)
    count = len(LABELS)
    if sided or labels.max() > count:
        return {
            side: _relabelled(labels, {VALUES[side, name]: v for name, v in LABELS.items()})
            for side in SIDES
        }
    box = box_around(labels, 0)
    if box is None:
        raise InputError("the reference is empty")
    at_mm = apply_affine(affine, np.argwhere(labels))[:, 0]
    middle_mm = _middle_mm(at_mm)
    by_side = {side: np.zeros_like(labels) for side in SIDES}
    places = np.argwhere(labels)
    for side, is_side in zip(SIDES, (at_mm < middle_mm, at_mm >= middle_mm), strict=True):
        there = tuple(places[is_side].T)
        by_side[side][there] = labels[there]
    if all(len(np.unique(of_side)) == 2 for of_side in by_side.values()):  # 0 and one label
        raise InputError(
            f"each side has one value only: are they those of left and right ({WHOLE})?"
        )
    return by_side


def _middle_mm(at_mm: NDArray[np.float64]) -> float:
    """The middle of the widest gap between labelled voxels from left to right."""
    ordered = np.sort(at_mm)
    gaps = np.diff(ordered)
    least = int(np.ceil(_LEAST_SHARE * len(ordered)))
    inner = gaps[least - 1 : len(gaps) - least + 1]
    if not inner.size or inner.max() < _LEAST_GAP_MM:
        raise InputError(
            "left and right cannot be told apart: use 1 and 2 for the left, 3 and 4 for the right"
        )
    first = least - 1 + int(inner.argmax())
    return float((ordered[first] + ordered[first + 1]) / 2)


def _relabelled(labels: NDArray[np.uint8], new: dict[int, int]) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[list(new)] = list(new.values())
    return table[labels]


def _along_x_mm(side: SideReference, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Position from left to right (mm) of every labelled voxel."""
    start = [part.start for part in side.box]
    return np.asarray(apply_affine(affine, np.argwhere(side.labels) + start)[:, 0])
