"""The labels of a whole head, told apart into its two hippocampi, as far as they can train."""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core import limits
from core.anatomy import LABELS, SIDES
from core.cases.side_labels import VALUES
from core.errors import InputError
from core.image.volume import box_around, cut_affine
from core.measures.edges import Extent, cut_faces
from core.predictor.heads import sides_of
from core.predictor.localiser import Location

# The values of a head's labels, for messages.
HEAD_VALUES = {
    **LABELS,
    **{f"right {name}": value for (side, name), value in VALUES.items() if side == SIDES[1]},
}
# Values that only a file with values of their own for each side has.
_SIDE_VALUES = tuple(v for v in VALUES.values() if v not in LABELS.values())
_26_NEIGHBOURS = np.ones((3, 3, 3))


@dataclass(frozen=True, eq=False)
class SideLabels:
    """The reviewed labels of one hippocampus.

    Attributes
    ----------
    labels : ndarray of uint8, shape (X, Y, Z)
        1 anterior, 2 posterior: the part of the head's grid that holds them, RAS+.
    affine : ndarray, shape (4, 4)
        Indices of ``labels`` to mm, RAS+.
    """

    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """Mean position of the labelled voxels, RAS+."""
        return np.asarray(apply_affine(self.affine, np.argwhere(self.labels).mean(0)))


def sides_in(
    values: NDArray[np.uint8], affine: NDArray[np.float64], location: Location, extent: Extent
) -> tuple[dict[str, SideLabels], dict[str, str]]:
    """Tell the labels of a head apart by side, and leave out the sides that cannot train.

    A side is left out that has no label at all, that lacks one of the labels, or that the image's
    edge cuts off, by the rule of `core.measures.edges.cut_faces`: its labels end where the image
    does, not where the hippocampus does.

    Parameters
    ----------
    values : ndarray, shape (X, Y, Z)
        RAS+, with ``affine``: 1 anterior and 2 posterior on both sides, or
        `core.cases.side_labels.VALUES`, 1 and 2 on the left, 3 and 4 on the right.
    location
        Where the head lies; says which side a voxel with the value 1 or 2 is on.
    extent
        The part of the image without padding: `core.measures.edges.content_extent`.

    Returns
    -------
    sides : dict of str to SideLabels
        By side, the patient's.
    left_out : dict of str to str
        By side, why it is not used.

    Raises
    ------
    InputError
        There is no label, or it cannot be told which side a label is on.
    """
    box = box_around(values)
    if box is None:
        raise InputError("the label is empty")
    part, part_affine = values[box], cut_affine(affine, box)
    middle = _midplane(location)
    by_side = (
        _by_value(part, part_affine, location, middle)
        if np.isin(part, _SIDE_VALUES).any()
        else _by_place(part, part_affine, middle)
    )
    sides, left_out = {}, {}
    for side, labels in by_side.items():
        whole = np.zeros(values.shape, bool)
        whole[box] = labels > 0
        why = _why_left_out(labels, whole, affine, extent)
        if why:
            left_out[side] = why
        else:
            sides[side] = SideLabels(labels, part_affine)
    if left_out.keys() == set(SIDES) and set(np.unique(part)) == {0, *LABELS.values()}:
        _refuse_left_and_right(by_side)
    return sides, left_out


def _midplane(location: Location) -> dict[str, NDArray[np.float64]] | None:
    """By side, the hippocampi of the template in this head: the midplane lies half way between."""
    if location.frame is None or location.off_mm > limits.HEAD_UNRELIABLE.most_off_mm:
        return None
    expected = {side: location.expected_mm(side) for side in SIDES}
    return {side: at_mm for side, at_mm in expected.items() if at_mm is not None}


def _by_value(
    part: NDArray[np.uint8], affine: NDArray[np.float64], location: Location,
    middle: dict[str, NDArray[np.float64]] | None,
) -> dict[str, NDArray[np.uint8]]:  # fmt: skip
    """Labels by side, of a file whose values say the side."""
    by_side = {}
    centres = {}
    for side in SIDES:
        labels = np.zeros_like(part)
        for name, value in LABELS.items():
            labels[part == VALUES[side, name]] = value
        by_side[side] = labels
        if labels.any():
            centres[side] = apply_affine(affine, np.argwhere(labels).mean(0))
    for n, (side, centre_mm) in enumerate(centres.items()):
        other_mm = list(centres.values())[1 - n] if len(centres) == len(SIDES) else None
        is_wrong = False
        if other_mm is not None:
            along = (centre_mm - other_mm) @ location.axes[:, 0]
            is_wrong = (along > 0) == (side == SIDES[0])
        elif middle is not None:
            distances = {name: np.linalg.norm(centre_mm - at) for name, at in middle.items()}
            is_wrong = min(distances, key=lambda name: distances[name]) != side
        if is_wrong:
            raise InputError(
                f"the {side} hippocampus' values ({_values_of(side)}) lie on the other side: "
                "values or affine are wrong"
            )
    return by_side


def _by_place(
    part: NDArray[np.uint8], affine: NDArray[np.float64],
    middle: dict[str, NDArray[np.float64]] | None,
) -> dict[str, NDArray[np.uint8]]:  # fmt: skip
    """Labels by side, of a file with the same values on both: by the head's midplane."""
    if middle is None:
        raise InputError(
            "the head was not found in the image, so left and right cannot be told apart: use the "
            f"values {_values_of('left')} for the left and {_values_of('right')} for the right"
        )
    where = sides_of(part.shape, affine, middle)
    pieces, count = ndimage.label(part > 0, _26_NEIGHBOURS)
    for piece in range(1, count + 1):
        if len(np.unique(where[pieces == piece])) > 1:
            raise InputError("a labelled piece reaches across the head's middle")
    return {
        side: np.where(where == number, part, 0).astype(np.uint8)
        for number, side in enumerate(SIDES, start=1)
    }


def _why_left_out(
    labels: NDArray[np.uint8], whole: NDArray[np.bool_], affine: NDArray[np.float64], extent: Extent
) -> str:
    """Why a side cannot train; empty where it can."""
    if not labels.any():
        return "the side has no label"
    for name, value in LABELS.items():
        if not (labels == value).any():
            return f"the side has no voxel of {name} ({value})"
    faces = cut_faces(whole, affine, extent)
    if faces:
        return f"the image ends within the labels ({', '.join(faces)})"
    return ""


def _refuse_left_and_right(by_side: dict[str, NDArray[np.uint8]]) -> None:
    """Raise if each side has one of the two values: then they mean left and right."""
    values = [set(np.unique(labels)) - {0} for labels in by_side.values()]
    if all(len(of_side) == 1 for of_side in values):
        raise InputError(
            "its values 1 and 2 are those of left and right, not of anterior and posterior"
        )


def _values_of(side: str) -> str:
    return " and ".join(str(VALUES[side, name]) for name in LABELS)
