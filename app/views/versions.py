"""Parts of the Models page."""

from typing import Any

import streamlit as st

from app.views.words import DASH, show_error
from core.anatomy import LABELS
from core.errors import HippoViewError
from core.models.folder import is_cross_validated, measured_on
from core.models.registry import Version
from core.training.evaluation.statistics import difference_words, differing, failures, paired
from core.wording import counted

_STAGES = {"serving": "in service", "candidate": "candidate", "retired": "retired"}
_SEEN = "seen in training"


def show_outcome() -> None:
    """The result of the last promotion or roll back."""
    outcome = st.session_state.pop("outcome", None)
    if isinstance(outcome, HippoViewError):
        show_error(outcome)
    elif outcome:
        st.success(outcome, icon=":material/check_circle:")


def versions_table(versions: list[Version]) -> None:
    """All versions with their stage and honest figures."""
    st.dataframe(
        [
            {
                "Version": v.number,
                "Stage": _STAGES[v.stage],
                "Registered (UTC)": v.created_at[:16].replace("T", " "),
                "Made from": _made_from(v),
                **{
                    f"Dice {label}": f"{v.card['metrics']['dice'][label]['mean']:.3f}"
                    for label in LABELS
                },
                "Measured on": _measured_on(v),
                "sha256 of the weights": v.sha256[:16],
            }
            for v in versions
        ],
        hide_index=True,
        alt="Model versions with stage, origin and Dice",
    )


def _made_from(version: Version) -> str:
    lineage = version.lineage
    if "dataset" not in lineage:
        return str(lineage.get("source", DASH))
    start = f"version {lineage['parent']}" if lineage["parent"] else "nothing"
    how = f"training {lineage['job']}" if lineage["job"] else "on the command line"
    return f"{start}, data set {lineage['dataset']}, {how}"


def _measured_on(version: Version) -> str:
    metrics = version.card["metrics"]
    how = _SEEN if metrics["seen_in_training"] else "never seen"
    failed = sum(metrics.get("failed", {}).values())
    lacking = f", {counted(failed, 'mask lacks', 'masks lack')} a label" if failed else ""
    how = "cross-validated" if is_cross_validated(metrics) else how
    return f"{counted(metrics['cases'], 'case')}, {how}{lacking}"


def _common(serving: Version, other: Version) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The newest evaluations of both on the same crops; None where there are none."""
    of_serving, of_other = serving.of_kind(), other.of_kind()
    for key in reversed(of_other):
        if key in of_serving:
            both = of_serving[key], of_other[key]
            if not differing(*both):
                return both
    return None


def comparison(serving: Version, other: Version) -> None:
    """Compare two versions on the same frozen test set, in summary and case by case."""
    both = _common(serving, other)
    honest = serving.card["metrics"]
    if both is None:
        st.info(
            "These two were not tested on the same cases: their figures cannot be compared. A "
            "new training tests both.",
            icon=":material/info:",
        )
        return
    before, after = both
    st.table(
        [
            {"Figure": title, _title(serving, before): old, _title(other, after): new}
            for title, old, new in _figures(before, after)
        ],
        hide_index=True,
        border="horizontal",
    )
    cases = counted(len(after["cases"]), "case")
    st.caption(
        f"On the {cases} of the frozen test set of {after['dataset']}, with the masks that would "
        "be served. HD95: the mean of the cases in which both found the label; a mask "
        "that lacks it is counted as failed. Volume error: the mean of its absolute value."
    )
    for label, found in paired(before, after).items():
        st.markdown(f"**{label.capitalize()}**, case by case: {difference_words(found)}.")
    st.caption(
        "The new version less the one in service, with its 95 % interval. An interval that holds 0 "
        "shows no difference."
    )
    for version, figures in ((serving, before), (other, after)):
        if figures["seen_in_training"]:
            seen = sum(case["seen"] for case in figures["cases"])
            st.warning(
                f"Version {version.number}: {seen} of these {len(figures['cases'])} cases were "
                f"{_SEEN}, by it or by the version it was made from: its figures here flatter it.",
                icon=":material/warning:",
            )
    if before["seen_in_training"] and not honest["seen_in_training"]:
        st.markdown(
            f"Version {serving.number} on {measured_on(honest)}: Dice "
            f"**{honest['dice']['anterior']['mean']:.3f}** anterior, "
            f"**{honest['dice']['posterior']['mean']:.3f}** posterior (its card)."
        )
    _by_case(serving, other, before, after)


def _title(version: Version, figures: dict[str, Any]) -> str:
    seen = f", {_SEEN}" if figures["seen_in_training"] else ""
    return f"Version {version.number}{seen}"


def _figures(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for label in LABELS:
        for title, part in (("mean", "mean"), ("worst case", "worst")):
            old, new = (f"{e['dice'][label][part]:.3f}" for e in (before, after))
            rows.append((f"Dice {label}, {title}", old, new))
    failed = [failures(e) for e in (before, after)]
    for label in LABELS:
        means = _hd95_of_both(label, before, after)
        old, new = (
            _number(mean, "mm") + (f", {lacking[label]} failed" if lacking[label] else "")
            for mean, lacking in zip(means, failed, strict=True)
        )
        rows.append((f"HD95 {label}", old, new))
    for label in LABELS:
        old, new = (_number(e["volume_error_percent"][label], "%") for e in (before, after))
        rows.append((f"Volume error {label}", old, new))
    return rows


def _hd95_of_both(
    label: str, before: dict[str, Any], after: dict[str, Any]
) -> tuple[float | None, float | None]:
    """Mean HD95 (mm) of each over the cases in which both masks have the label.

    Else a version that finds nothing in its worst cases would look the better one.
    """
    old = {case["case"]: case[label]["hd95_mm"] for case in before["cases"]}
    pairs = [(old[case["case"]], case[label]["hd95_mm"]) for case in after["cases"]]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        return None, None
    return sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs)


def _number(value: float | None, unit: str) -> str:
    return DASH if value is None else f"{value:.1f} {unit}"


def _by_case(
    serving: Version, other: Version, before: dict[str, Any], after: dict[str, Any]
) -> None:
    old = {case["case"]: case for case in before["cases"]}
    rows = []
    for new in after["cases"]:
        row: dict[str, Any] = {"Case": new["case"]}
        for label in LABELS:
            a, b = old[new["case"]][label], new[label]
            row[f"Dice {label}, {serving.number}"] = round(a["dice"], 3)
            row[f"Dice {label}, {other.number}"] = round(b["dice"], 3)
            row[f"Change {label}"] = round(b["dice"] - a["dice"], 3)
            row[f"HD95 {label}, {other.number} (mm)"] = b["hd95_mm"] and round(b["hd95_mm"], 1)
            row[f"Volume error {label}, {other.number} (%)"] = round(b["volume_error_percent"], 1)
        rows.append(row)
    rows.sort(key=lambda r: min(r[f"Change {label}"] for label in LABELS))
    st.markdown("**Case by case**, the largest loss first")
    st.dataframe(rows, hide_index=True, alt="Dice, HD95 and volume error of each test case")
