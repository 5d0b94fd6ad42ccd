"""How far the masks of a whole head can be trusted, by how they were found and how they are now.

The result of the search (`core.predictor.heads.Head`) never changes; the judgement of a mask is
computed from its labels, so a corrected mask is judged anew.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from core.anatomy import SIDES
from core.image import contrast
from core.limits import HEAD_CHECK, HEAD_UNRELIABLE, HeadLimits
from core.measures.expected import doubt
from core.predictor.heads import Confidence, fingerprint
from core.predictor.signals import WHOLE

_MISFIT = "it does not look like a head that lies as its header says"


@dataclass(frozen=True)
class Judgement:
    """How far the masks of a head can be trusted, and why not further.

    Attributes
    ----------
    confidence : str
        ``high``, ``check`` or ``unreliable``.
    reasons : tuple of str
        The gravest first.
    """

    confidence: Confidence
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Mask:
    """One side of a head as it is now; one that was hardly changed does not count as drawn."""

    volume_mm3: float
    centre_mm: NDArray[np.float64]
    is_drawn: bool


def judge(
    parts: dict[str, NDArray[np.uint8]],
    affine: NDArray[np.float64],
    head: dict[str, Any],
    flaws: Sequence[str],
    hardly_changed: Collection[str] = (),
) -> Judgement:
    """How far the masks can be trusted, and why not further.

    Parameters
    ----------
    parts
        `halves` of the labels as they are now.
    head
        `core.predictor.heads.Head.as_dict`, also of an earlier version.
    flaws
        Flaws of the image and of the masks' shapes, each of which asks for a look.
    hardly_changed
        Sides whose drawn mask is nearly the model's own (`core.limits.HARDLY_CHANGED_DICE`): what
        the model doubted of its mask is doubted of this one.
    """
    masks = {
        name: _mask(part, affine, head["sides"].get(name), is_kept=name in hardly_changed)
        for name, part in parts.items()
    }
    scale = head.get("scale", 1.0)  # what is small in a small head is not small
    check = list(flaws)
    bad = [f"no {name} hippocampus was found" for name in SIDES if name not in masks]
    for reasons, limits in ((bad, HEAD_UNRELIABLE), (check, HEAD_CHECK)):
        doubts = [
            *_of_search(head, limits),
            *(
                words
                for name in masks
                for words in _of_side(name, masks[name], head, limits, scale)
            ),
            *_of_both(masks, limits, scale),
        ]
        reasons += [words for words in doubts if words not in bad]
    confidence: Confidence = "unreliable" if bad else "check" if check else "high"
    return Judgement(confidence, tuple(dict.fromkeys((*bad, *check))))


def _mask(
    part: NDArray[np.uint8], affine: NDArray[np.float64], side: dict[str, Any] | None,
    *, is_kept: bool,
) -> _Mask:  # fmt: skip
    """One side; ``side`` is None where none was found, and somebody drew one."""
    voxels = np.argwhere(part)
    volume_mm3 = len(voxels) * float(abs(np.linalg.det(affine[:3, :3])))
    is_drawn = side is None or not (is_kept or fingerprint(part) == side.get("model_mask"))
    # The model's own mask lies where the crop was laid, which the limits were set on.
    centre_mm = (
        side["centre_mm"]
        if side is not None and not (is_drawn and len(voxels))
        else apply_affine(affine, voxels.mean(0))
    )
    return _Mask(volume_mm3, np.asarray(centre_mm, np.float64), is_drawn)


def _of_search(head: dict[str, Any], limits: HeadLimits) -> list[str]:
    """Doubts about the head itself, which hold for any mask: its left and right may be wrong."""
    is_other = [] if head.get("is_t1", True) else [contrast.CONTRAST_WORDS]
    if "off_mm" not in head:  # of an earlier version
        return [reason for reason in head["reasons"] if reason == _MISFIT] + is_other
    off_mm = np.inf if head["off_mm"] is None else head["off_mm"]
    return [_MISFIT] * (off_mm > limits.most_off_mm) + is_other


def _of_side(
    name: str, mask: _Mask, head: dict[str, Any], limits: HeadLimits, scale: float
) -> list[str]:
    checks = []
    if not mask.is_drawn:  # what the model doubted was its own mask
        side = head["sides"][name]
        moved_mm = float(np.linalg.norm(np.array(side["centre_mm"]) - side["found_mm"]))
        checks = [
            (not side["pointed"] and side["peak"] < limits.least_peak,
             f"the {name} hippocampus was hard to find"),
            (moved_mm > limits.most_moved_mm,
             f"the {name} mask lies {moved_mm:.0f} mm from where it was looked for"),
            (side["agreement"] < limits.least_agreement,
             f"two looks at the {name} hippocampus agree to {side['agreement']:.2f} (Dice) only"),
        ]  # fmt: skip
        checks += _of_expectation(name, side, limits)
    checks.append(
        (
            not limits.least_mm3 <= mask.volume_mm3 / scale**3 <= limits.most_mm3,
            f"the {name} hippocampus measures {mask.volume_mm3:,.0f} mm\N{SUPERSCRIPT THREE}",
        )
    )
    return [words for is_so, words in checks if is_so]


def _of_expectation(name: str, side: dict[str, Any], limits: HeadLimits) -> list[tuple[bool, str]]:
    expected = side.get("expected")  # not of a version that is not calibrated
    doubted = expected and doubt(expected["dice"][WHOLE], f"the {name} mask")
    if not doubted:
        return []
    level, reason = doubted
    return [(level == "unreliable" or limits is HEAD_CHECK, reason)]


def _of_both(masks: dict[str, _Mask], limits: HeadLimits, scale: float) -> list[str]:
    if len(masks) < len(SIDES):
        return []
    left, right = (masks[name] for name in SIDES)
    mean = (left.volume_mm3 + right.volume_mm3) / 2
    ratio = abs(left.volume_mm3 - right.volume_mm3) / mean if mean else 2.0
    apart_mm = float(np.linalg.norm(right.centre_mm - left.centre_mm))
    checks = [
        (ratio > limits.most_asymmetry, f"the sides differ by {100 * ratio:.0f} %"),
        (not limits.least_apart_mm <= apart_mm / scale <= limits.most_apart_mm,
         f"the two lie {apart_mm:.0f} mm apart"),
    ]  # fmt: skip
    return [words for is_so, words in checks if is_so]
