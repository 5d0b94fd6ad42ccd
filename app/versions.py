"""Parts of the Models page."""

from typing import Any

import streamlit as st

from app.services import Services
from app.words import show_error
from core.errors import HippoViewError
from core.model import is_cross_validated, measured_on
from core.registry import Version
from core.segmentation import LABELS
from core.training.statistics import difference_words, paired

_STAGES = {"serving": "in service", "candidate": "candidate", "retired": "retired"}
_SEEN = "seen in training"
_DASH = "-"


def show_outcome() -> None:
    """What the last promotion or roll back came to."""
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
        return str(lineage.get("source", _DASH))
    start = f"version {lineage['parent']}" if lineage["parent"] else "nothing"
    how = f"training {lineage['job']}" if lineage["job"] else "on the command line"
    return f"{start}, data set {lineage['dataset']}, {how}"


def _measured_on(version: Version) -> str:
    metrics = version.card["metrics"]
    how = _SEEN if metrics["seen_in_training"] else "never seen"
    return f"{metrics['cases']} cases, {'cross-validated' if is_cross_validated(metrics) else how}"


def comparison(serving: Version, other: Version) -> None:
    """Two versions on the same frozen test set, in all and case by case."""
    keys = [key for key in other.evaluations if key in serving.evaluations]
    honest = serving.card["metrics"]
    if not keys:
        st.info(
            "These two were not tested on the same cases: their figures cannot be compared. A "
            "new training tests both.",
            icon=":material/info:",
        )
        return
    before, after = serving.evaluations[keys[-1]], other.evaluations[keys[-1]]
    st.table(
        [
            {"Figure": title, _title(serving, before): old, _title(other, after): new}
            for title, old, new in _figures(before, after)
        ],
        hide_index=True,
        border="horizontal",
    )
    st.caption(
        f"On the {len(after['cases'])} cases of the frozen test set of {after['dataset']}, with "
        "the masks that would be served. Volume error: the mean of its absolute value."
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
    for label in LABELS:
        old, new = (_number(e["hd95_mm"][label], "mm") for e in (before, after))
        rows.append((f"HD95 {label}", old, new))
    for label in LABELS:
        old, new = (_number(e["volume_error_percent"][label], "%") for e in (before, after))
        rows.append((f"Volume error {label}", old, new))
    return rows


def _number(value: float | None, unit: str) -> str:
    return _DASH if value is None else f"{value:.1f} {unit}"


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


@st.dialog("Put another version into service?")
def confirm_promotion(shared: Services, serving: Version, other: Version) -> None:
    """Both figures once more, then yes or no."""
    keys = [key for key in other.evaluations if key in serving.evaluations]
    for version in (serving, other):
        figures = version.evaluations[keys[-1]] if keys else version.card["metrics"]
        seen = f" ({_SEEN})" if figures["seen_in_training"] else ""
        dice = figures["dice"]
        st.markdown(
            f"**Version {version.number}**, {_STAGES[version.stage]}: Dice "
            f"{dice['anterior']['mean']:.3f} anterior, {dice['posterior']['mean']:.3f} "
            f"posterior{seen}"
        )
    st.markdown(
        "New scans will be segmented by the new version at once. Those under way end with the "
        "old one. It can be rolled back with one click."
    )
    if st.button(f"Put version {other.number} into service", type="primary"):
        with st.spinner(f"Loading version {other.number}. Scans go on meanwhile."):
            try:
                shared.promote(other.number)
            except HippoViewError as error:
                st.session_state["outcome"] = error
            else:
                st.session_state["outcome"] = f"Version {other.number} is in service."
        st.rerun()
