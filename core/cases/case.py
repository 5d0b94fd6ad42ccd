"""One case: its record, its row in a list, its images."""

import json
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS, SIDES
from core.image.voxels import Voxels
from core.measures.expected import DRAWN
from core.measures.measure import MASK_CODES, why_too_small
from core.wording import counted

# Version number of the model's own mask; masks that people draw are numbered from 1.
MODEL_MASK = 0
# Of ids and pseudonyms. No I, L, O, U: they are read aloud and typed by hand.
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Of a patient, as DICOM has them: female, male, other; empty where nobody said it.
SEXES = ("", "F", "M", "O")
REVIEW_STATES = ("new", "accepted", "corrected", "rejected")


@dataclass(frozen=True)
class Review:
    """A person's review of a case's mask.

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
        The user's name for it. It stays in the database; exports have it only on request.
    created_at : str
        ISO 8601, UTC.
    report : dict
        `Analysis.as_dict` with the case's id and time. If somebody drew a newer mask, measures
        and warnings are those of that mask, and ``mask`` says whose it is.
    mask_version : int
        The current mask; 0 is the model's own.
    review : Review
    patient : str
        Pseudonym of the patient, empty where nobody gave one; exports have it only on request.
    scan_date, sex, age_years
        As a person typed them: ask `core.cases.study.study_of`, which knows the DICOM file's too.
    owners : str
        The groups that see it, as `core.people.roles.groups_text` writes them.
    """

    id: str
    name: str
    created_at: str
    report: dict[str, Any]
    mask_version: int = MODEL_MASK
    review: Review = field(default_factory=Review)
    patient: str = ""
    scan_date: str = ""
    sex: str = ""
    age_years: int | None = None
    owners: str = ""


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
    patient: str = ""
    owners: str = ""
    left_mm3: float | None = None
    right_mm3: float | None = None

    @property
    def total_mm3(self) -> float:
        """Volume of both labels together."""
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
    """How far the current masks can be trusted, by the head's judgement and by the warnings.

    ``unreliable``, ``check`` or ``high``. A crop is *high* without any warning, if an overlap with
    an expert's mask is expected of it; without a warning about its mask it is empty otherwise.
    """
    codes = {w["code"] for w in report["warnings"] if w["level"] == "warning"}
    head = report.get("head")
    is_expected = bool((report.get("trust") or {}).get("expected_dice"))
    word = str(head["confidence"]) if head else "high" if is_expected and not codes else ""
    if "unreliable" in (word, *codes) or (not head and "mask_empty" in codes):
        return "unreliable"
    # A head that was kept by an older program may be *high* beside such a warning.
    return "check" if codes & MASK_CODES else word


def is_drawn(report: dict[str, Any]) -> bool:
    """Whether no overlap is expected only because a person drew the mask, or one side of it."""
    return (report.get("trust") or {}).get("reason") == DRAWN


def high_words(report: dict[str, Any]) -> str:
    """What *high* means, in words: it is said of the masks, and a scan may have warnings beside it.

    Thick slices, for example, are a warning about the scan, whose masks may pass every check.
    """
    if is_drawn(report):
        return "the model's own masks passed every check; a person has drawn on them since"
    if of_scan := warning_count(report):
        return f"the masks passed every check, but the scan has {counted(of_scan, 'warning')}"
    return "every check was passed" if report.get("head") else "the mask passed every check"


def doubts_of(report: dict[str, Any]) -> list[str]:
    """Why unreliable masks should not be accepted without asking; empty for all others."""
    if confidence_of(report) != "unreliable":
        return []
    head = report.get("head")
    if head and any(head["reasons"]):
        return [reason for reason in head["reasons"] if reason]
    grave = ("unreliable", "mask_empty")
    messages = [w["message"].removesuffix(".") for w in report["warnings"] if w["code"] in grave]
    return messages or ["the masks are unreliable"]


def distinct_warnings(report: dict[str, Any]) -> list[dict[str, str]]:
    """The warnings of a report that a page shows, each fact once.

    The judgement of a head names what is wrong with its masks; the separate findings about the
    same facts are for programs.
    """
    reasons = (report.get("head") or {}).get("reasons", [])
    judgement = f": {'; '.join(reasons)}."

    def is_named(finding: dict[str, str]) -> bool:
        words = finding["message"].casefold()
        is_judgement = finding["message"].endswith(judgement)
        return not is_judgement and any(reason.casefold() in words for reason in reasons)

    return [w for w in report["warnings"] if w["code"] not in MASK_CODES or not is_named(w)]


def report_now(report: str, content: str | None) -> dict[str, Any]:
    """The report on the current mask.

    Parameters
    ----------
    report
        The case's report, as JSON.
    content
        The row's content of the current mask in `core.state.database.MASK_VERSIONS`; None for the
        model's mask.
    """
    current = dict(json.loads(report))
    return current if content is None else current | json.loads(content)["report"]


def list_words(report: dict[str, Any]) -> dict[str, Any]:
    """What a list says of a case besides its labels' volumes: confidence, why volumes are too
    small, and of a head the volume of each side (mm3); None of a side that was not found."""
    sides = (report.get("head") or {}) and report["measures"].get("sides", {})
    volumes_mm3 = {side: _volume_mm3(sides.get(side, {})) for side in SIDES}
    return {
        "confidence": confidence_of(report),
        "too_small": why_too_small(report["measures"]),
        **{f"{side}_mm3": volume_mm3 for side, volume_mm3 in volumes_mm3.items()},
    }


def _volume_mm3(side: dict[str, Any]) -> float | None:
    """Of a side's measures; a record that was not written by us may lack their total."""
    parts = [side["total"]] if "total" in side else [side[name] for name in LABELS if name in side]
    return float(sum(part["volume_mm3"] for part in parts)) or None


def patient_text(text: str) -> str:
    """A pseudonym in one form, however it was typed: composed and decomposed letters are the same,
    and so are wide and narrow ones. Two forms would be two patients.
    """
    return clean_text(unicodedata.normalize("NFKC", text))


def clean_text(text: str, most_chars: int = limits.MAX_NAME_CHARS) -> str:
    """One line of a user's text, without control characters, not too long."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:most_chars].strip()
