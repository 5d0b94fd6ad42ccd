"""The gate: whether a version may serve in the place of another, by the figures of both.

It reads and writes nothing. A version that passes is not shown to be better: it is shown not to be
worse by more than the margins (decision 0029).
"""

from collections.abc import Iterator
from typing import Any

from core.anatomy import LABELS
from core.models.registry import Version
from core.predictor.calibrate import SMALLEST_AGREEMENT, SMALLEST_AGREEMENT_OF_A_CASE
from core.state.fields import check_shape
from core.training.evaluation.gate_crops import crop_checks
from core.training.evaluation.gate_heads import head_checks
from core.training.evaluation.latency import FORMAT
from core.training.evaluation.verdict import Check, Margins, Verdict, too_few
from core.wording import counted

LATENCY = "latency"
_FOREGROUND = {key: {"dice": float, "worst": float} for key in LABELS}
_LATENCY = {"against_sha256": str, "cases": int, "ratio": float}


def judge(before: Version, after: Version, margins: Margins) -> Verdict:
    """Judge a version against the one in service.

    Parameters
    ----------
    before
        In service.
    after
        To be put into service.
    margins
    """
    checks = (
        *crop_checks(before, after, margins),
        *head_checks(before, after, margins),
        _int8(after.card),
        *_latency(before, after, margins),
    )
    return Verdict(before.number, after.number, checks)


def _int8(card: dict[str, Any]) -> Check:
    """The proof that int8 costs nothing, on the hippocampus alone: 95 % of a crop is background."""
    key, name = "int8", "int8 against float32"
    proof = card.get("int8")
    if proof is None:
        return Check(key, name, "passed", "it serves in float32, which needs no proof")
    try:
        check_shape(proof, {"foreground": _FOREGROUND})
    except ValueError:
        words = "its card does not prove it on the hippocampus, only on all voxels"
        return Check(key, name, "failed", words)
    foreground = proof["foreground"]
    proven = all(
        of_label["dice"] >= SMALLEST_AGREEMENT and of_label["worst"] >= SMALLEST_AGREEMENT_OF_A_CASE
        for of_label in (foreground[label] for label in LABELS)
    )
    figures = ", ".join(
        f"{label} {foreground[label]['dice']:.4f} (worst case {foreground[label]['worst']:.4f})"
        for label in LABELS
    )
    words = (
        f"Dice of the two masks: {figures}; needed {SMALLEST_AGREEMENT:g} "
        f"({SMALLEST_AGREEMENT_OF_A_CASE:g})"
    )
    return Check(key, name, "passed" if proven else "failed", words)


def _latency(before: Version, after: Version, margins: Margins) -> Iterator[Check]:
    key, name = LATENCY, "Time a scan"
    measured = after.evaluations.get(LATENCY)
    try:
        check_shape(measured, _LATENCY)
    except ValueError:
        yield Check(key, name, "not judged", "it was not measured")
        return
    if measured is None or measured["against_sha256"] != before.sha256:
        yield Check(key, name, "not judged", "it was measured against another version")
        return
    if measured.get("format") != FORMAT:
        yield Check(key, name, "not judged", "an earlier program measured it: test it again")
        return
    words = (
        f"{measured['ratio']:.2f} times that of version {before.number}, over "
        f"{counted(measured['cases'], 'scan')}; at most {margins.times:g}"
    )
    own, other = measured.get("precision"), measured.get("against_precision")
    if own != other:
        words += f". It computes in {own}, version {before.number} in {other}"
    if measured["ratio"] > margins.times:
        yield Check(key, name, "failed", words)
    elif measured["cases"] < margins.timed:
        few = too_few(measured["cases"], margins.timed, "scan")
        yield Check(key, name, "not judged", few)
    else:
        yield Check(key, name, "passed", words)
