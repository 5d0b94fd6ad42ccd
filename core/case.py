"""One case: its record, the row of a list, its images."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.measure import why_too_small
from core.voxels import Voxels

# Number of the mask that the model made; those that people draw count from 1.
MODEL_MASK = 0
REVIEW_STATES = ("new", "accepted", "corrected", "rejected")


@dataclass(frozen=True)
class Review:
    """What a person said of a case's mask.

    Attributes
    ----------
    state : str
        One of `REVIEW_STATES`.
    reviewer, reason : str
    at : str or None
        ISO 8601, UTC.
    """

    state: str = "new"
    reviewer: str = ""
    at: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """One segmented scan.

    Attributes
    ----------
    id : str
        Such as ``HV-7F3K2M``; every exported file is named after it.
    name : str
        What the user calls it. Stays in the database, on no export unless asked for.
    created_at : str
        ISO 8601, UTC.
    report : dict
        `Analysis.as_dict` with the case's id and time. If somebody drew a newer mask, measures
        and warnings are those of that mask, and ``mask`` says whose it is.
    mask_version : int
        The mask that holds now; 0 is the model's own.
    review : Review
    """

    id: str
    name: str
    created_at: str
    report: dict[str, Any]
    mask_version: int = MODEL_MASK
    review: Review = field(default_factory=Review)


@dataclass(frozen=True)
class CaseRow:
    """A case as a list shows it."""

    id: str
    name: str
    created_at: str
    model_version: str
    anterior_mm3: float
    posterior_mm3: float
    warning_count: int
    mask_version: int
    review: str
    reviewer: str
    reason: str
    confidence: str
    too_small: str

    @property
    def total_mm3(self) -> float:
        """Of both labels."""
        return self.anterior_mm3 + self.posterior_mm3


@dataclass(frozen=True, eq=False)
class CaseImages:
    """A case's scan and labels, both RAS+, shape (X, Y, Z), with their affine."""

    voxels: Voxels
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along right, anterior, superior."""
        return self.voxels.shape

    @property
    def values(self) -> NDArray[np.float32]:
        """All values, for crops: of a head, read the part that is needed."""
        return self.voxels.read_float32()


def warning_count(report: dict[str, Any]) -> int:
    """How many warnings a report holds."""
    return sum(w["level"] == "warning" for w in report["warnings"])


def confidence_of(report: dict[str, Any]) -> str:
    """How far the masks that hold now can be trusted; of a crop only what its warnings say."""
    if head := report.get("head"):
        return str(head["confidence"])
    codes = {warning["code"] for warning in report["warnings"]}
    return next((word for word in ("unreliable", "check") if word in codes), "")


def list_words(report: dict[str, Any]) -> dict[str, str]:
    """What a list says of a case's volumes: how far they can be trusted, why they are too small."""
    return {
        "confidence": confidence_of(report),
        "too_small": why_too_small(report["measures"]),
    }


def clean_text(text: str, most_chars: int = limits.MAX_NAME_CHARS) -> str:
    """One line of a user's text, without control characters, not too long."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:most_chars].strip()
