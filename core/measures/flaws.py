"""Flaws of a mask that ask for a second look, each with advice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core import limits
from core.anatomy import LABELS
from core.findings import Finding
from core.measures.sizes import Measures

# Why a volume comes out too small, as codes of findings: the image ends within the hippocampus, or
# its voxels are too coarse for the model.
CUT, COARSE = "touches_border", "coarse"
_26_NEIGHBOURS = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Flaw:
    """A flaw of a mask: the judgement names the fact alone, the finding adds advice."""

    code: str
    fact: str
    advice: str

    def finding(self) -> Finding:
        """The finding that pages and exports show."""
        return Finding("warning", self.code, f"{self.fact[0].upper()}{self.fact[1:]}{self.advice}")


def flaws_of_mask(
    labels: NDArray[np.uint8], measures: Measures, whose: str, size: float
) -> list[Flaw]:
    """Flaws of the mask of one hippocampus, called ``whose``.

    Parameters
    ----------
    size
        Of the head against an adult's, in length.
    """
    if not measures.total.voxels:
        fact = f"the {whose} measures 0 mm\N{SUPERSCRIPT THREE}"
        return [*_too_small(measures, whose), Flaw("mask_empty", fact, ": its mask is empty.")]
    return [
        *_too_small(measures, whose),
        *_missing(labels, whose),
        *_fragments(labels, whose),
        *_implausible(measures, whose, size),
    ]


def _too_small(measures: Measures, whose: str) -> list[Flaw]:
    words = measures.too_small.get("total", {})
    flaws = []
    if CUT in words:
        flaws.append(Flaw(
            CUT, words[CUT].replace(" it ", f" the {whose} "),
            ": what lies outside is not measured, and the volume comes out too small.",
        ))  # fmt: skip
    if COARSE in words:
        flaws.append(Flaw(
            COARSE, f"{words[COARSE]}: volumes come out too small", ", in some scans by more than "
            "10 %.",
        ))  # fmt: skip
    return flaws


def _missing(labels: NDArray[np.uint8], whose: str) -> list[Flaw]:
    return [
        Flaw(
            f"{name}_missing", f"no {name} part of the {whose} was found",
            ". The image may end before it.",
        )
        for name, value in LABELS.items()
        if not (labels == value).any()
    ]  # fmt: skip


def _fragments(labels: NDArray[np.uint8], whose: str) -> list[Flaw]:
    flaws = []
    for name, value in LABELS.items():
        pieces, count = ndimage.label(labels == value, structure=_26_NEIGHBOURS)
        sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
        large = int((sizes[1:] > limits.FRAGMENT_SHARE * sizes.sum()).sum()) if count else 0
        if large:
            flaws.append(Flaw(
                f"{name}_fragmented", f"the {name} part of the {whose} is in {large + 1} pieces",
                ", and should be one. Look for the pieces that do not belong.",
            ))  # fmt: skip
    return flaws


def _implausible(measures: Measures, whose: str, size: float) -> list[Flaw]:
    """Compare volume and length with what is plausible in a head of this size."""
    flaws = []
    volume_mm3 = measures.total.volume_mm3
    low, high = (mm3 * size**3 for mm3 in limits.PLAUSIBLE_TOTAL_MM3)
    if not low <= volume_mm3 <= high:
        word = "small" if volume_mm3 < low else "large"
        flaws.append(Flaw(
            f"volume_{word}", f"the {whose} measures {volume_mm3:,.0f} mm\N{SUPERSCRIPT THREE}",
            f", unusually {word}: {low:,.0f} to {high:,.0f} "
            "mm\N{SUPERSCRIPT THREE} is expected. Check the mask and the voxel size.",
        ))  # fmt: skip
    length_mm = measures.total.length_mm or 0.0
    low, high = (mm * size for mm in limits.PLAUSIBLE_LENGTH_MM)
    if not low <= length_mm <= high:
        word = "short" if length_mm < low else "long"
        flaws.append(Flaw(
            f"length_{word}", f"the {whose} is {length_mm:.0f} mm long",
            f", unusually {word}: {low:.0f} to {high:.0f} mm is expected. "
            "Check the mask and the voxel size.",
        ))  # fmt: skip
    return flaws
