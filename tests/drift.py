"""Drift features made by hand: tables of numbers, and cases that have them."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from core.measures.features import FEATURES, Values
from core.measures.head_features import HEAD_FEATURES
from tests import tiny

_NAMES = {"crop": [f.key for f in FEATURES], "head": [f.key for f in HEAD_FEATURES]}


def table(
    rng: np.random.Generator, count: int, sd: float = 1.0, kind: str = "crop", **shifts: float
) -> list[Values]:
    """So many cases of independent normal features, some of them shifted."""
    keys = _NAMES[kind]
    rows = rng.normal(0, sd, (count, len(keys)))
    return [
        {key: float(v + shifts.get(key, 0)) for key, v in zip(keys, row, strict=True)}
        for row in rows
    ]


def analysis(
    number: int, features: Values | None, *, is_head: bool, scanner: str | None = None
) -> Any:
    """What `core.cases.store.Cases.add` takes, of a crop or a head with these features."""
    crop = tiny.analysis(number)
    side = {"centre_mm": [1.0, 2.0, 3.0], "pointed": False}
    head = {"confidence": "high", "reasons": [], "sides": {"left": side}} if is_head else None
    report = crop.as_dict() | {"head": head, "scanner": scanner}
    return SimpleNamespace(
        origin=None, as_dict=lambda: dict(report), features=features, scan_file=crop.scan_file,
        mask_file=crop.mask_file,
    )  # fmt: skip
