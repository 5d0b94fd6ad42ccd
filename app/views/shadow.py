"""The Shadow section of the Models page."""

from collections.abc import Callable

import streamlit as st

from app.services import Services
from app.views.admission import is_admitted
from app.views.words import DASH, show_error
from core import limits
from core.errors import HippoViewError
from core.models.registry import Version
from core.shadow.figures import PARTS, Summary, most_different, summaries
from core.shadow.runner import Report
from core.wording import counted

_MOST_DIFFERENT = 10
_STAGES = {"candidate": "candidate", "retired": "retired"}


def shadow_section(shared: Services, versions: list[Version]) -> None:
    """Choose a shadow, and how its masks differ from those of the version in service."""
    st.subheader("Shadow", anchor=False)
    st.markdown(
        "A shadow segments each delivered scan a second time, while nobody waits. Its masks are "
        "compared with those of the version in service; they are neither delivered nor kept."
    )
    error = st.session_state.pop("shadow-error", None)
    if isinstance(error, HippoViewError):
        show_error(error)
    choice = shared.shadow.choice()
    if choice.ended:
        st.warning(f"No shadow runs. {choice.ended}", icon=":material/info:")
    others = {v.number: v for v in versions if v.stage != "serving"}
    if not others:
        st.info(
            "There is no version that could be a shadow yet. A training on the *Retrain* page "
            "makes a candidate.",
            icon=":material/contrast:",
        )
        return
    numbers = list(others)
    chosen = choice.number if choice.number in others else None
    number = st.selectbox(
        "Version", numbers, index=numbers.index(chosen or numbers[0]), width=360,
        format_func=lambda n: f"Version {n}, {_STAGES[others[n].stage]}"
        + (", runs as the shadow" if n == chosen else ""),
        key=f"shadow-{chosen}-{numbers[0]}",
    )  # fmt: skip
    if chosen is None:
        st.button(f"Run version {number} as the shadow", icon=":material/contrast:",
                  on_click=_attempt, args=(shared.shadow.switch_on, number))  # fmt: skip
    else:
        st.button(f"End the shadow, version {chosen}", icon=":material/stop:",
                  on_click=_attempt, args=(shared.shadow.switch_off, chosen))  # fmt: skip
    try:
        _figures(shared.shadow.report(number))
    except HippoViewError as problem:
        show_error(problem)


def _attempt(act: Callable[[int], None], number: int) -> None:
    """Switch on or off, which somebody else may have done since the page was drawn."""
    if not is_admitted():
        return
    try:
        act(number)
    except HippoViewError as error:
        st.session_state["shadow-error"] = error


def _figures(report: Report) -> None:
    if report.choice.number == report.number:
        _state(report)
    rows = summaries(report.rows)
    if not rows:
        st.info(
            f"No scan was compared yet between version {report.number} and version "
            f"{report.version}, in service."
            + ("" if report.choice.number == report.number else " Run it as the shadow first."),
            icon=":material/hourglass_empty:",
        )
        return
    st.dataframe(
        [_row(summary) for summary in rows], hide_index=True,
        alt="Dice, volume differences and time of the shadow against the version in service",
    )  # fmt: skip
    scans = counted(len({row.scan for row in report.rows}), "scan")
    st.caption(
        f"{scans}. Dice between the two: the median; 1 where the masks are the same. Volume: "
        f"version {report.number} less version {report.version}, the median and the range that "
        "holds 95 % of the scans. Time: the median of the shadow's seconds over those of the "
        "version in service, which other scans may have slowed. Kept are the newest "
        f"{limits.MAX_SHADOW_ROWS:,} hippocampi of each shadow."
    )
    different = most_different(report.rows, _MOST_DIFFERENT)
    if different:
        st.markdown("**The most different cases**")
        st.table(
            [
                {
                    "Case": f"[{row.case_id}](/cases?case={row.case_id})",
                    "Side": row.side or DASH,
                    "Dice": _dice(row.dice),
                    "Anterior": _dice(row.dice_anterior),
                    "Posterior": _dice(row.dice_posterior),
                    "Volume difference": f"{row.difference_mm3('total'):+,.0f} mm³",
                }
                for row in different
            ],
            hide_index=True,
            border="horizontal",
        )


def _state(report: Report) -> None:
    """What this server's shadow does and takes."""
    memory = (
        "It is loaded within the next moment in which nobody waits."
        if report.loaded_mib is None
        else f"Loading it took {report.loaded_mib:,} MiB of this server's memory."
    )
    counts = report.counts
    left_out = [
        f"{count:,} {words}"
        for count, words in (
            (counts.dropped, "gave way to newer ones"),
            (counts.interrupted, "were interrupted each time"),
            (counts.too_large, "were too large"),
            (counts.failed, "failed"),
        )
        if count
    ]
    st.caption(
        f"On since {report.choice.since[:16].replace('T', ' ')} UTC. {memory} Scans compared by "
        f"this server so far: {counts.compared:,}"
        + (f"; left out: {', '.join(left_out)}." if left_out else ".")
    )


def _row(summary: Summary) -> dict[str, str | int]:
    row: dict[str, str | int] = {
        "Of": f"heads, {summary.side}" if summary.kind == "head" else "crops",
        "Scans": summary.scans,
    }
    for part in PARTS:
        row[f"Dice {_word(part)}"] = _dice(summary.dice[part])
    for part in PARTS:
        spread = summary.difference_mm3[part]
        row[f"Volume {_word(part)} (mm³)"] = (
            f"{round(spread.median):+,} ({round(spread.low):+,} to {round(spread.high):+,})"
        )
    row["Time"] = f"{summary.time_ratio:.1f} times"
    return row


def _word(part: str) -> str:
    return "whole" if part == "total" else part


def _dice(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
