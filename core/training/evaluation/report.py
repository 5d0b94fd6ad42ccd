"""An evaluation as a self-contained HTML page, and as a model card."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.anatomy import LABEL_COLOURS, LABELS, NOTICE
from core.exports.report_page import report_page, svg_of
from core.models.folder import calibrated_on
from core.training.data.dataset import Dataset, file_names
from core.training.evaluation.statistics import failure_words, failures, is_failed
from core.wording import counted

_WORST = 6
_TRUTH = "#FFFFFF"
_DASH = "-"


def evaluation_page(
    figures: dict[str, Any], title: str, dataset: Dataset, folder: Path, masks: Path
) -> bytes:
    """The report of an evaluation.

    Parameters
    ----------
    figures
        As `core.training.evaluation.evaluate.summary` returns them.
    title
        Names what was evaluated.
    folder, masks
        The data set's files, and the masks ``<case>.nii.gz`` that were evaluated.
    """
    cases: list[dict[str, Any]] = figures["cases"]
    worst = sorted(cases, key=lambda case: min(case[part]["dice"] for part in LABELS))[:_WORST]
    label_heads, label_rows = _label_rows(figures)
    return report_page(
        "core/training/evaluation/report.html",
        "Evaluation",
        what=title,
        dataset=dataset,
        cases=counted(len(cases), "case"),
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        seen=sum(case["seen"] for case in cases),
        failed=_failed_words(figures),
        label_heads=label_heads,
        label_rows=label_rows,
        volume_picture=_volume_picture(figures),
        dice_picture=_dice_picture(cases),
        worst=[
            {
                "name": case["case"],
                "dice": ", ".join(f"{part} {case[part]['dice']:.3f}" for part in LABELS),
                "picture": _case_picture(case["case"], dataset, folder, masks),
            }
            for case in worst
        ],
        case_heads=_CASE_HEADS,
        case_rows=_case_rows(cases),
    )


def card_text(card: dict[str, Any], figures: dict[str, Any]) -> str:
    """A model card in Markdown, from a version's ``card.json`` and an evaluation."""
    heads, rows = _label_rows(figures)
    cases = counted(len(figures["cases"]), "case")
    seen = "some of them seen in training" if figures["seen_in_training"] else "never seen by it"
    by = " (split by file: patients are on two sides of it)" if figures["split_by_file"] else ""
    lines = [
        f"# {card['name']}", "", f"**{NOTICE}**", "", card["summary"], "",
        "## Figures", "", f"On {cases} of data set {figures['dataset']}{by}, {seen}.", "",
        f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows), "",
        "Intervals: 95 %, bootstrap over the cases. Failed: cases whose mask lacks the label; "
        "HD95, surface distance and precision are of the others.", "",
    ]  # fmt: skip
    for title, part in (("Network", card["network"]), ("Training", card["training"])):
        lines += [f"## {title}", "", *(f"- {name}: {value}" for name, value in part.items()), ""]
    lines += ["## Expected overlap and volume intervals", "", calibrated_on(card), ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in card["limits"]), ""]
    lines += ["## Licence and attribution", "", f"{card['licence']}", ""]
    lines += [f"- {source}" for source in card["attribution"]]
    return "\n".join(lines) + "\n"


_CASE_HEADS = (
    "Case", "Seen", *(f"{name} {label}" for label in LABELS for name in
    ("Dice", "HD95 (mm)", "volume (mm3)", "expert's (mm3)")),
)  # fmt: skip


def _label_rows(figures: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    heads = [
        "Label", "Mean Dice", "95 % interval", "Worst", "Failed",
        "HD95 mean (mm)", "HD95 median (mm)", "Surface distance (mm)",
        "Sensitivity", "Precision", "Volume error (%)",
        "Volume bias (mm3)", "Limits of agreement (mm3)",
    ]  # fmt: skip
    rows = []
    failed = failures(figures)
    for part in LABELS:
        dice, volumes = figures["dice"][part], figures["volume_agreement_mm3"][part]
        rows.append(
            [
                part,
                f"{dice['mean']:.4f}",
                f"{dice['low']:.4f} to {dice['high']:.4f}",
                f"{dice['worst']:.3f}",
                str(failed[part]),
                _number(figures["hd95_mm"][part], 2),
                _number(figures["hd95_median_mm"][part], 2),
                _number(figures["asd_mm"][part], 2),
                _number(figures["sensitivity"][part], 3),
                _number(figures["precision"][part], 3),
                _number(figures["volume_error_percent"][part], 1),
                f"{volumes['bias']:+.0f}",
                f"{volumes['low']:+.0f} to {volumes['high']:+.0f}",
            ]
        )
    return heads, rows


def _case_rows(cases: Sequence[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for case in cases:
        row = [case["case"], "yes" if case["seen"] else "no"]
        for part in LABELS:
            of_label = case[part]
            row += [
                _number(of_label["dice"], 3),
                "failed" if is_failed(of_label) else _number(of_label["hd95_mm"], 1),
                _number(of_label["volume_mm3"], 0), _number(of_label["truth_mm3"], 0),
            ]  # fmt: skip
        rows.append(row)
    return rows


def _failed_words(figures: dict[str, Any]) -> str:
    failed = failures(figures)
    if not any(failed.values()):
        return ""
    words = failure_words(failed, len(figures["cases"]))
    return words[0].upper() + words[1:]


def _number(value: float | None, digits: int) -> str:
    return _DASH if value is None else f"{value:.{digits}f}"


def _volume_picture(figures: dict[str, Any]) -> Markup:
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(LABELS))
    for axis, part in zip(axes, LABELS, strict=True):
        measured, true = (
            np.array([case[part][key] for case in figures["cases"]])
            for key in ("volume_mm3", "truth_mm3")
        )
        axis.scatter((measured + true) / 2, measured - true, s=12, color=LABEL_COLOURS[part])
        limits = figures["volume_agreement_mm3"][part]
        for key, style in (("bias", "-"), ("low", "--"), ("high", "--")):
            axis.axhline(limits[key], color="#0B0E11", linewidth=0.8, linestyle=style)
        axis.set_title(part, fontsize=10)
        axis.set_xlabel("mean volume (mm3)", fontsize=9)
        axis.set_ylabel("mask less expert's (mm3)", fontsize=9)
        axis.tick_params(labelsize=8)
    return svg_of(figure)


def _dice_picture(cases: Sequence[dict[str, Any]]) -> Markup:
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    axis = figure.subplots()
    for part in LABELS:
        values = sorted(case[part]["dice"] for case in cases)
        axis.plot(values, ".-", color=LABEL_COLOURS[part], label=part, linewidth=0.8)
    axis.set_xlabel("cases, the worst first", fontsize=9)
    axis.set_ylabel("Dice", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, frameon=False)
    return svg_of(figure)


def _case_picture(name: str, dataset: Dataset, folder: Path, masks: Path) -> Markup:
    image, label = (folder / part for part in file_names(name, dataset.cases[name]))
    values, truth, mask = (_ras(path) for path in (image, label, masks / f"{name}.nii.gz"))
    low, high = np.percentile(values, [1, 99])
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, 3)
    for cut, axis in enumerate(axes):
        other_axes = tuple(axis_number for axis_number in range(3) if axis_number != cut)
        index = int((truth != mask).sum(other_axes).argmax())
        grey, true, drawn = (np.take(a, index, cut).T for a in (values, truth, mask))
        axis.imshow(grey, cmap="gray", vmin=low, vmax=high, origin="lower")
        for part, value in LABELS.items():
            outline(axis, true == value, _TRUTH)
            outline(axis, drawn == value, LABEL_COLOURS[part])
        if other_axes[0] == 0:  # x runs to the patient's right, which a viewer has on the left
            axis.invert_xaxis()
        axis.set_axis_off()
    return svg_of(figure)


def outline(axis: Axes, region: NDArray[np.bool_], colour: str) -> None:
    """Draw the outline of a region of a slice."""
    if region.any():
        axis.contour(region, levels=[0.5], colors=[colour], linewidths=1.2)


def _ras(path: Path) -> NDArray[np.float32]:
    """A file of a prepared data set: all of them are RAS+."""
    image: Any = nib.load(path)
    return np.asarray(image.dataobj, np.float32)
