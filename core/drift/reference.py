"""The drift features of what a model version was trained on, crops and heads apart."""

from collections.abc import Sequence
from typing import Any

from core import limits
from core.measures.features import Values
from core.measures.head_features import mean_of_crops

# As `core.models.registry.Registry.reference` returns it. The field ``head``, which the crops of
# one head share, is missing in crops that came as such. ``features`` is None of further cuts, and
# of cases that drift is not compared with (`core.training.mix`).
ReferenceCase = dict[str, Any]


def training_crops(cases: Sequence[ReferenceCase]) -> list[Values]:
    """Features of the crops that a version was trained on.

    Those that only a version before it was trained on count where it had too few itself.
    """
    return _own([
        (case["features"], case["inherited"])
        for case in cases
        if not case.get("head") and case["features"] is not None
    ])  # fmt: skip


def training_heads(cases: Sequence[ReferenceCase]) -> list[Values]:
    """Image features of the heads whose crops a version was trained on, a head's sides averaged.

    Those that only a version before it was trained on count where it had too few itself.
    """
    crops: dict[str, list[Values]] = {}
    inherited: dict[str, bool] = {}
    for case in cases:
        if case.get("head") and case["features"] is not None:
            crops.setdefault(case["head"], []).append(case["features"])
            inherited[case["head"]] = case["inherited"] and inherited.get(case["head"], True)
    return _own([(mean_of_crops(sides), inherited[head]) for head, sides in crops.items()])


def _own(scans: Sequence[tuple[Values, bool]]) -> list[Values]:
    own = [features for features, inherited in scans if not inherited]
    if len(own) >= limits.MIN_DRIFT_CASES:
        return own
    return [features for features, _ in scans]
