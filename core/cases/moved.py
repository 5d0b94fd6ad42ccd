"""An earlier scan of a patient moved onto a later one, and what was lost and won between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from core.anatomy import LABELS, SIDES
from core.cases.case import CaseImages
from core.cases.displays import Grid, labels_on
from core.errors import InputError
from core.image.registration import Move, Sampled, move_onto, sampled_crop
from core.measures.change import ONE_HIPPOCAMPUS, PARTS
from core.predictor.heads import centres_of, sides_of

# Further apart than this, lost and won voxels would tell of the move, not of the person.
MOST_RESIDUAL_MM = 1.5


@dataclass(frozen=True)
class LostAndWon:
    """Of one side, or one label of it, in mm³ of the later scan.

    What was there before and after is ``kept + lost - border`` and ``kept + won``, with *kept* of
    the later label; so the difference of both is ``won - lost + border``.

    Attributes
    ----------
    lost_mm3, won_mm3 : float
        What only the earlier, and only the later mask has.
    kept_mm3 : float
        What both have, by its label in the later mask.
    border_mm3 : float
        Of what both have: what came from the other label less what went to it. 0 of the whole.
    """

    lost_mm3: float
    won_mm3: float
    kept_mm3: float
    border_mm3: float


@dataclass(frozen=True)
class Compared:
    """Two masks of a person, laid onto each other.

    Attributes
    ----------
    sides : dict of str to dict of str to LostAndWon
        By side (of crops `ONE_HIPPOCAMPUS`) and part.
    later_alone_mm3, earlier_alone_mm3 : float
        Of each mask, what lies where the other scan shows nothing; it counts nowhere.
    """

    sides: dict[str, dict[str, LostAndWon]]
    later_alone_mm3: float
    earlier_alone_mm3: float


def move_of(
    later: CaseImages,
    later_head: dict[str, Any] | None,
    earlier: CaseImages,
    earlier_head: dict[str, Any] | None,
) -> Move:
    """The rigid move from the earlier scan's mm to the later one's.

    Parameters
    ----------
    later_head, earlier_head
        `core.predictor.heads.Head.as_dict`; None of two crops.

    Raises
    ------
    InputError
        The scans could not be laid onto each other.
    """
    if (later_head is None) != (earlier_head is None):
        raise InputError(
            "One scan is a whole head, the other a crop: they are not laid onto each other",
            "Look at them beside each other instead.",
            code="not_registered",
        )
    places = apply_affine(earlier.affine, np.argwhere(earlier.labels)[::7])
    if not len(places) and earlier_head is not None:
        places = np.array(list(centres_of(earlier_head).values()), np.float64)
    move = move_onto(_sampled(later, later_head), _sampled(earlier, earlier_head), places)
    if move.residual_mm > MOST_RESIDUAL_MM:
        raise InputError(
            "The two scans could not be laid onto each other exactly: two ways of doing it differ "
            f"by {move.residual_mm:.1f} mm",
            "Look at them beside each other instead.",
            code="not_registered",
        )
    return move


def _sampled(images: CaseImages, head: dict[str, Any] | None) -> Sampled:
    values = images.voxels.read_float32()
    if head is None:
        labelled = np.argwhere(images.labels)
        if not len(labelled):
            raise InputError(
                "A mask is empty: there is no hippocampus by which two crops could be laid onto "
                "each other",
                "Draw it first, or look at both crops beside each other.",
                code="not_registered",
            )
        middle = apply_affine(images.affine, (labelled.min(axis=0) + labelled.max(axis=0)) / 2)
        return sampled_crop(values, images.affine, np.asarray(middle))
    boxes = [side["box"]["affine"] for side in head["sides"].values() if side.get("box")]
    u, _, v = np.linalg.svd(np.array(boxes[0])[:3, :3] if boxes else np.eye(3))
    centres = centres_of(head)
    middle = np.mean([centres[side] for side in SIDES], axis=0)
    return Sampled(values, images.affine, u @ v, np.asarray(middle))


def lost_and_won(
    later: CaseImages, later_head: dict[str, Any] | None, earlier: CaseImages, move: Move
) -> Compared:
    """By side and part, what only the earlier and what only the later mask has.

    Only where both scans show something: a mask that ends where a scan ends lost nothing there.

    Parameters
    ----------
    later_head
        `core.predictor.heads.Head.as_dict`; None of a crop.
    """
    affine, now, before = later.affine, later.labels, earlier_on(later, earlier, move)
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    # Of the few voxels that either mask has.
    labelled = np.argwhere((now > 0) | (before > 0))
    now, before = now[tuple(labelled.T)], before[tuple(labelled.T)]
    back = np.linalg.inv(earlier.affine) @ np.linalg.inv(move.matrix) @ affine
    is_shown = _is_inside(apply_affine(back, labelled), earlier.shape)
    sides = {ONE_HIPPOCAMPUS: np.ones(len(labelled), np.bool_)}
    if later_head is not None:
        where = sides_of(later.shape, affine, centres_of(later_head))[tuple(labelled.T)]
        sides = {side: where == number for number, side in enumerate(SIDES, start=1)}
    by_side = {
        side: {
            part: _of_part(now[of_side & is_shown], before[of_side & is_shown], part, voxel_mm3)
            for part in PARTS
        }
        for side, of_side in sides.items()
    }
    onto = np.linalg.inv(affine) @ move.matrix @ earlier.affine
    is_beyond = ~_is_inside(apply_affine(onto, np.argwhere(earlier.labels)), later.shape)
    earlier_mm3 = float(abs(np.linalg.det(earlier.affine[:3, :3])))
    return Compared(
        by_side,
        float(np.count_nonzero(now[~is_shown]) * voxel_mm3),
        float(np.count_nonzero(is_beyond) * earlier_mm3),
    )


def _of_part(
    now: NDArray[np.uint8], before: NDArray[np.uint8], part: str, voxel_mm3: float
) -> LostAndWon:
    is_now, was = now > 0, before > 0
    values = {part: LABELS[part]} if part in LABELS else LABELS
    is_part, was_part = np.isin(now, [*values.values()]), np.isin(before, [*values.values()])
    both = is_now & was
    counts = (
        np.count_nonzero(was_part & ~is_now),
        np.count_nonzero(is_part & ~was),
        np.count_nonzero(is_part & both),
        np.count_nonzero(is_part & both) - np.count_nonzero(was_part & both),
    )
    return LostAndWon(*(float(count) * voxel_mm3 for count in counts))


def _is_inside(voxels: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which places, in voxels, lie on a grid of that shape."""
    inside = (voxels > -0.5) & (voxels < np.array(shape) - 0.5)
    return np.asarray(inside.all(axis=-1))


def earlier_on(later: CaseImages, earlier: CaseImages, move: Move) -> NDArray[np.uint8]:
    """The earlier labels on the later scan's grid."""
    grid = Grid(later.shape, later.affine)
    return labels_on(earlier.labels, earlier.affine, grid, move.matrix)
