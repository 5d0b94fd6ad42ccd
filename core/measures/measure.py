"""Volumes and sizes of a segmentation, and findings about its mask."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from core import limits
from core.anatomy import LABELS, SIDES
from core.findings import Finding
from core.image.volume import box_around, cut_affine
from core.measures.edges import FACES, Extent, cut_faces, faces_looked_beyond, shifted, whole
from core.measures.trust import Judgement, judge
from core.predictor.heads import halves

SIDE_ON_A_CROP = "side unknown on a crop"
BOTH_SIDES = "left and right together"
# Why a volume comes out too small, as codes of findings: the image ends within the hippocampus, or
# its voxels are too coarse for the model.
CUT, COARSE, ONE_SIDE = "touches_border", "coarse", "one_side"
# Findings about a mask; all others are about the scan and hold for every mask of it.
MASK_CODES = frozenset((
    "mask_empty", "volume_small", "volume_large", "length_short", "length_long", CUT, COARSE,
    "check", "unreliable",
    *(f"{name}_{what}" for name in LABELS for what in ("missing", "fragmented")),
))  # fmt: skip
_ALONG = ("from left to right", "from behind to front", "from below to above")
# By the code of a finding.
Words = dict[str, str]
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
        Extent of the voxels along their longest principal axis, corner to corner.
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
        Of a head with both hippocampi: their share of the localiser's estimate of the brain's
        volume.
    too_small : dict
        Why volumes come out too small: for ``left`` and ``right`` of a head, and for ``total``,
        words by reason (`CUT`, `COARSE` or `ONE_SIDE`). Empty where no reason is known.
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
    too_small: dict[str, Words] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in exports and in the API."""
        return asdict(self)


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
    parts = {name: _measure(labels == value, affine) for name, value in LABELS.items()}
    total = _measure(labels > 0, affine)
    share = 100 * parts["anterior"].voxels / total.voxels if total.voxels else None
    flaws = _flaws(labels > 0, affine, extent or whole(labels.shape), window, is_crop)
    return Measures(
        anterior=parts["anterior"],
        posterior=parts["posterior"],
        total=total,
        anterior_share_percent=share,
        voxel_mm3=float(abs(np.linalg.det(affine[:3, :3]))),
        side=SIDE_ON_A_CROP,
        too_small={"total": flaws} if flaws else {},
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
    """

    measures: Measures
    judgement: Judgement
    findings: tuple[Finding, ...]


def appraise_head(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    head: dict[str, Any],
    extent: Extent | None = None,
) -> Appraisal:
    """Measure both hippocampi of a head and judge them, as they are now.

    Parameters
    ----------
    labels, affine, extent
        As for `measure`.
    head
        `core.predictor.heads.Head.as_dict`; its ``confidence`` is not read.
    """
    extent = extent or whole(labels.shape)
    box = box_around(labels)
    if box is not None:
        labels, affine, extent = labels[box], cut_affine(affine, box), shifted(extent, box)
    parts = halves(labels, affine, head)
    of_sides = {
        name: measure(part, affine, extent, head["sides"].get(name, {}).get("box"), is_crop=False)
        for name, part in parts.items()
    }
    too_small = {n: m.too_small["total"] for n, m in of_sides.items() if m.too_small}
    scale = head.get("scale", 1.0)
    # What holds for both sides, such as coarse voxels, is reported once.
    flaws = list(dict.fromkeys(
        flaw
        for name, part in parts.items()
        for flaw in _flaws_of_mask(part, of_sides[name], f"{name} hippocampus", scale)
    ))  # fmt: skip
    judgement = judge(parts, affine, head, [flaw.fact for flaw in flaws])
    findings = [*_of_judgement(judgement), *(flaw.finding() for flaw in flaws)]
    both = measure(labels, affine, extent, is_crop=False)
    return Appraisal(_of_head(both, of_sides, head, too_small), judgement, tuple(findings))


def measure_head(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    head: dict[str, Any],
    extent: Extent | None = None,
) -> Measures:
    """The measures of `appraise_head`."""
    return appraise_head(labels, affine, head, extent).measures


def assess_head(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    head: dict[str, Any],
    extent: Extent | None = None,
) -> list[Finding]:
    """The findings of `appraise_head`."""
    return list(appraise_head(labels, affine, head, extent).findings)


def assess(labels: NDArray[np.uint8], measures: Measures) -> list[Finding]:
    """Findings about the mask of a crop; their codes are among `MASK_CODES`."""
    if not measures.total.voxels:
        return [Finding(
            "warning", "mask_empty",
            "No hippocampus was found in this image. Is it a T1-weighted crop around one "
            "hippocampus?",
        )]  # fmt: skip
    return [flaw.finding() for flaw in _flaws_of_mask(labels, measures, "hippocampus", 1.0)]


@dataclass(frozen=True)
class _Flaw:
    """A flaw of a mask: the judgement names the fact alone, the finding adds advice."""

    code: str
    fact: str
    advice: str

    def finding(self) -> Finding:
        return Finding("warning", self.code, f"{self.fact[0].upper()}{self.fact[1:]}{self.advice}")


def _flaws_of_mask(
    labels: NDArray[np.uint8], measures: Measures, whose: str, scale: float
) -> list[_Flaw]:
    """Flaws of the mask of one hippocampus, called ``whose``, in a head of this scale."""
    if not measures.total.voxels:
        fact = f"the {whose} measures 0 mm\N{SUPERSCRIPT THREE}"
        return [*_too_small(measures, whose), _Flaw("mask_empty", fact, ": its mask is empty.")]
    return [
        *_too_small(measures, whose),
        *_missing(labels, whose),
        *_fragments(labels, whose),
        *_implausible(measures, whose, scale),
    ]


def _too_small(measures: Measures, whose: str) -> list[_Flaw]:
    words = measures.too_small.get("total", {})
    flaws = []
    if CUT in words:
        flaws.append(_Flaw(
            CUT, words[CUT].replace(" it ", f" the {whose} "),
            ": what lies outside is not measured, and the volume comes out too small.",
        ))  # fmt: skip
    if COARSE in words:
        flaws.append(_Flaw(
            COARSE, f"{words[COARSE]}: volumes come out too small", ", in some scans by more than "
            "10 %.",
        ))  # fmt: skip
    return flaws


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


def _flaws(
    inside: NDArray[np.bool_],
    affine: NDArray[np.float64],
    extent: Extent,
    window: dict[str, Any] | None,
    is_crop: bool,
) -> Words:
    """Why the volume of a mask comes out too small."""
    flaws = {}
    faces = set(cut_faces(inside, affine, extent))
    if window:
        faces |= set(faces_looked_beyond(window, affine, extent))
    if faces:
        names = (name for pair in FACES for name in pair if name in faces)
        flaws[CUT] = f"the image ends within it ({', '.join(names)})"
    coarse = [
        f"voxels of {mm:.1f} mm {along}"
        for mm, most_mm, along in zip(voxel_sizes(affine), limits.COARSE_MM, _ALONG, strict=True)
        if mm > most_mm
    ]
    if is_crop and not coarse and np.prod(voxel_sizes(affine)) > limits.COARSE_CROP_MM3:
        coarse = [f"voxels of {' x '.join(f'{mm:.1f}' for mm in voxel_sizes(affine))} mm"]
    if coarse:
        flaws[COARSE] = ", ".join(coarse)
    return flaws


def _of_head(
    both: Measures, of_sides: dict[str, Measures], head: dict[str, Any], too_small: dict[str, Words]
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
    brain_mm3 = 1000 * head["brain_ml"] if has_both else 0.0
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
    # Voxels are boxes, not points: one with edges e has a scatter of e e^T / 12 itself.
    scatter = centred.T @ centred + count * affine[:3, :3] @ affine[:3, :3].T / 12
    axis = np.linalg.eigh(scatter)[1][:, -1]
    # From voxel centres to corners: the extent of one voxel along that axis.
    length_mm = np.ptp(centred @ axis) + float(np.abs(axis @ affine[:3, :3]).sum())
    return LabelMeasures(
        volume_mm3=volume_mm3,
        volume_ml=volume_mm3 / 1000,
        voxels=count,
        bounding_box_mm=(float(box[0]), float(box[1]), float(box[2])),
        length_mm=float(length_mm),
    )


def _missing(labels: NDArray[np.uint8], whose: str) -> list[_Flaw]:
    return [
        _Flaw(
            f"{name}_missing", f"no {name} part of the {whose} was found",
            ". The image may end before it.",
        )
        for name, value in LABELS.items()
        if not (labels == value).any()
    ]  # fmt: skip


def _fragments(labels: NDArray[np.uint8], whose: str) -> list[_Flaw]:
    flaws = []
    for name, value in LABELS.items():
        pieces, count = ndimage.label(labels == value, structure=_CORNERS)
        sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
        large = int((sizes[1:] > limits.FRAGMENT_SHARE * sizes.sum()).sum()) if count else 0
        if large:
            flaws.append(_Flaw(
                f"{name}_fragmented", f"the {name} part of the {whose} is in {large + 1} pieces",
                ", and should be one. Look for the pieces that do not belong.",
            ))  # fmt: skip
    return flaws


def _implausible(measures: Measures, whose: str, scale: float) -> list[_Flaw]:
    """Compare volume and length with what is plausible in a head of this scale."""
    flaws = []
    volume_mm3 = measures.total.volume_mm3
    low, high = limits.PLAUSIBLE_TOTAL_MM3
    if not low <= volume_mm3 / scale**3 <= high:
        word = "small" if volume_mm3 / scale**3 < low else "large"
        flaws.append(_Flaw(
            f"volume_{word}", f"the {whose} measures {volume_mm3:,.0f} mm\N{SUPERSCRIPT THREE}",
            f", unusually {word}: {low * scale**3:,.0f} to {high * scale**3:,.0f} "
            "mm\N{SUPERSCRIPT THREE} is expected. Check the mask and the voxel size.",
        ))  # fmt: skip
    length_mm = measures.total.length_mm or 0.0
    low, high = limits.PLAUSIBLE_LENGTH_MM
    if not low <= length_mm / scale <= high:
        word = "short" if length_mm / scale < low else "long"
        flaws.append(_Flaw(
            f"length_{word}", f"the {whose} is {length_mm:.0f} mm long",
            f", unusually {word}: {low * scale:.0f} to {high * scale:.0f} mm is expected. "
            "Check the mask and the voxel size.",
        ))  # fmt: skip
    return flaws
