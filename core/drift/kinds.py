"""Crops and heads, and which of their features are followed from scan to scan."""

from typing import Literal

from core.measures.features import FEATURES, Feature
from core.measures.head_features import HEAD_FEATURES

Kind = Literal["crop", "head"]
KINDS: tuple[Kind, ...] = ("crop", "head")
# The model normalises raw values away.
_NOT_FOLLOWED = ("log_mean", "log_sd")
_FEATURES: dict[Kind, tuple[Feature, ...]] = {"crop": FEATURES, "head": HEAD_FEATURES}


def followed(kind: Kind) -> tuple[Feature, ...]:
    """The features of a kind that drift is looked for in, from scan to scan.

    Those with a note are of the result, and begin *watch* at most.
    """
    return tuple(f for f in _FEATURES[kind] if f.key not in _NOT_FOLLOWED)
