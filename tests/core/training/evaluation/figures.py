"""Figures of versions, made by hand: what an evaluation would have stored."""

from typing import Any

from core.anatomy import LABELS
from core.models.registry import Version
from core.training.evaluation.latency import FORMAT

PROVEN = {"foreground": {key: {"dice": 0.998, "worst": 0.99} for key in LABELS}}


def version(number: int, *evaluations: dict[str, Any], int8: Any = PROVEN, **more: Any) -> Version:
    """A version with these figures."""
    by_key = {figures.get("test_key", "latency"): figures for figures in evaluations}
    card = {"int8": int8} if int8 else {}
    values = {"sha256": f"weights {number}", "stage": "candidate", "lineage": {}} | more
    return Version(number=number, created_at="", card=card, evaluations=by_key, **values)


def crop(number: int, dice: float, **more: Any) -> dict[str, Any]:
    """One case of a patient of its own; ``more`` replaces."""
    part = {"dice": dice, "hd95_mm": 1.0, "volume_mm3": 1000.0, "truth_mm3": 1000.0}
    row = {"case": f"c{number}", "files": f"f{number}", "patient": f"p{number}", "seen": False}
    return row | {label: dict(part) for label in LABELS} | more


def failed(row: dict[str, Any], *labels: str) -> dict[str, Any]:
    """A case whose mask lacks labels."""
    lacking = {"dice": 0.0, "hd95_mm": None, "volume_mm3": 0.0}
    return row | {label: row[label] | lacking for label in labels}


def crops(rows: list[dict[str, Any]], dataset: str = "task", key: str = "k") -> dict[str, Any]:
    """Figures of cases, as `core.training.evaluation.evaluate.summary` has them."""
    return {
        "format": 2, "dataset": dataset, "test_key": key, "cases": rows,
        "seen_in_training": any(row.get("seen") for row in rows),
        "dice": {
            label: {"mean": sum(row[label]["dice"] for row in rows) / max(1, len(rows))}
            for label in LABELS
        },
    }  # fmt: skip


def side(head: int, name: str, dice: float = 0.8, **more: Any) -> dict[str, Any]:
    """One side of a head."""
    row = {
        "head": f"h{head}", "side": name, "files": f"f{head}", "seen": False, "outcome": "found",
        "side_error": False, "centre_error_mm": 1.0, "dice": dice, "dice_anterior": dice,
        "dice_posterior": dice, "volume_mm3": 3000.0, "truth_mm3": 3000.0,
    }  # fmt: skip
    return row | more


def heads(sides: list[dict[str, Any]], source: str = "synthetic") -> dict[str, Any]:
    """Figures of whole heads."""
    return {
        "format": 1, "kind": "heads", "source": source, "test_key": f"heads-{source}",
        "protocol": "anterior and posterior", "sides": sides, "heads": [], "summary": {},
    }  # fmt: skip


def all_heads(dice: float = 0.8, count: int = 8, source: str = "synthetic") -> dict[str, Any]:
    """Figures of so many heads, both sides found."""
    return heads([side(n, s, dice) for n in range(count) for s in ("left", "right")], source)


def latency(ratio: float = 1.0, against: int = 1, cases: int = 10) -> dict[str, Any]:
    """How long it takes against another version."""
    return {
        "format": FORMAT, "kind": "latency", "against": against, "cases": cases, "ratio": ratio,
        "against_sha256": f"weights {against}",
    }  # fmt: skip
