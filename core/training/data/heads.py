"""Cuts the training cases out of a head of a data set's source."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.errors import InputError
from core.image.volume import Volume
from core.measures.edges import content_extent
from core.training.data.names import case_name, is_extra_cut, is_from_head, source_of
from core.training.heads.crops import HeadCrop, crops_of
from core.training.heads.locator import HeadLocator
from core.training.heads.sides import sides_in
from core.wording import counted


@dataclass(frozen=True, eq=False)
class HeadCases:
    """The cases of one head.

    Attributes
    ----------
    crops : dict of str to HeadCrop
        By the case's name.
    left_out : dict of str to str
        By the name of the side's case, why a side gives none.
    content_sha256 : str
        Hash of the head's voxels: `core.image.volume.Volume.content_sha256`.
    """

    crops: dict[str, HeadCrop]
    left_out: dict[str, str]
    content_sha256: str

    def content_of(self, case: str) -> str:
        """`content_of` one of its cases."""
        return content_of(self.content_sha256, case.removeprefix(source_of(case)))


def content_of(head_sha256: str, place: str) -> str:
    """Identifies a case by the head's voxels and its place in the head.

    So two copies of a head are recognised whatever their names, from which cuts are varied.

    Parameters
    ----------
    place
        What the case's name has behind that of the head: `core.training.data.names`.
    """
    return hashlib.sha256((head_sha256 + place).encode()).hexdigest()


def cut(name: str, head: Volume, labels: NDArray[np.uint8], locator: HeadLocator) -> HeadCases:
    """Cut a head's cases.

    Parameters
    ----------
    labels : ndarray, shape (X, Y, Z)
        On the head's voxels, RAS+; values as `core.training.heads.sides.sides_in` has them.

    Raises
    ------
    InputError
        No side can be used.
    """
    extent = content_extent(head.voxels.stored)
    location = locator.locate(head)
    sides, left_out = sides_in(labels, head.affine, location, extent)
    if not sides:
        raise InputError("; ".join(f"{side}: {why}" for side, why in left_out.items()))
    crops = crops_of(head, sides, location.axes, name, limits.HEAD_CUTS)
    return HeadCases(
        {case_name(name, crop.side, crop.cut): crop for crop in crops},
        {case_name(name, side): why for side, why in left_out.items()},
        head.content_sha256,
    )


def scans_in_words(cases: Collection[str]) -> str:
    """The heads and crops that cases were made from.

    >>> scans_in_words(["a", "b.head-left", "b.head-left2", "c.head-right"])
    '2 heads and 1 crop'
    """
    heads = len({source_of(case) for case in cases if is_from_head(case)})
    crops = sum(not is_from_head(case) for case in cases)
    words = [counted(n, one) for n, one in ((heads, "head"), (crops, "crop")) if n]
    return " and ".join(words) or "no scan"


def kinds_in_words(cases: list[str]) -> str:
    """How many cases are crops and how many were cut from heads; empty where none was.

    >>> kinds_in_words(["a", "b.head-left", "b.head-left2", "b.head-right"])
    '1 crop as it came, 3 cut from 1 head (2 sides, 1 further cut)'
    """
    cut_cases = [case for case in cases if is_from_head(case)]
    if not cut_cases:
        return ""
    crops = len(cases) - len(cut_cases)
    extra = sum(map(is_extra_cut, cut_cases))
    heads = len({source_of(case) for case in cut_cases})
    came = "1 crop as it came" if crops == 1 else f"{crops} crops as they came"
    return (
        f"{came}, {len(cut_cases)} cut from {counted(heads, 'head')} "
        f"({counted(len(cut_cases) - extra, 'side')}, {counted(extra, 'further cut')})"
    )
