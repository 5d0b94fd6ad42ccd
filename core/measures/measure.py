"""Volumes and sizes of a segmentation, and findings about its mask."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS, SIDES
from core.findings import Finding
from core.image.contrast import brain_seen
from core.image.volume import box_around, cut_affine
from core.measures.edges import FACES, Extent, cut_faces, faces_looked_beyond, shifted, whole
from core.measures.expected import Expected, findings_of_crop, with_intervals
from core.measures.expected import of_sides as expected_of_sides
from core.measures.flaws import COARSE, CUT, flaws_of_mask
from core.measures.sizes import Measures, Words, size_of
from core.measures.trust import Judgement, judge
from core.predictor.heads import halves

SIDE_ON_A_CROP = "side unknown on a crop"
BOTH_SIDES = "left and right together"
# Why the total of a head is no measure of two hippocampi; beside `CUT` and `COARSE`.
ONE_SIDE = "one_side"
# Code of the finding about a head whose image shows less than all of its brain.
BRAIN_CUT = "brain_cut"
# Findings about a mask; all others are about the scan and hold for every mask of it.
MASK_CODES = frozenset((
    "mask_empty", "volume_small", "volume_large", "length_short", "length_long", CUT, COARSE,
    "check", "unreliable", BRAIN_CUT,
    *(f"{name}_{what}" for name in LABELS for what in ("missing", "fragmented")),
))  # fmt: skip
_ALONG = ("from left to right", "from behind to front", "from below to above")


def measure(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    extent: Extent | None = None,
    window: dict[str, Any] | None = None,
    *,
    is_crop: bool = True,
) -> Measures:
    """Measure both labels and the whole hippocampus.

    Parameters
    ----------
    labels
        Shape (X, Y, Z), RAS+.
    affine
        Indices of ``labels`` to mm.
    extent
        `core.measures.edges.content_extent` of the image; by default the whole image.
    window
        The crop of one side of a head that the network was shown; see
        `core.measures.edges.faces_looked_beyond`.
    is_crop
        Whether the image is a crop, shown to the network as it is.
    """
    parts = {name: size_of(labels == value, affine) for name, value in LABELS.items()}
    total = size_of(labels > 0, affine)
    share = 100 * parts["anterior"].voxels / total.voxels if total.voxels else None
    remarks = _remarks(labels > 0, affine, extent or whole(labels.shape), window, is_crop)
    return Measures(
        anterior=parts["anterior"],
        posterior=parts["posterior"],
        total=total,
        anterior_share_percent=share,
        voxel_mm3=float(abs(np.linalg.det(affine[:3, :3]))),
        side=SIDE_ON_A_CROP,
        too_small={"total": remarks} if remarks else {},
    )


@dataclass(frozen=True)
class Appraisal:
    """Measures of a head's labels, with a judgement of how far they can be trusted.

    Attributes
    ----------
    measures : Measures
    judgement : Judgement
    findings : tuple of Finding
        The judgement first, then those of each side's mask.
    expected : dict of str to dict
        `core.measures.expected.of_sides`.
    """

    measures: Measures
    judgement: Judgement
    findings: tuple[Finding, ...]
    expected: Expected


def appraise_head(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    head: dict[str, Any],
    extent: Extent | None = None,
    hardly_changed: Collection[str] = (),
) -> Appraisal:
    """Measure both hippocampi of a head and judge them, as they are now.

    Parameters
    ----------
    labels, affine, extent
        As for `measure`.
    head
        `core.predictor.heads.Head.as_dict`; its ``confidence`` is not read.
    hardly_changed
        See `core.measures.trust.judge`.
    """
    extent = extent or whole(labels.shape)
    frame = head.get("frame")  # not of a case that was kept before it was
    is_brain_cut = (
        frame is not None and brain_seen(np.array(frame), affine, extent) < limits.LEAST_BRAIN_SEEN
    )
    box = box_around(labels)
    if box is not None:
        labels, affine, extent = labels[box], cut_affine(affine, box), shifted(extent, box)
    parts = halves(labels, affine, head)
    of_sides = {
        name: measure(part, affine, extent, head["sides"].get(name, {}).get("box"), is_crop=False)
        for name, part in parts.items()
    }
    too_small = {n: m.too_small["total"] for n, m in of_sides.items() if m.too_small}
    size = head.get("scale", limits.ADULT_SCALE) / limits.ADULT_SCALE
    # What holds for both sides, such as coarse voxels, is reported once.
    flaws = list(dict.fromkeys(
        flaw
        for name, part in parts.items()
        for flaw in flaws_of_mask(part, of_sides[name], f"{name} hippocampus", size)
    ))  # fmt: skip
    judgement = judge(parts, affine, head, [flaw.fact for flaw in flaws], hardly_changed)
    findings = [*_of_judgement(judgement), *(flaw.finding() for flaw in flaws)]
    both = measure(labels, affine, extent, is_crop=False)
    brain_ml = head["brain_ml"]
    if is_brain_cut:
        brain_ml = 0.0
        findings.append(Finding(
            "note", BRAIN_CUT,
            "The image ends within the brain: the hippocampi's share of it is not computed.",
        ))  # fmt: skip
    expected = expected_of_sides(head, parts)
    measures = with_intervals(_of_head(both, of_sides, brain_ml, too_small), expected)
    return Appraisal(measures, judgement, tuple(findings), expected)


def assess(
    labels: NDArray[np.uint8], measures: Measures, expected: Expected | None = None
) -> list[Finding]:
    """Findings about the mask of a crop; their codes are among `MASK_CODES`.

    Parameters
    ----------
    expected
        What is expected of the mask, if it is the model's own.
    """
    if not measures.total.voxels:
        return [Finding(
            "warning", "mask_empty",
            "No hippocampus was found in this image. Is it a T1-weighted crop around one "
            "hippocampus?",
        )]  # fmt: skip
    flaws = flaws_of_mask(labels, measures, "hippocampus", 1.0)
    return [*findings_of_crop(expected or {}), *(flaw.finding() for flaw in flaws)]


# For volumes that an earlier version measured.
NOT_LOOKED_AT = (
    "not checked: an older HippoView measured it, which did not look whether the image ends "
    "within the hippocampus"
)


def why_too_small(measures: dict[str, Any], whose: str = "total") -> str:
    """Why a volume is too small, in words for a table; empty where no reason is known.

    Parameters
    ----------
    measures
        `Measures.as_dict`, also of an earlier version, which did not check this.
    whose
        ``left`` or ``right`` of a head; ``total``.
    """
    if "too_small" not in measures:
        return NOT_LOOKED_AT
    words = measures["too_small"].get(whose, {}).values()
    return f"too small: {'; '.join(words)}" if words else ""


def why_scan_too_small(measures: dict[str, Any]) -> str:
    """As `why_too_small` of the total, for reasons of the scan alone: its end and its voxels."""
    words = measures.get("too_small", {}).get("total", {})
    return "; ".join(words[code] for code in (CUT, COARSE) if code in words)


def _remarks(
    inside: NDArray[np.bool_],
    affine: NDArray[np.float64],
    extent: Extent,
    window: dict[str, Any] | None,
    is_crop: bool,
) -> Words:
    """Why the volume of a mask comes out too small."""
    remarks = {}
    faces = set(cut_faces(inside, affine, extent))
    if window:
        faces |= set(faces_looked_beyond(window, affine, extent))
    if faces:
        names = (name for pair in FACES for name in pair if name in faces)
        remarks[CUT] = f"the image ends within it ({', '.join(names)})"
    coarse = [
        f"voxels of {mm:.1f} mm {along}"
        for mm, most_mm, along in zip(voxel_sizes(affine), limits.COARSE_MM, _ALONG, strict=True)
        if mm > most_mm
    ]
    if is_crop and not coarse and np.prod(voxel_sizes(affine)) > limits.COARSE_CROP_MM3:
        coarse = [f"voxels of {' x '.join(f'{mm:.1f}' for mm in voxel_sizes(affine))} mm"]
    if coarse:
        remarks[COARSE] = ", ".join(coarse)
    return remarks


def _of_head(
    both: Measures, of_sides: dict[str, Measures], brain_ml: float, too_small: dict[str, Words]
) -> Measures:
    sides = {
        name: {"anterior": side.anterior, "posterior": side.posterior, "total": side.total}
        for name, side in of_sides.items()
    }
    # A side may have no voxel: segmented in vain, or erased.
    there = [name for name, side in of_sides.items() if side.total.voxels]
    has_both = len(there) == len(SIDES)
    asymmetry = None
    if has_both:
        left, right = (sides[name]["total"].volume_mm3 for name in SIDES)
        asymmetry = 100 * (left - right) / ((left + right) / 2)
    alone = there[0] if len(there) == 1 else ""
    if too_small or alone:
        missing = next(name for name in SIDES if name != alone)
        total: Words = {ONE_SIDE: f"{alone} hippocampus only, no {missing} one"} if alone else {}
        for name, flaws in too_small.items():
            if CUT in flaws:
                before = f"{total[CUT]}, " if CUT in total else ""
                total[CUT] = f"{before}{name}: {flaws[CUT]}"
            if COARSE in flaws:
                total[COARSE] = flaws[COARSE]
        too_small = too_small | {"total": total}
    # One hippocampus is not to be read as the share of two.
    brain_mm3 = 1000 * brain_ml if has_both else 0.0
    return replace(
        both,
        side=f"{alone} hippocampus only" if alone else BOTH_SIDES,
        sides=sides,
        asymmetry_percent=asymmetry,
        share_of_brain_percent=100 * both.total.volume_mm3 / brain_mm3 if brain_mm3 else None,
        too_small=too_small,
    )


def _of_judgement(judgement: Judgement) -> list[Finding]:
    if judgement.confidence == "high":
        return []
    words = {"check": "Check the masks", "unreliable": "The masks are unreliable"}
    message = f"{words[judgement.confidence]}: {'; '.join(judgement.reasons)}."
    return [Finding("warning", judgement.confidence, message)]
