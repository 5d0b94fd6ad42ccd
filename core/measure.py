"""Volumes and sizes of a segmentation, and what about it asks for a second look."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core import limits
from core.findings import Finding
from core.heads import sides_of
from core.localise import SIDES
from core.segmentation import LABELS
from core.volume import box_around, cut_affine

SIDE_ON_A_CROP = "side unknown on a crop"
BOTH_SIDES = "left and right together"
# Findings about a mask; all others are about the scan and hold for every mask of it.
MASK_CODES = frozenset((
    "mask_empty", "volume_small", "volume_large", "touches_border", "check", "unreliable",
    *(f"{name}_{what}" for name in LABELS for what in ("missing", "fragmented")),
))  # fmt: skip
_CORNERS = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class LabelMeasures:
    """Sizes of one label, or of both together.

    Attributes
    ----------
    volume_mm3, volume_ml : float
        Voxels times the volume of one voxel.
    voxels : int
    bounding_box_mm : (float, float, float) or None
        Edges along the volume's axes (right, anterior, superior); None if there is no voxel.
    length_mm : float or None
        Extent along the longest principal axis of the voxels, edge to edge.
    """

    volume_mm3: float
    volume_ml: float
    voxels: int
    bounding_box_mm: tuple[float, float, float] | None
    length_mm: float | None


@dataclass(frozen=True)
class Measures:
    """Sizes of one hippocampus, or of both of a head together.

    Attributes
    ----------
    side : str
        In words.
    sides : dict
        Of a head: for ``left`` and ``right`` the measures of ``anterior``, ``posterior`` and
        ``total``.
    asymmetry_percent : float or None
        Of a head: (L - R) / ((L + R) / 2) of the totals, in per cent.
    share_of_brain_percent : float or None
        Of a head: both hippocampi against the localiser's estimate of the brain's volume.
    """

    anterior: LabelMeasures
    posterior: LabelMeasures
    total: LabelMeasures
    anterior_share_percent: float | None
    voxel_mm3: float
    side: str
    sides: dict[str, dict[str, LabelMeasures]] = field(default_factory=dict)
    asymmetry_percent: float | None = None
    share_of_brain_percent: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it stands in exports and in the API."""
        return asdict(self)


def measure(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> Measures:
    """Measure both labels and the whole hippocampus.

    Parameters
    ----------
    labels
        Shape (X, Y, Z), RAS+.
    affine
        Indices of ``labels`` to mm.
    """
    parts = {name: _measure(labels == value, affine) for name, value in LABELS.items()}
    total = _measure(labels > 0, affine)
    share = 100 * parts["anterior"].voxels / total.voxels if total.voxels else None
    return Measures(
        anterior=parts["anterior"],
        posterior=parts["posterior"],
        total=total,
        anterior_share_percent=share,
        voxel_mm3=float(abs(np.linalg.det(affine[:3, :3]))),
        side=SIDE_ON_A_CROP,
    )


def measure_head(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], head: dict[str, Any]
) -> Measures:
    """Measure both hippocampi of a head.

    Parameters
    ----------
    head
        `core.heads.Head.as_dict`.
    """
    labels, affine = _cut(labels, affine)
    both = measure(labels, affine)
    sides = {}
    for name, part in _halves(labels, affine, head).items():
        one = measure(part, affine)
        sides[name] = {"anterior": one.anterior, "posterior": one.posterior, "total": one.total}
    asymmetry = None
    if len(sides) == len(SIDES) and both.total.volume_mm3:
        left, right = (sides[name]["total"].volume_mm3 for name in SIDES)
        asymmetry = 100 * (left - right) / ((left + right) / 2)
    brain_mm3 = 1000 * head["brain_ml"]
    return replace(
        both,
        side=BOTH_SIDES,
        sides=sides,
        asymmetry_percent=asymmetry,
        share_of_brain_percent=100 * both.total.volume_mm3 / brain_mm3 if brain_mm3 else None,
    )


def assess_head(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], head: dict[str, Any]
) -> list[Finding]:
    """What asks for a look in a head: each side's mask, and how far both can be trusted."""
    labels, affine = _cut(labels, affine)
    findings = []
    for name, part in _halves(labels, affine, head).items():
        for finding in assess(part, measure(part, affine)):
            message = f"{name.capitalize()}: {finding.message}"
            findings.append(Finding(finding.level, finding.code, message))
    if head["confidence"] != "high":
        word = {"check": "Check the masks", "unreliable": "The masks are unreliable"}
        reasons = "; ".join(head["reasons"])
        message = f"{word[head['confidence']]}: {reasons}."
        findings.insert(0, Finding("warning", head["confidence"], message))
    return findings


def _cut(
    labels: NDArray[np.uint8], affine: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of a head that holds its labels, with a voxel around it where there is one."""
    box = box_around(labels)
    return (labels, affine) if box is None else (labels[box], cut_affine(affine, box))


def _halves(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], head: dict[str, Any]
) -> dict[str, NDArray[np.uint8]]:
    """The labels of each side that was found."""
    centres = {name: side["centre_mm"] for name, side in head["sides"].items()}
    where = sides_of(labels.shape, affine, centres)
    return {
        name: np.where(where == number, labels, 0).astype(np.uint8)
        for number, name in enumerate(SIDES, start=1)
        if name in centres
    }


def assess(labels: NDArray[np.uint8], measures: Measures) -> list[Finding]:
    """What about the mask asks for a look before it is used; its codes are `MASK_CODES`."""
    checks = (_missing, _fragments, _implausible, _border)
    return [f for check in checks for f in check(labels, measures)]


def _measure(inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> LabelMeasures:
    count = int(np.count_nonzero(inside))
    volume_mm3 = count * float(abs(np.linalg.det(affine[:3, :3])))
    if not count:
        return LabelMeasures(0.0, 0.0, 0, None, None)
    indices = np.argwhere(inside)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    box = (indices.max(axis=0) - indices.min(axis=0) + 1) * edges
    points_mm = indices @ affine[:3, :3].T
    centred = points_mm - points_mm.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = centred @ axis
    # From voxel centres to edges: one voxel's own extent along that axis.
    length_mm = np.ptp(along) + float(np.abs(axis @ affine[:3, :3]).max())
    return LabelMeasures(
        volume_mm3=volume_mm3,
        volume_ml=volume_mm3 / 1000,
        voxels=count,
        bounding_box_mm=(float(box[0]), float(box[1]), float(box[2])),
        length_mm=float(length_mm),
    )


def _missing(labels: NDArray[np.uint8], measures: Measures) -> list[Finding]:
    if not measures.total.voxels:
        return [Finding(
            "warning", "mask_empty",
            "No hippocampus was found in this image. Is it a T1-weighted crop around one "
            "hippocampus?",
        )]  # fmt: skip
    return [
        Finding(
            "warning", f"{name}_missing",
            f"No {name} part was found. The crop may cut it off.",
        )
        for name, value in LABELS.items()
        if not (labels == value).any()
    ]  # fmt: skip


def _fragments(labels: NDArray[np.uint8], measures: Measures) -> list[Finding]:
    findings = []
    for name, value in LABELS.items():
        pieces, count = ndimage.label(labels == value, structure=_CORNERS)
        sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
        large = int((sizes[1:] > limits.FRAGMENT_SHARE * sizes.sum()).sum()) if count else 0
        if large:
            findings.append(Finding(
                "warning", f"{name}_fragmented",
                f"The {name} mask is in {large + 1} pieces; a hippocampus is one. Look for "
                "the pieces that do not belong.",
            ))  # fmt: skip
    return findings


def _implausible(labels: NDArray[np.uint8], measures: Measures) -> list[Finding]:
    low, high = limits.PLAUSIBLE_TOTAL_MM3
    volume = measures.total.volume_mm3
    if not volume or low <= volume <= high:
        return []
    word = "small" if volume < low else "large"
    return [Finding(
        "warning", f"volume_{word}",
        f"The hippocampus measures {volume:,.0f} mm\N{SUPERSCRIPT THREE}, unusually {word}: "
        f"{low:,.0f} to {high:,.0f} mm\N{SUPERSCRIPT THREE} is expected. Check the mask and "
        "the voxel size.",
    )]  # fmt: skip


def _border(labels: NDArray[np.uint8], measures: Measures) -> list[Finding]:
    inside = labels > 0
    faces = [inside.take(end, axis) for axis in range(3) for end in (0, -1)]
    if not any(face.any() for face in faces):
        return []
    return [Finding(
        "warning", "touches_border",
        "The mask touches the border of the image: part of the hippocampus may lie outside, "
        "and its volume would be too small.",
    )]  # fmt: skip
