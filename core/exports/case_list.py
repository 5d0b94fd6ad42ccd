"""The list of cases as CSV, with a line in the trail."""

from collections.abc import Collection

from core.anatomy import NOTICE
from core.cases.case import CaseRow
from core.cases.store import Cases
from core.csv_table import csv_table
from core.people.audit import record_alone

COLUMNS = (
    "case_id", "name", "patient", "segmented_utc", "review", "reviewer", "reason", "confidence",
    "anterior_mm3", "posterior_mm3", "total_mm3", "left_mm3", "right_mm3", "volumes", "warnings",
    "mask_version", "model_version", "notice",
)  # fmt: skip


def export_list(cases: Cases, ids: Collection[str]) -> bytes:
    """Those of these cases that whoever acts may still see, as CSV, the newest first.

    Raises
    ------
    StorageError
        The line in the trail cannot be written: then nothing may leave.
    """
    rows = [row for row in cases.find() if row.id in ids]
    record_alone(cases.acts.engine, "export", "cases", note=f"csv, {len(rows)} cases")
    return csv_table(COLUMNS, map(_cells, rows))


def _cells(row: CaseRow) -> tuple[str | int | float, ...]:
    return (
        row.id, row.name, row.patient, row.created_at, row.review, row.reviewer, row.reason,
        row.confidence, *map(_mm3, (row.anterior_mm3, row.posterior_mm3, row.total_mm3,
        row.left_mm3, row.right_mm3)), row.too_small, row.warning_count,
        row.mask_version or "model", row.model_version, NOTICE,
    )  # fmt: skip


def _mm3(volume: float | None) -> str:
    """As the case's own CSV has it; empty for a side that a crop does not have."""
    return "" if volume is None else f"{volume:.1f}"
