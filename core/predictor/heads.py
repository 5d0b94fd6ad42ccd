"""A whole head: both hippocampi found, segmented in crops along its own axes, and judged.

The network knows crops of 1 mm like the Decathlon's, all of which look like a left hippocampus
(DESIGN.md, *The crops*): a right one is mirrored for it, and its mask mirrored back.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Literal, Protocol

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from core import limits
from core.anatomy import LEFT_MM, SIDES
from core.errors import InputError
from core.image import contrast
from core.image.volume import Volume, blank_labels, box_around, cut_affine, unit_range
from core.image.voxels import Box
from core.predictor import localiser as localise

CropShape = tuple[int, int, int]
CROP: CropShape = (35, 50, 35)
CROP_STEP_MM = 1.0
# Where the hippocampus' centre lies against the crop's own in Task04, as in a left one (RAS).
_OFFSET_MM = np.array((-2.4, 1.3, -2.3))
# The second crop of each side lies this far off: what a good mask does not mind.
_SECOND_MM = np.array((1.5, -1.5, 1.5))
_FOREGROUND = 0.5

Confidence = Literal["", "high", "check", "unreliable"]
Probabilities = Callable[[NDArray[np.float32], bool], NDArray[np.float32]]


class Networks(Protocol):
    """What computes: see `core.predictor.predictor.Predictor`."""

    def heat(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The localiser's output, shape (6, *GRID), for an image of shape `localiser.GRID`."""
        ...

    def probabilities(self, crop: NDArray[np.float32], *, quick: bool) -> NDArray[np.float32]:
        """Of background and labels in a crop of 1 mm, shape (3, X, Y, Z); quick without mirrors."""
        ...


@dataclass(frozen=True)
class Side:
    """One hippocampus of a head.

    Attributes
    ----------
    centre_mm : (float, float, float)
        Of the crop's anatomy: where the hippocampus lies, RAS+.
    found_mm : (float, float, float)
        Where it was looked for: where the localiser had put it, or a person pointed.
    peak : float
        The localiser's highest value there.
    agreement : float
        Dice of the masks of two crops, placed 2.6 mm apart.
    certainty : float
        Mean of what the network says for the mask's voxels, 0.5 to 1; not calibrated.
    pointed : bool
        Whether a person pointed at it.
    model_mask : str
        `fingerprint` of the mask that was made: one that a person drew over it has another.
    """

    centre_mm: tuple[float, float, float]
    found_mm: tuple[float, float, float]
    peak: float
    agreement: float
    certainty: float
    pointed: bool
    model_mask: str = ""


@dataclass(frozen=True)
class Head:
    """What the search in a whole head saw, and what `core.measures.trust` made of it.

    Attributes
    ----------
    sides : dict of str to Side
        ``left`` and ``right``, the patient's.
    brain_ml : float
        An estimate by the localiser, from voxels of 4 mm.
    axes : ndarray, shape (3, 3)
        The head's own right, anterior and superior, as columns, RAS+: the crops lie along them.
    off_mm : float
        How far its voxels are from where they should lie in the template; infinite where they fit
        nowhere.
    scale : float
        Edge of the head against the template's.
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
    is_t1: bool = True
    confidence: Confidence = ""
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As exports and the API give it.

        A box is the crop that the network saw: voxels, and the affine from them to mm, RAS+.
        """
        sides = {}
        for name, side in self.sides.items():
            grid = _grid(name, np.array(side.centre_mm), self.axes)
            sides[name] = asdict(side) | {"box": {"shape": list(CROP), "affine": grid.tolist()}}
        return {
            "sides": sides, "brain_ml": self.brain_ml, "confidence": self.confidence,
            "reasons": list(self.reasons), "scale": self.scale, "is_t1": self.is_t1,
            "off_mm": self.off_mm if np.isfinite(self.off_mm) else None,  # JSON has no infinity
        }  # fmt: skip


def segment(
    volume: Volume, networks: Networks, centres_mm: dict[str, Any] | None = None
) -> tuple[NDArray[np.uint8], Head]:
    """Both hippocampi of a head.

    Parameters
    ----------
    centres_mm
        By side, where a person says that they are; else the localiser's word is taken.

    Returns
    -------
    labels : ndarray of uint8, shape (X, Y, Z)
        On the volume's grid.
    head : Head

    Raises
    ------
    InputError
        There is nothing like a hippocampus in it.
    """
    location = localise.locate(volume, networks.heat)
    labels = blank_labels(volume.header)
    sides: dict[str, Side] = {}
    for name in SIDES:
        detection = location.detections[name]
        given = (centres_mm or {}).get(name)
        if given is None and detection.peak < limits.LEAST_PEAK:
            continue
        looked_at = np.array(detection.centre_mm if given is None else given, float)
        centres = [looked_at]
        if given is None:
            centred = _centred(volume, networks, name, looked_at, location.axes)
            # Far from where it was looked for, either may be wrong: both are looked at.
            is_far = np.linalg.norm(centred - looked_at) > limits.SECOND_LOOK_MM
            centres = [centred, looked_at] if is_far else [centred]
        looks = [_look(volume, networks, name, centre, location.axes) for centre in centres]
        best = max(looks, key=lambda look: look.agreement)
        part = labels[best.box]
        part[best.labels > 0] = best.labels[best.labels > 0]
        x, y, z = (float(n) for n in best.centre_mm)
        sides[name] = Side(
            (x, y, z), tuple(looked_at.tolist()), detection.peak, best.agreement, best.certainty,
            given is not None,
        )  # fmt: skip
    box = box_around(labels)
    if box is None:
        raise InputError(
            "No hippocampus was found in this image",
            "Is it a T1-weighted head with the temporal lobes in the field of view?",
            code="nothing_found",
        )
    difference = contrast.head_contrast(volume.voxels, volume.affine, location.frame)
    is_t1 = contrast.is_t1(difference, limits.LEAST_HEAD_CONTRAST)
    head = Head(
        sides, location.brain_ml, location.axes, location.off_mm, location.scale, is_t1
    )  # fmt: skip
    parts = halves(labels[box], cut_affine(volume.affine, box), head.as_dict())
    known = {n: replace(side, model_mask=fingerprint(parts[n])) for n, side in sides.items()}
    return labels, replace(head, sides=known)


def halves(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], head: dict[str, Any]
) -> dict[str, NDArray[np.uint8]]:
    """The labels of each side that was found, or that somebody drew, shape (X, Y, Z).

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
    """By side, where the hippocampus lies in mm, RAS+; the mirror of the other if none was found.

    The mirror lies along the head's own axis from left to right, as far off as in the template. So
    a mask that the model made stays on its side, and what is drawn on the other side has its own.

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
        other = next(side for side in SIDES if side != name)
        centres[other] = (np.array(centre_mm) + apart_mm * axes[:, 0]).tolist()
    return centres


def fingerprint(part: NDArray[np.uint8]) -> str:
    """What one side's labels are known by, wherever the array is cut around them.

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


@dataclass(frozen=True, eq=False)
class _Look:
    """What two crops about one centre show, on the part of the volume's grid in a box."""

    centre_mm: NDArray[np.float64]
    box: Box
    labels: NDArray[np.uint8]
    certainty: float
    agreement: float


def _centred(
    volume: Volume,
    networks: Networks,
    side: str,
    centre_mm: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Half way from a centre to the middle of the mask that a crop about it leads to.

    The whole way is worse where the mask is incomplete (decision 0013).
    """
    grid = _grid(side, centre_mm, axes)
    inside = 1 - _probabilities(volume, networks, side, grid, quick=True)[0]
    middle = _middle(inside > _FOREGROUND)
    return centre_mm if middle is None else (centre_mm + apply_affine(grid, middle)) / 2


def _look(
    volume: Volume,
    networks: Networks,
    side: str,
    centre_mm: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> _Look:
    grids = (_grid(side, at, axes) for at in (centre_mm, centre_mm + axes @ _SECOND_MM))
    first, second = (
        (grid, _probabilities(volume, networks, side, grid, quick=False)) for grid in grids
    )
    return _Look(centre_mm, *_on_grid(volume, first, second))


def _grid(
    side: str, centre_mm: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From the voxels of a side's crop to mm."""
    offset = _OFFSET_MM * (1 if side == "left" else (-1, 1, 1))
    grid = np.eye(4)
    grid[:3, :3] = axes * CROP_STEP_MM
    grid[:3, 3] = centre_mm - axes @ (offset + (np.array(CROP) - 1) / 2 * CROP_STEP_MM)
    return grid


def _probabilities(
    volume: Volume, networks: Networks, side: str, grid: NDArray[np.float64], *, quick: bool
) -> NDArray[np.float32]:
    crop = localise.sample_unit(volume, grid, CROP)
    if side == "right":
        crop = crop[::-1]
    if crop.max() <= crop.min():  # outside of the image
        return np.stack([np.ones(CROP, np.float32), *np.zeros((2, *CROP), np.float32)])
    found = networks.probabilities(unit_range(crop), quick=quick)
    return found[:, ::-1] if side == "right" else found


def _middle(inside: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    pieces, count = ndimage.label(inside)
    if not count:
        return None
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    return np.asarray(np.argwhere(pieces == largest).mean(0))


Placed = tuple[NDArray[np.float64], NDArray[np.float32]]


def _on_grid(
    volume: Volume, first: Placed, second: Placed
) -> tuple[Box, NDArray[np.uint8], float, float]:
    """A box of the volume's grid, both crops' labels together in it, certainty, agreement."""
    inverse = np.linalg.inv(volume.affine)
    ends = np.array(list(product(*((0, n - 1) for n in CROP))))
    corners = np.concatenate([apply_affine(inverse @ grid, ends) for grid, _ in (first, second)])
    begin = np.clip(np.floor(corners.min(0)).astype(int), 0, volume.shape)
    end = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, volume.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))
    labels = np.zeros(np.maximum(end - begin, 0), np.uint8)
    if not labels.size:
        return (x, y, z), labels, 0.0, 0.0
    background = [_placed(volume, placed, 0, (x, y, z)) for placed in (first, second)]
    masks = [p < _FOREGROUND for p in background]
    total = masks[0].sum() + masks[1].sum()
    agreement = 2 * (masks[0] & masks[1]).sum() / total if total else 0.0
    mean = (background[0] + background[1]) / 2
    inside = mean < _FOREGROUND
    pieces, count = ndimage.label(inside, np.ones((3, 3, 3)))
    if count > 1:
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    near = box_around(inside, 0)
    if near is None:
        return (x, y, z), labels, 0.0, float(agreement)
    # The labels themselves only where there are any.
    i, j, k = (
        slice(whole.start + part.start, whole.start + part.stop)
        for whole, part in zip((x, y, z), near, strict=True)
    )
    foreground = np.stack([
        _placed(volume, first, n, (i, j, k)) + _placed(volume, second, n, (i, j, k))
        for n in range(1, len(first[1]))
    ])  # fmt: skip
    labels[near] = np.where(inside[near], 1 + foreground.argmax(0), 0)
    return (x, y, z), labels, float(1 - mean[inside].mean()), float(agreement)


def _placed(volume: Volume, placed: Placed, channel: int, box: Box) -> NDArray[np.float32]:
    """One channel of a crop's probabilities on a box of the volume's grid."""
    crop, probabilities = placed
    to_crop = np.linalg.inv(crop) @ volume.affine
    start = [part.start for part in box]
    found: NDArray[np.float32] = ndimage.affine_transform(
        probabilities[channel], to_crop[:3, :3], to_crop[:3, :3] @ start + to_crop[:3, 3],
        tuple(part.stop - part.start for part in box), order=1, mode="constant",
        cval=float(channel == 0),
    )  # fmt: skip
    return found
