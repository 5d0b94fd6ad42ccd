"""An evaluation on whole heads as a self-contained HTML page, and as the rows of a table."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.anatomy import LABEL_COLOURS, LABELS, SIDES
from core.exports.report_page import report_page, svg_of
from core.image.voxels import Box
from core.training.evaluation.head_figures import BOTH, BY_LABEL
from core.training.evaluation.head_sets import HeadSet, LabelledHead
from core.training.evaluation.report import outline
from core.training.evaluation.statistics import agreement
from core.wording import counted

_WORST = 6
_MARGIN_VOXELS = 12
_TRUTH = "#FFFFFF"
_DASH = "-"
SUMMARY_HEADS = (
    "Model", "Side", "Sides", "Found", "Flagged", "Missed", "Side errors", "Dice", "95 % interval",
    "Anterior", "Posterior", "Centre error (mm)", "Volume bias (%)", "Limits of agreement (mm3)",
    "r", "Seconds a head",
)  # fmt: skip
_SIDE_HEADS = (
    "Head", "Side", "Seen", "Outcome", "Dice", "Anterior", "Posterior", "Centre error (mm)",
    "Volume (mm3)", "Reference (mm3)",
)  # fmt: skip


def heads_page(
    results: Sequence[dict[str, Any]], head_set: HeadSet, protocol: str, masks: Path
) -> bytes:
    """The report of an evaluation on whole heads.

    Parameters
    ----------
    results
        For each model its ``model`` (as it was named), ``name`` and ``figures``
        (`core.training.evaluation.head_figures.head_figures`).
    protocol
        Of the references, in words.
    masks
        Has a folder for each model, ``1``, ``2`` and so on, with ``<head>.nii.gz`` of each head
        that was not refused.
    """
    # A column for each model and side: the other way round the table is wider than the page.
    columns = summary_rows(results)
    summary_heads = ["Figure", *(f"{model}, {side}" for model, side, *_ in columns)]
    figure_rows = list(zip(SUMMARY_HEADS, *columns, strict=True))[2:]
    return report_page(
        "core/training/evaluation/heads_report.html",
        "Evaluation on whole heads",
        heads=counted(len(head_set.heads), "head"),
        source=head_set.source,
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        protocol=protocol,
        by_label=head_set.protocol == BY_LABEL,
        seen=_seen_words(results),
        summary_heads=summary_heads,
        summary_rows=figure_rows,
        results=[
            {
                "title": f"{one['model']}: {one['name']}",
                "volume_picture": _volume_picture(one["figures"]["sides"]),
                "worst": _worst(one["figures"]["sides"], head_set, masks / str(number)),
                "side_rows": _side_rows(one["figures"]["sides"]),
            }
            for number, one in enumerate(results, start=1)
        ],
        side_heads=_SIDE_HEADS,
        left_out=sorted(head_set.left_out.items()),
    )


def summary_rows(results: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each model and side, and one for both, as `SUMMARY_HEADS` says."""
    rows: list[tuple[str, ...]] = []
    for one in results:
        figures = one["figures"]
        for side in (*SIDES, BOTH):
            of_side = figures["summary"][side]
            seconds = [head["seconds"] for head in figures["heads"]]
            median = f"{statistics.median(seconds):.1f}" if seconds and side == BOTH else ""
            rows.append((one["model"], side, *summary_cells(of_side), median))
    return rows


def summary_cells(of_side: dict[str, Any]) -> tuple[str, ...]:
    """The cells of `SUMMARY_HEADS` from *Sides* to *r*."""
    dice, volumes = of_side["dice"], of_side["volume_agreement_mm3"]
    parts = [of_side[f"dice_{name}"] for name in LABELS]
    return (
        *(str(of_side[key]) for key in ("sides", "found", "flagged", "missed", "side_errors")),
        number(dice and dice["mean"], 3),
        f"{dice['low']:.3f} to {dice['high']:.3f}" if dice else _DASH,
        *(number(part and part["mean"], 3) for part in parts),
        number(of_side["centre_error_mm"], 1),
        _DASH if of_side["volume_bias_percent"] is None
        else f"{of_side['volume_bias_percent']:+.1f}",
        f"{volumes['low']:+,.0f} to {volumes['high']:+,.0f}" if volumes else _DASH,
        number(of_side["r"], 2),
    )  # fmt: skip


def number(value: float | None, digits: int) -> str:
    """A figure of a table; a dash where there is none."""
    return _DASH if value is None else f"{value:,.{digits}f}"


def _side_rows(sides: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            row["head"], row["side"], "yes" if row["seen"] else "no",
            row["outcome"] + (", side error" if row["side_error"] else ""),
            *(number(row[key], 3) for key in ("dice", *(f"dice_{name}" for name in LABELS))),
            number(row["centre_error_mm"], 1),
            number(row["volume_mm3"], 0), number(row["truth_mm3"], 0),
        ]
        for row in sides
    ]  # fmt: skip


def _seen_words(results: Sequence[dict[str, Any]]) -> str:
    counts = [
        (one["model"], sum(row["seen"] for row in one["figures"]["sides"])) for one in results
    ]
    return " ".join(
        f"{model}: {counted(count, 'side')} of patients seen in training, which flatters it."
        for model, count in counts
        if count
    )


def _volume_picture(sides: Sequence[dict[str, Any]]) -> Markup:
    """Bland and Altman's picture of the sides that have a mask; empty where there is none."""
    measured = [row for row in sides if row["volume_mm3"] > 0]
    if not measured:
        return Markup("")
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axis = figure.subplots()
    for side, marker in zip(SIDES, ("<", ">"), strict=True):
        pairs = np.array(
            [(row["volume_mm3"], row["truth_mm3"]) for row in measured if row["side"] == side]
        ).reshape(-1, 2)
        volumes, truths = pairs.T
        axis.scatter((volumes + truths) / 2, volumes - truths, s=18, marker=marker, label=side)
    limits = agreement(*zip(*((r["volume_mm3"], r["truth_mm3"]) for r in measured), strict=True))
    for key, style in (("bias", "-"), ("low", "--"), ("high", "--")):
        axis.axhline(limits[key], color="#0B0E11", linewidth=0.8, linestyle=style)
    axis.set_xlabel("mean volume (mm3)", fontsize=9)
    axis.set_ylabel("mask less reference (mm3)", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, frameon=False)
    return svg_of(figure)


def _worst(sides: Sequence[dict[str, Any]], head_set: HeadSet, masks: Path) -> list[dict[str, Any]]:
    heads = {head.name: head for head in head_set.heads}
    worst = sorted(sides, key=lambda row: row["dice"])[:_WORST]
    return [
        {
            "name": f"{row['head']}, {row['side']}: {row['outcome']}, Dice {row['dice']:.3f}",
            "picture": _side_picture(
                heads[row["head"]], row["side"], masks / f"{row['head']}.nii.gz"
            ),
        }
        for row in worst
    ]


def _side_picture(head: LabelledHead, side: str, mask: Path) -> Markup:
    reference = head.references[side]
    box = _wider(reference.box)
    values = _ras(head.image)
    low, high = np.percentile(values, [1, 99.5])
    truth = np.zeros(values.shape, np.uint8)
    truth[reference.box] = reference.labels
    drawn = _ras(mask) if mask.is_file() else np.zeros_like(values)
    parts = [array[box] for array in (values, truth, drawn)]
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for cut, axis in enumerate(figure.subplots(1, 3)):
        others = tuple(n for n in range(3) if n != cut)
        index = int((parts[1] > 0).sum(others).argmax())
        grey, true, labels = (np.take(part, index, cut).T for part in parts)
        axis.imshow(grey, cmap="gray", vmin=low, vmax=high, origin="lower")
        outline(axis, true > 0, _TRUTH)
        for name, value in LABELS.items():
            outline(axis, labels == value, LABEL_COLOURS[name])
        if others[0] == 0:  # x runs to the patient's right, which a viewer has on the left
            axis.invert_xaxis()
        axis.set_axis_off()
    return svg_of(figure)


def _wider(box: Box) -> Box:
    x, y, z = (
        slice(max(0, part.start - _MARGIN_VOXELS), part.stop + _MARGIN_VOXELS) for part in box
    )
    return x, y, z


def _ras(path: Path) -> NDArray[np.float32]:
    image: Any = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj, np.float32)
