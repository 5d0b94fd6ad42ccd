"""What a segmented head is: its two sides, where their crops lie, which voxel is on which side."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.anatomy import LEFT_MM, SIDES

# Shape and voxel size of the crop that the network is shown of each side: as in Task04.
CROP: tuple[int, int, int] = (35, 50, 35)
CROP_STEP_MM = 1.0
# From the crop's centre to the hippocampus', averaged over Task04; for a left one (RAS).
_OFFSET_MM = np.array((-2.4, 1.3, -2.3))

Confidence = Literal["", "high", "check", "unreliable"]


@dataclass(frozen=True)
class Side:
    """One hippocampus of a head.

    Attributes
    ----------
    centre_mm : (float, float, float)
        Where the hippocampus lies (RAS+): its crops are laid about this.
    found_mm : (float, float, float)
        Where the localiser detected it, or a person pointed (RAS+).
    peak : float
        The localiser's highest value there.
    agreement : float
        Dice of the masks of two crops, placed 2.6 mm apart.
    certainty : float
        Mean probability of the mask's voxels, 0.5 to 1; not calibrated.
    pointed : bool
        Whether a person pointed at it.
    model_mask : str
        `fingerprint` of the model's mask: a corrected mask has another one.
    expected : dict or None
        `core.predictor.expectation.Expectation.as_dict` of that mask; None where the model version
        is not calibrated.
    """

    centre_mm: tuple[float, float, float]
    found_mm: tuple[float, float, float]
    peak: float
    agreement: float
    certainty: float
    pointed: bool
    model_mask: str = ""
    expected: dict[str, Any] | None = None


@dataclass(frozen=True)
class Head:
    """The result of the search in a whole head, and the judgement of `core.measures.trust`.

    Attributes
    ----------
    sides : dict of str to Side
        ``left`` and ``right``, the patient's.
    brain_ml : float
        An estimate by the localiser, from voxels of 4 mm.
    axes : ndarray, shape (3, 3)
        The head's own right, anterior and superior, as columns, RAS+: the crops lie along them.
    off_mm : float
        Median distance of the brain's voxels from where the template has them; infinite where the
        template does not fit.
    scale : float
        Size of the head relative to the template, along an edge.
    frame : ndarray, shape (4, 4), or None
        From the template's mm to the head's; see `core.predictor.localiser.Location`.
    is_t1 : bool
        Whether its contrast is that of a T1-weighted image; see `core.image.contrast`.
    confidence : str
        ``high``, ``check`` or ``unreliable``; empty until it is judged.
    reasons : tuple of str
        Why it is not high.
    """

    sides: dict[str, Side]
    brain_ml: float
    axes: NDArray[np.float64]
    off_mm: float
    scale: float
    frame: NDArray[np.float64] | None = None
    is_t1: bool = True
    confidence: Confidence = ""
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As exports and the API give it.

        A side's ``box`` is its crop: the shape, and the affine from its voxels to mm, RAS+.
        """
        sides = {}
        for name, side in self.sides.items():
            grid = crop_grid(name, np.array(side.centre_mm), self.axes)
            sides[name] = asdict(side) | {"box": {"shape": list(CROP), "affine": grid.tolist()}}
        return {
            "sides": sides, "brain_ml": self.brain_ml, "confidence": self.confidence,
            "reasons": list(self.reasons), "scale": self.scale, "is_t1": self.is_t1,
            "frame": None if self.frame is None else self.frame.tolist(),
            "off_mm": self.off_mm if np.isfinite(self.off_mm) else None,  # JSON has no infinity
        }  # fmt: skip


def halves(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], head: dict[str, Any]
) -> dict[str, NDArray[np.uint8]]:
    """The labels of each side that was segmented or drawn, shape (X, Y, Z).

    Parameters
    ----------
    head
        `Head.as_dict`.
    """
    where = sides_of(labels.shape, affine, centres_of(head))
    parts = {
        name: np.where(where == number, labels, 0).astype(np.uint8)
        for number, name in enumerate(SIDES, start=1)
    }
    return {name: part for name, part in parts.items() if name in head["sides"] or part.any()}


def centres_of(head: dict[str, Any]) -> dict[str, Any]:
    """By side, the hippocampus' centre (mm, RAS+); where one is missing, the other one mirrored.

    Mirrored along the head's own axis from left to right, at the distance that the template has.
    So the model's mask stays on its side, and what a person draws on the other side belongs there.

    Parameters
    ----------
    head
        `Head.as_dict`.
    """
    centres = {name: side["centre_mm"] for name, side in head["sides"].items()}
    if len(centres) == 1:
        name, centre_mm = next(iter(centres.items()))
        box = head["sides"][name].get("box")
        axes = np.eye(3) if box is None else np.array(box["affine"])[:3, :3] / CROP_STEP_MM
        scale = np.clip(head.get("scale", 1.0), *limits.HEAD_SCALES)
        apart_mm = 2 * abs(LEFT_MM[0]) * scale * (1 if name == SIDES[0] else -1)
        other_side = next(side for side in SIDES if side != name)
        centres[other_side] = (np.array(centre_mm) + apart_mm * axes[:, 0]).tolist()
    return centres


def fingerprint(part: NDArray[np.uint8]) -> str:
    """Identifies the labels of one side, wherever the array is cut around them.

    >>> part = np.zeros((4, 4, 4), np.uint8)
    >>> part[2, 1:3, 2] = 1, 2
    >>> fingerprint(part) == fingerprint(part[1:])
    True
    """
    voxels = np.argwhere(part)
    if not len(voxels):
        return "empty"
    digest = hashlib.sha256(np.ascontiguousarray(voxels - voxels.min(0), "<i4").tobytes())
    digest.update(part[part > 0].tobytes())
    return digest.hexdigest()


def sides_of(
    shape: tuple[int, ...], affine: NDArray[np.float64], centres_mm: dict[str, Any]
) -> NDArray[np.uint8]:
    """For each voxel the nearer hippocampus: 1 left, 2 right."""
    if len(centres_mm) == 1:
        return np.full(shape, 1 + SIDES.index(next(iter(centres_mm))), np.uint8)
    left, right = (np.array(centres_mm[name]) for name in SIDES)
    # The plane half way between: linear in the voxels' indices.
    normal = right - left
    along = normal @ affine[:3, :3]
    offset = normal @ (affine[:3, 3] - (left + right) / 2)
    i, j, k = (np.arange(n) * a for n, a in zip(shape, along, strict=True))
    is_right = i[:, None, None] + j[None, :, None] > -offset - k[None, None, :]
    return np.asarray(is_right.astype(np.uint8) + 1, np.uint8)


def crop_grid(
    side: str, centre_mm: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The affine from the voxels of a side's crop to mm, RAS+, shape (4, 4).

    Parameters
    ----------
    centre_mm
        Of the hippocampus.
    axes : ndarray, shape (3, 3)
        The head's own: see `Head`.
    """
    offset = _OFFSET_MM * (1 if side == "left" else (-1, 1, 1))
    grid = np.eye(4)
    grid[:3, :3] = axes * CROP_STEP_MM
    grid[:3, 3] = centre_mm - axes @ (offset + (np.array(CROP) - 1) / 2 * CROP_STEP_MM)
    return grid
