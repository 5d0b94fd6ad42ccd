"""Signals of how good a mask is: numbers that cost little once the network has looked at a crop.

They come from the mirrored predictions that are made anyway: from their mean, and from how far they
agree, on the network's own grid. `core.predictor.expectation` turns them into an expected overlap
with an expert's mask. What the image itself is like (blur, noise, contrast, voxel size) told no
more of it: decision 0038.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS

Signals = dict[str, float]
WHOLE = "whole"
# The mask of a scan that is a crop; those of a head are called by their sides.
CROP = "crop"
# What is expected of a mask is expected of the whole hippocampus first, then of its labels.
PARTS = (WHOLE, *LABELS)
_TINY = 1e-6
_LEAST_MISSING = 0.002
NAMES = (
    "border",
    "near_end",
    *(f"{what}_{part}" for what in ("discord", "doubt", "excess", "volume") for part in PARTS),
)
# Around the mask (voxels of the network's grid): voxels further away have next to no probability.
_MARGIN = 4
_NEAR_END = 3


@dataclass(frozen=True, eq=False)
class Votes:
    """Which labels the mirrored predictions gave each voxel.

    Attributes
    ----------
    of_label : ndarray of uint16, shape (labels, A, B, C)
        How many predictions gave a voxel each label of the foreground.
    runs : ndarray of uint16, shape (A, B, C)
        How many predictions there were of a voxel: more where windows overlap.
    """

    of_label: NDArray[np.uint16]
    runs: NDArray[np.uint16]

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> "Votes":
        """Before the first prediction of an image."""
        return cls(np.zeros((len(LABELS), *shape), np.uint16), np.zeros(shape, np.uint16))

    def add(self, position: tuple[slice, ...], logits: NDArray[np.float32]) -> None:
        """Count one prediction, shape (classes, ...), of a part of the image."""
        anterior, posterior = (logits[1] > logits[0]), (logits[2] > logits[0])
        is_first = logits[1] >= logits[2]
        self.of_label[0][position] += anterior & is_first
        self.of_label[1][position] += posterior & ~is_first
        self.runs[position] += 1

    def within(self, box: tuple[slice, ...]) -> "Votes":
        """The votes within a part of the image."""
        return Votes(self.of_label[:, *box], self.runs[box])

    def along(self, axes: tuple[int, ...]) -> "Votes":
        """The votes with the image's axes in another order."""
        return Votes(
            self.of_label.transpose(0, *(1 + axis for axis in axes)), self.runs.transpose(axes)
        )

    def agreement(self) -> dict[str, float]:
        """Dice of two predictions, pooled over all pairs, by part; 1 where none marked it."""
        of_part = {WHOLE: self.of_label.sum(0, dtype=np.int32)} | {
            name: counts.astype(np.int32)
            for name, counts in zip(LABELS, self.of_label, strict=True)
        }
        others = self.runs.astype(np.int32) - 1
        result = {}
        for name, votes in of_part.items():
            possible = int((votes * others).sum())
            result[name] = int((votes * (votes - 1)).sum()) / possible if possible else 1.0
        return result


def signals_of(logits: NDArray[np.float32], votes: Votes) -> Signals:
    """The signals of one crop, called as `NAMES` has them.

    By part, ``discord`` is how far mirrored predictions disagree, ``doubt`` how far the mask is
    from the probabilities that it was cut from, ``excess`` by how much these have more volume,
    and ``volume`` the mask's, in voxels: all logarithms. ``border`` is the width of the border
    between the labels, in coronal slices; ``near_end`` the share of the mask that lies within a few
    voxels of the crop's end, which may cut it off.

    Parameters
    ----------
    logits : ndarray, shape (classes, X, Y, Z)
        Mean of the mirrored predictions, along the patient's axes.
    votes
        Of the same voxels.
    """
    inside = (logits[1] > logits[0]) | (logits[2] > logits[0])
    box = _box(inside)
    if box is None:
        return dict.fromkeys(NAMES, 0.0)
    core = inside[tuple(slice(_NEAR_END, -_NEAR_END) for _ in range(3))]
    near_end = 1 - int(core.sum()) / int(inside.sum())
    inside = np.ascontiguousarray(inside[box])
    near = np.ascontiguousarray(logits[:, *box])
    exponentials = np.exp(near - near.max(0))
    probabilities = exponentials / exponentials.sum(0)
    is_first = probabilities[1] >= probabilities[2]
    masks = {WHOLE: inside, "anterior": inside & is_first, "posterior": inside & ~is_first}
    soft = {
        WHOLE: 1 - probabilities[0], "anterior": probabilities[1], "posterior": probabilities[2],
    }  # fmt: skip
    values = {"border": _border(soft), "near_end": near_end}
    for name, agreement in votes.within(box).agreement().items():
        voxels, total = int(masks[name].sum()), float(soft[name].sum())
        overlap = float(soft[name][masks[name]].sum())
        values[f"discord_{name}"] = _missing(agreement)
        values[f"doubt_{name}"] = _missing(2 * overlap / (total + voxels + _TINY))
        values[f"excess_{name}"] = math.log((total + 1) / (voxels + 1))
        values[f"volume_{name}"] = math.log(voxels + 1)
    return values


def mean_of(crops: Sequence[Signals]) -> Signals:
    """Mean signals of a mask that was made of several crops; empty where there is none."""
    return {key: sum(s[key] for s in crops) / len(crops) for key in crops[0]} if crops else {}


def is_empty(signals: Signals) -> bool:
    """Whether the network marked no voxel."""
    return signals[f"volume_{WHOLE}"] <= 0


def _box(inside: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """The mask and a margin around it; None where there is no mask."""
    box = []
    for axis in range(3):
        along = np.flatnonzero(inside.any(tuple(other for other in range(3) if other != axis)))
        if not along.size:
            return None
        box.append(slice(max(0, int(along[0]) - _MARGIN), int(along[-1]) + 1 + _MARGIN))
    x, y, z = box
    return x, y, z


def _missing(overlap: float) -> float:
    """Logarithm of ``1 - overlap``: what overlaps lack varies by factors, not by differences."""
    return math.log(1 - overlap + _LEAST_MISSING)


def _border(soft: dict[str, NDArray[np.float32]]) -> float:
    """Width of the border between the labels, in coronal slices."""
    anterior, posterior = (soft[name].sum((0, 2)) for name in LABELS)
    share = anterior / (anterior + posterior + _TINY)
    return float((4 * share * (1 - share) * (anterior + posterior > 1)).sum())
