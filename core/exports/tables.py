"""Files that leave the house: tables, records and one archive of several cases."""

import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.anatomy import NOTICE, SIDES
from core.cases.case import Case, confidence_of
from core.csv_table import csv_table
from core.measures.measure import why_too_small
from core.references.comparison import Comparison
from core.references.group import Group
from core.references.record import record_of, rows_of


@dataclass(frozen=True)
class Outcome:
    """One file of a batch: a case, or the reason why there is none."""

    name: str
    case: Case | None
    error: str = ""


_ENDS = ("low", "high")
# What the DICOM header said, which is in no export.
_OF_STUDY = ("study", "scanner")


# A comparison with a reference group; None where nobody asked for it.
InGroup = tuple[Comparison, Group] | None


def report_json(case: Case, in_group: InGroup = None) -> bytes:
    """Everything known of a case but its name, and what its DICOM header said."""
    record = {name: value for name, value in case.report.items() if name not in _OF_STUDY}
    if in_group is not None and (found := record_of(*in_group)):
        record["reference_group"] = found
    return (json.dumps(record, indent=2) + "\n").encode()


def report_csv(case: Case, in_group: InGroup = None) -> bytes:
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
            *_interval(label, m, remark),
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
    rows += _expected(r)
    if in_group is not None:
        rows += rows_of(*in_group)
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
    return csv_table(columns, ((*row, *[""] * (len(columns) - len(row))) for row in rows))


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
    intervals = [
        row
        for side, parts in measures["sides"].items()
        for label, m in parts.items()
        for row in _interval(f"{side}_{label}", m, why_too_small(measures, side))
    ]
    return [
        *sizes,
        *intervals,
        ("asymmetry_index", "total", _fixed(measures["asymmetry_percent"], 1), "%", remark),
        ("brain_volume_estimate", "", _fixed(head["brain_ml"], 0), "ml"),
        ("share_of_brain", "total", _fixed(measures["share_of_brain_percent"], 3), "%", remark),
        ("confidence", "", confidence_of(report), ""),
        *(("reason", "", reason, "") for reason in head["reasons"]),
    ]


def _interval(label: str, sizes: dict[str, Any], remark: str) -> list[tuple[Any, ...]]:
    """The interval of a volume; no rows where it is not known."""
    interval = sizes.get("volume_interval_mm3")
    if interval is None:
        return []
    ends = zip(_ENDS, interval, strict=True)
    return [(f"volume_interval_{end}", label, _fixed(mm3, 1), "mm3", remark) for end, mm3 in ends]


def _expected(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The expected overlap of each mask with an expert's, or why it is not known."""
    trust = report.get("trust")
    if trust is None:
        return []
    rows: list[tuple[Any, ...]] = [("expected_dice", "whole", "", "", trust["reason"])]
    if trust["expected_dice"] is not None:
        parts = trust["expected_dice"].items()
        rows = [("expected_dice", part, _fixed(d, 3), "") for part, d in parts]
    return rows + [
        ("expected_dice", f"{side}_{part}", _fixed(d, 3), "")
        for side, dice in trust["sides"].items()
        for part, d in dice.items()
    ]


SUMMARY_COLUMNS = (
    "case_id", "state", "anterior_mm3", "posterior_mm3", "total_mm3", "total_ml",
    "anterior_share_percent", "long_axis_mm", "spacing_mm", "orientation", "side", "warnings",
    "error", "left_mm3", "right_mm3", "asymmetry_percent", "confidence",
    "mask_version", "review", "model_version", "model_sha256", "input_sha256", "notice",
    "too_small", "expected_dice", "expected_dice_anterior", "expected_dice_posterior",
    *(f"{part}_{end}_mm3" for part in ("anterior", "posterior", "total") for end in _ENDS),
)  # fmt: skip


def summary_csv(outcomes: Sequence[Outcome], *, with_names: bool = False) -> bytes:
    """One row a file. Names and patients stay out unless asked for: names may be patients' own."""
    columns = ("name", *SUMMARY_COLUMNS, "patient") if with_names else SUMMARY_COLUMNS
    rows = []
    for outcome in outcomes:
        row = _summary_row(outcome)
        patient = outcome.case.patient if outcome.case else ""
        rows.append((outcome.name, *row, patient) if with_names else row)
    return csv_table(columns, rows)


def _summary_row(outcome: Outcome) -> tuple[Any, ...]:
    case = outcome.case
    if case is None:
        return ("", "refused", *[""] * 10, outcome.error, *[""] * 9, NOTICE, *[""] * 10)
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
        *_expected_columns(r),
    )


def _expected_columns(report: dict[str, Any]) -> list[str]:
    expected = (report.get("trust") or {}).get("expected_dice") or {}
    intervals = [
        report["measures"][part].get("volume_interval_mm3") or (None, None)
        for part in ("anterior", "posterior", "total")
    ]
    return [
        *(_fixed(expected.get(part), 3) for part in ("whole", "anterior", "posterior")),
        *(_fixed(mm3, 1) for interval in intervals for mm3 in interval),
    ]


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
