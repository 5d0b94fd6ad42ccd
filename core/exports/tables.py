"""Files that leave the house: tables, records and one archive of several cases."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.anatomy import NOTICE, SIDES
from core.cases.case import Case, confidence_of
from core.measures.measure import why_too_small


@dataclass(frozen=True)
class Outcome:
    """One file of a batch: a case, or the reason why there is none."""

    name: str
    case: Case | None
    error: str = ""


def report_json(case: Case) -> bytes:
    """Everything known of a case but its name."""
    return (json.dumps(case.report, indent=2) + "\n").encode()


def report_csv(case: Case) -> bytes:
    """The same as rows of quantity, label, value, unit and remark."""
    r = case.report
    remark = why_too_small(r["measures"])
    is_head = bool(r.get("head"))
    rows: list[tuple[Any, ...]] = [
        ("notice", "", r["notice"], ""),
        ("case_id", "", case.id, ""),
        ("created_at", "", case.created_at, "UTC"),
        ("side", "", r["measures"]["side"], ""),
    ]
    for label in ("anterior", "posterior", "total"):
        m = r["measures"][label]
        box = m["bounding_box_mm"] or (None, None, None)
        rows += [
            ("volume", label, _fixed(m["volume_mm3"], 1), "mm3", remark),
            ("volume", label, _fixed(m["volume_ml"], 4), "ml", remark),
            ("voxels", label, m["voxels"], "", remark),
            *(
                (f"bounding_box_{axis}", label, _fixed(edge, 1), "mm", remark)
                for axis, edge in zip(("r", "a", "s"), box, strict=True)
            ),
            # Of a head: from one hippocampus to the other, which is no length.
            (
                "long_axis_length",
                label,
                "" if is_head else _fixed(m["length_mm"], 1),
                "mm",
                remark,
            ),
        ]
    rows += _of_sides(r)
    rows += [
        ("anterior_share", "", _fixed(r["measures"]["anterior_share_percent"], 1), "%", remark),
        ("voxel_volume", "", _fixed(r["measures"]["voxel_mm3"], 4), "mm3"),
        *(
            (f"spacing_{axis}", "", _fixed(edge, 4), "mm")
            for axis, edge in zip("ijk", r["input"]["spacing_mm"], strict=True)
        ),
        ("orientation", "", r["input"]["orientation"], ""),
        ("input_sha256", "", r["input"]["sha256"], ""),
        ("model_name", "", r["model"]["name"], ""),
        ("model_version", "", r["model"]["version"], ""),
        ("model_sha256", "", r["model"]["sha256"], ""),
        ("device", "", r["device"], ""),
        ("mask_version", "", case.mask_version, ""),
        ("mask_author", "", r["mask"]["author"] if "mask" in r else "the model", ""),
        ("review", "", case.review.state, ""),
        *((w["level"], w["code"], w["message"], "") for w in r["warnings"]),
        *(("time", step, seconds, "s") for step, seconds in r["timings_s"].items()),
    ]
    columns = ("quantity", "label", "value", "unit", "remark")
    return _table(columns, ((*row, *[""] * (len(columns) - len(row))) for row in rows))


def _of_sides(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a whole head has beside its totals."""
    head, measures = report.get("head"), report["measures"]
    if not head:
        return []
    remark = why_too_small(measures)
    sizes = [
        (quantity, f"{side}_{label}", _fixed(m[key], 1), unit, why_too_small(measures, side))
        for side, parts in measures["sides"].items()
        for label, m in parts.items()
        for quantity, key, unit in (
            ("volume", "volume_mm3", "mm3"), ("long_axis_length", "length_mm", "mm"),
        )
    ]  # fmt: skip
    return [
        *sizes,
        ("asymmetry_index", "total", _fixed(measures["asymmetry_percent"], 1), "%", remark),
        ("brain_volume_estimate", "", _fixed(head["brain_ml"], 0), "ml"),
        ("share_of_brain", "total", _fixed(measures["share_of_brain_percent"], 3), "%", remark),
        ("confidence", "", confidence_of(report), ""),
        *(("reason", "", reason, "") for reason in head["reasons"]),
    ]


SUMMARY_COLUMNS = (
    "case_id", "state", "anterior_mm3", "posterior_mm3", "total_mm3", "total_ml",
    "anterior_share_percent", "long_axis_mm", "spacing_mm", "orientation", "side", "warnings",
    "error", "left_mm3", "right_mm3", "asymmetry_percent", "confidence",
    "mask_version", "review", "model_version", "model_sha256", "input_sha256", "notice",
    "too_small",
)  # fmt: skip


def summary_csv(outcomes: Sequence[Outcome], *, with_names: bool = False) -> bytes:
    """One row a file. Names and patients stay out unless asked for: names may be patients' own."""
    columns = ("name", *SUMMARY_COLUMNS, "patient") if with_names else SUMMARY_COLUMNS
    rows = []
    for outcome in outcomes:
        row = _summary_row(outcome)
        patient = outcome.case.patient if outcome.case else ""
        rows.append((outcome.name, *row, patient) if with_names else row)
    return _table(columns, rows)


def _summary_row(outcome: Outcome) -> tuple[Any, ...]:
    case = outcome.case
    if case is None:
        return ("", "refused", *[""] * 10, outcome.error, *[""] * 9, NOTICE, "")
    r, m = case.report, case.report["measures"]
    return (
        case.id,
        "segmented",
        _fixed(m["anterior"]["volume_mm3"], 1),
        _fixed(m["posterior"]["volume_mm3"], 1),
        _fixed(m["total"]["volume_mm3"], 1),
        _fixed(m["total"]["volume_ml"], 4),
        _fixed(m["anterior_share_percent"], 1),
        # Of a head: from one hippocampus to the other, which is no length.
        "" if r.get("head") else _fixed(m["total"]["length_mm"], 1),
        " x ".join(_fixed(s, 3) for s in r["input"]["spacing_mm"]),
        r["input"]["orientation"],
        m["side"],
        "; ".join(dict.fromkeys(w["code"] for w in r["warnings"] if w["level"] == "warning")),
        "",
        *_both_sides(r),
        case.mask_version,
        case.review.state,
        r["model"]["version"],
        r["model"]["sha256"],
        r["input"]["sha256"],
        NOTICE,
        why_too_small(m),
    )


def _both_sides(report: dict[str, Any]) -> tuple[str, str, str, str]:
    head, measures = report.get("head"), report["measures"]
    if not head:
        return "", "", "", confidence_of(report)
    left, right = (
        _fixed(measures["sides"][side]["total"]["volume_mm3"], 1)
        if side in measures["sides"] else ""
        for side in SIDES
    )  # fmt: skip
    return left, right, _fixed(measures["asymmetry_percent"], 1), confidence_of(report)


def archive(
    outcomes: Sequence[Outcome], masks: Iterable[tuple[str, bytes]], *, with_names: bool = False
) -> bytes:
    """Masks, records and the summary of several files as one zip.

    Parameters
    ----------
    masks
        Pairs of case id and mask file.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("README.txt", f"HippoView. {NOTICE}\nMasks: 1 anterior, 2 posterior.\n")
        zipped.writestr("summary.csv", summary_csv(outcomes, with_names=with_names))
        for outcome in outcomes:
            if outcome.case is not None:
                zipped.writestr(f"{outcome.case.id}.json", report_json(outcome.case))
                zipped.writestr(f"{outcome.case.id}.csv", report_csv(outcome.case))
        for case_id, mask in masks:
            zipped.writestr(f"{case_id}_mask.nii.gz", mask, zipfile.ZIP_STORED)
    return out.getvalue()


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        try:
            float(cell)
        except ValueError:
            return "'" + cell
    return cell
