"""The gate's checks on crops: two versions on the same frozen cases."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from core import limits
from core.anatomy import LABELS
from core.models.registry import Version
from core.state.fields import check_shape
from core.training.evaluation.statistics import differing, failures
from core.training.evaluation.verdict import (
    Check,
    Loss,
    Margins,
    State,
    collapse,
    own_words,
    too_few,
)
from core.wording import counted

Figures = dict[str, Any]
# A case's figures with the old and the new version.
Pair = tuple[Figures, Figures]
_OF_A_LABEL = {"dice": float, "hd95_mm": (float,), "volume_mm3": float, "truth_mm3": float}
_SHAPE = {
    "dataset": str,
    "test_key": str,
    "seen_in_training": bool,
    "dice": {key: {"mean": float} for key in LABELS},
    "cases": [
        {
            "case": str,
            "files?": str,
            "seen?": bool,
            "patient?": str,
            **dict.fromkeys(LABELS, _OF_A_LABEL),
        }
    ],
}


def crop_checks(before: Version, after: Version, margins: Margins) -> Iterator[Check]:
    """The checks on crops, for each data set that both were tested on."""
    common = common_figures(before, after)
    if not common:
        words = "the two were not tested on the same frozen cases"
        yield Check("crops/none/dice", "Dice", "not judged", words)
    for old, new in common:
        yield from _checks(old, new, margins)


def common_figures(before: Version, after: Version) -> list[Pair]:
    """Evaluations on the same frozen crops, computed alike: of each data set the newest.

    The newest of all comes first.
    """
    newest: dict[str, Pair] = {}
    for key, new in reversed(after.evaluations.items()):
        old = before.evaluations.get(key)
        if old is None or not is_of_crops(old) or not is_of_crops(new) or differing(old, new):
            continue
        if old.get("options") == new.get("options"):  # mirroring alone changes the Dice
            newest.setdefault(new["dataset"], (old, new))
    return list(newest.values())


def is_of_crops(figures: Figures) -> bool:
    """Whether these are figures of crops. `models add` takes them from any file."""
    try:
        check_shape(figures, _SHAPE)
    except ValueError:
        return False
    return "kind" not in figures and "/" not in figures["dataset"]


def _checks(before: Figures, after: Figures, margins: Margins) -> Iterator[Check]:
    old = {case["case"]: case for case in before["cases"]}
    new = {case["case"]: case for case in after["cases"]}
    pairs = [(old[name], new[name]) for name in sorted(new)]
    unknown = [pair for pair in pairs if not flatters(*pair)]
    fair = [pair for pair in unknown if not _is_own(*pair)]
    patients, one = _by_patient(fair)
    dataset = after["dataset"]

    def check(what: str, name: str, state: State, words: str) -> Check:
        if state == "passed" and len(patients) < margins.patients:
            state, words = "not judged", too_few(len(patients), margins.patients, one)
        return Check(f"crops/{dataset}/{what}", f"{name}, {dataset}", state, words)

    remark = _seen_words(pairs, one) + own_words(len(unknown) - len(fair), "case")
    for label in LABELS:
        changes = [_mean([b[label]["dice"] - a[label]["dice"] for a, b in own]) for own in patients]
        loss = Loss.of(changes, margins.dice, margins.patients, one)
        yield check(f"dice/{label}", f"Dice {label}", loss.state, loss.words + remark)
    falls = [
        max((a[label]["dice"] - b[label]["dice"], f"{b['case']} {label}") for label in LABELS)
        for a, b in pairs
        if not _is_own(a, b)
    ]
    yield check("collapse", "No case collapses", *collapse(falls, margins.collapse, "case"))
    yield check("failed", "Masks that lack a label", *_failed(before, after))
    for label in LABELS:
        distances = [(a[label]["hd95_mm"], b[label]["hd95_mm"]) for a, b in fair]
        yield check(f"hd95/{label}", f"HD95 {label}", *_hd95(distances, margins.hd95_mm))


def flatters(old: Figures, new: Figures) -> bool:
    """Whether only the new version saw a case's patient in training.

    Where it is not known, the one that it would flatter is the new version.
    """
    return bool(new.get("seen", True)) and not old.get("seen", False)


def _is_own(old: Figures, new: Figures) -> bool:
    """Whether a case's reference is the mask that one of the two versions makes of it."""
    return any(
        all(case[label]["dice"] >= limits.GATE_OWN_DICE for label in LABELS) for case in (old, new)
    )


def _by_patient(pairs: Sequence[Pair]) -> tuple[list[list[Pair]], str]:
    """The cases of each patient, and what they are: ``patient``.

    Evaluations of earlier versions name no patients: where neither does, each case is alone.
    """
    names = [new.get("patient") or old.get("patient") for old, new in pairs]
    if not all(names):
        return [[pair] for pair in pairs], "case"
    groups: dict[str, list[Pair]] = {}
    for name, pair in zip(names, pairs, strict=True):
        groups.setdefault(str(name), []).append(pair)
    return list(groups.values()), "patient"


def _seen_words(pairs: Sequence[Pair], one: str) -> str:
    """What is said of cases whose patients were seen in training."""
    by_new = sum(flatters(*pair) for pair in pairs)
    by_both = sum(bool(old.get("seen")) and bool(new.get("seen", True)) for old, new in pairs)
    by_old = sum(bool(old.get("seen")) and not new.get("seen", True) for old, new in pairs)
    words = "" if one == "patient" else " (by case: the patients are not known)"
    if by_new:
        words += f". Left out: {counted(by_new, 'case')} that only the new version saw in training"
    if by_both:
        words += f". Seen in training by both: {counted(by_both, 'case')}"
    if by_old:
        words += f". Seen in training by the old version only: {counted(by_old, 'case')}"
    return words


def _failed(before: Figures, after: Figures) -> tuple[State, str]:
    old, new = failures(before), failures(after)
    more = any(new[label] > old[label] for label in LABELS)
    words = "; ".join(f"{label} {new[label]}, before {old[label]}" for label in LABELS)
    return "failed" if more else "passed", f"{words}, of {counted(len(after['cases']), 'case')}"


def _hd95(
    distances: Sequence[tuple[float | None, float | None]], margin: float
) -> tuple[State, str]:
    """Over the cases in which both masks have the label: those that lack it are counted apart."""
    pairs = [(old, new) for old, new in distances if old is not None and new is not None]
    if not pairs:
        return "not judged", "no case in which both masks have the label"
    old, new = (_mean(values) for values in zip(*pairs, strict=True))
    words = f"mean {new:.2f} mm, before {old:.2f} mm, at most {margin:g} mm more"
    return "failed" if new > old + margin else "passed", words


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
