"""The gate's checks on whole heads: two versions on the same heads, each source apart."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from core import limits
from core.models.registry import Version
from core.state.fields import check_shape
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
# A side of a head with the old and the new version.
Pair = tuple[Figures, Figures]
KIND = "heads"
_SOURCES = ("synthetic", "reviewed")
_DICE = {"whole": "dice", "anterior": "dice_anterior", "posterior": "dice_posterior"}
_SHAPE = {
    "test_key": str,
    "source": str,
    "sides": [
        {
            "head": str, "patient?": str, "side": str, "seen?": bool, "side_error": bool,
            "outcome": frozenset({"found", "flagged", "missed"}),
            "dice": float, "dice_anterior?": (float,), "dice_posterior?": (float,),
            "volume_mm3": float, "truth_mm3": float,
        }
    ],
}  # fmt: skip


def head_checks(before: Version, after: Version, margins: Margins) -> Iterator[Check]:
    """The checks on whole heads, for each source: synthetic, reviewed, and folders of heads."""
    common = _common(before, after)
    for source in dict.fromkeys((*_SOURCES, *common)):
        name = f"{source.capitalize()} heads" if source in _SOURCES else f"Heads of {source}"
        if source in common:
            yield from _checks(source, name, *common[source], margins)
        else:
            words = "the two were not tested on the same ones"
            yield Check(f"heads/{source}/dice", name, "not judged", words)


def _common(before: Version, after: Version) -> dict[str, tuple[Figures, Figures]]:
    """By source, the newest figures of both on the same heads."""
    newest: dict[str, tuple[Figures, Figures]] = {}
    for key, new in reversed(after.evaluations.items()):
        old = before.evaluations.get(key)
        if old is None or not _is_of_heads(old) or not _is_of_heads(new):
            continue
        if old.get("options") == new.get("options"):
            newest.setdefault(new["source"], (old, new))
    return newest


def _is_of_heads(figures: Figures) -> bool:
    try:
        check_shape(figures, _SHAPE)
    except ValueError:
        return False
    return bool(figures.get("kind") == KIND)


def _sides(figures: Figures) -> dict[tuple[str, str], Figures]:
    return {(row["head"], row["side"]): row for row in figures["sides"]}


def _checks(
    source: str, name: str, before: Figures, after: Figures, margins: Margins
) -> Iterator[Check]:
    old, new = _sides(before), _sides(after)
    if old.keys() != new.keys():
        words = "the two were not tested on the same ones"
        yield Check(f"heads/{source}/dice", name, "not judged", words)
        return
    pairs = [(old[key], new[key]) for key in sorted(new)]
    unknown = [
        pair for pair in pairs if not (pair[1].get("seen", True) and not pair[0].get("seen"))
    ]
    fair = [pair for pair in unknown if not _is_own(*pair)]
    # Several scans of one patient are one.
    is_known = source != _SOURCES[0] and all("patient" in pair[1] for pair in pairs)
    one = "patient" if is_known else "head"
    heads: dict[str, list[Pair]] = {}
    for pair in fair:
        heads.setdefault(pair[1][one], []).append(pair)
    left_out = len({pair[1][one] for pair in pairs}) - len({pair[1][one] for pair in unknown})
    remark = ""
    if left_out:
        remark = f". Left out: {counted(left_out, one)} that only the new version saw in training"
    remark += own_words(len(unknown) - len(fair), "side")

    def check(what: str, title: str, state: State, words: str) -> Check:
        if state == "passed" and len(heads) < margins.heads:
            state, words = "not judged", too_few(len(heads), margins.heads, one)
        return Check(f"heads/{source}/{what}", f"{name}: {title}", state, words)

    yield check("missed", "sides missed", *_no_more(pairs, _is_missed))
    yield check("unflagged", "wrong masks that nothing flags", *_no_more(pairs, _is_unflagged))
    yield check("flagged", "sides called unreliable", *_no_more(pairs, _is_flagged))
    falls = [(a["dice"] - b["dice"], f"{b['head']} {b['side']}") for a, b in fair]
    yield check("collapse", "no side collapses", *collapse(falls, margins.collapse, "side"))
    state, words = _dice(list(heads.values()), margins, one)
    yield check("dice", "Dice", state, words + remark)
    yield check("volume", "volume error", *_volume(fair, margins.volume_percent))
    yield check("sides", "mask on the other side", *_side_errors(pairs))


def _is_own(old: Figures, new: Figures) -> bool:
    """Whether the reference of a side is the mask that one of the two versions makes of it."""
    return bool(max(old["dice"], new["dice"]) >= limits.GATE_OWN_DICE)


def _is_missed(row: Figures) -> bool:
    return bool(row["outcome"] == "missed" and not row["volume_mm3"])


def _is_unflagged(row: Figures) -> bool:
    return bool(row["outcome"] == "missed" and row["volume_mm3"])


def _is_flagged(row: Figures) -> bool:
    return bool(row["outcome"] == "flagged")


def _no_more(pairs: Sequence[Pair], is_bad: Any) -> tuple[State, str]:
    old, new = (sum(is_bad(pair[which]) for pair in pairs) for which in (0, 1))
    words = f"{new}, before {old}, of {counted(len(pairs), 'side')}"
    return "failed" if new > old else "passed", words


def _dice(heads: Sequence[Sequence[Pair]], margins: Margins, one: str) -> tuple[State, str]:
    """Judge the Dice of the whole hippocampus, and of each label that the references have."""
    losses = {}
    for label, figure in _DICE.items():
        changes = []
        for sides in heads:
            both = [(old.get(figure), new.get(figure)) for old, new in sides]
            differences = [b - a for a, b in both if a is not None and b is not None]
            if differences:
                changes.append(float(np.mean(differences)))
        if changes or label == "whole":
            losses[label] = Loss.of(changes, margins.heads_dice, margins.heads, one)
    states = [loss.state for loss in losses.values()]
    worst: State = next((s for s in ("failed", "not judged") if s in states), "passed")
    return worst, "; ".join(f"{label} {loss.words}" for label, loss in losses.items())


def _volume(pairs: Sequence[Pair], margin: float) -> tuple[State, str]:
    """Mean volume error over the sides in which both have a mask: those that lack one are counted
    as missed, or lower the Dice."""
    both = [
        (old, new) for old, new in pairs
        if old["volume_mm3"] and new["volume_mm3"] and new["truth_mm3"]
    ]  # fmt: skip
    if not both:
        return "not judged", "no side in which both have a mask"
    errors = [
        np.array([100 * (p[which]["volume_mm3"] / p[which]["truth_mm3"] - 1) for p in both])
        for which in (0, 1)
    ]
    old, new = (float(of.mean()) for of in errors)
    old_size, new_size = (float(np.abs(of).mean()) for of in errors)
    words = (
        f"{new:+.1f} % in the mean, before {old:+.1f} %, at most {margin:g} % further from 0; "
        f"whatever its sign {new_size:.1f} %, before {old_size:.1f} %"
    )
    is_worse = abs(new) > abs(old) + margin or new_size > old_size + margin
    return "failed" if is_worse else "passed", words


def _side_errors(pairs: Sequence[Pair]) -> tuple[State, str]:
    added = [
        f"{b['head']} {b['side']}" for a, b in pairs if b["side_error"] and not a["side_error"]
    ]
    old, new = (sum(pair[which]["side_error"] for pair in pairs) for which in (0, 1))
    words = f"{new}, before {old}, of {counted(len(pairs), 'side')}"
    if added:
        return "failed", f"{words}. New: {', '.join(added[:3])}"
    return "passed", words
