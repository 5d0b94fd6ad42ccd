"""An earlier scan of a patient moved onto a later one, and what was lost and won between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from core.anatomy import SIDES
from core.cases.case import CaseImages
from core.cases.displays import Grid, labels_on
from core.errors import InputError
from core.image.registration import Move, Sampled, move_onto
from core.predictor.heads import centres_of, sides_of

# Further apart than this, lost and won voxels would tell of the move, not of the person.
MOST_RESIDUAL_MM = 1.5


@dataclass(frozen=True)
class LostAndWon:
    """Of one side, in mm³ of the later scan: lost, won, and what both have."""

    lost_mm3: float
    won_mm3: float
    kept_mm3: float


def move_of(
    later: CaseImages, later_head: dict[str, Any], earlier: CaseImages, earlier_head: dict[str, Any]
) -> Move:
    """The rigid move from the earlier scan's mm to the later one's.

    Parameters
    ----------
    later_head, earlier_head
        `core.predictor.heads.Head.as_dict`.

    Raises
    ------
    InputError
        The scans could not be laid onto each other.
    """
    places = apply_affine(earlier.affine, np.argwhere(earlier.labels)[::7])
    if not len(places):
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


def _sampled(images: CaseImages, head: dict[str, Any]) -> Sampled:
    boxes = [side["box"]["affine"] for side in head["sides"].values() if side.get("box")]
    u, _, v = np.linalg.svd(np.array(boxes[0])[:3, :3] if boxes else np.eye(3))
    centres = centres_of(head)
    middle = np.mean([centres[side] for side in SIDES], axis=0)
    return Sampled(images.voxels.read_float32(), images.affine, u @ v, np.asarray(middle))


def lost_and_won(
    later: NDArray[np.uint8],
    affine: NDArray[np.float64],
    later_head: dict[str, Any],
    earlier: NDArray[np.uint8],
) -> dict[str, LostAndWon]:
    """By side, what only the earlier and what only the later mask has, whichever the label.

    Parameters
    ----------
    later, earlier : ndarray, shape (X, Y, Z)
        On the later scan's grid, of which ``affine`` is (`earlier_on`).
    """
    where = sides_of(later.shape, affine, centres_of(later_head))
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    now, before = later > 0, earlier > 0
    found = {}
    for number, side in enumerate(SIDES, start=1):
        of_side = where == number
        parts = (before & ~now, now & ~before, now & before)
        counts = [int(np.count_nonzero(part & of_side)) for part in parts]
        found[side] = LostAndWon(*(count * voxel_mm3 for count in counts))
    return found


def earlier_on(later: CaseImages, earlier: CaseImages, move: Move) -> NDArray[np.uint8]:
    """The earlier labels on the later scan's grid."""
    grid = Grid(later.shape, later.affine)
    return labels_on(earlier.labels, earlier.affine, grid, move.matrix)
