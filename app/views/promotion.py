"""Parts of the Models page that are about what serves: the gate, a promotion, the history."""

from collections.abc import Sequence

import streamlit as st

from app.services import Services
from app.views.admission import administrator, is_admitted
from app.views.words import plain, show_error
from core.errors import HippoViewError
from core.limits import MAX_REASON_CHARS, MIN_REASON_CHARS
from core.models.registry import Version
from core.models.service_log import Promotion
from core.training.evaluation.gate_crops import common_figures
from core.training.evaluation.verdict import Verdict

_STAGES = {"serving": "in service", "candidate": "candidate", "retired": "retired"}
_ORDER = ("failed", "not judged", "passed")
_MOST_NAMED = 3  # in the sentence; the table has all
# The lines scroll within, so that the dialog with its button fits on a screen 900 pixels high.
_LINES_PX = 300
_STATES = {
    "passed": ":material/check_circle: passed",
    "failed": ":material/cancel: **failed**",
    "not judged": ":material/help: not judged",
}


@st.dialog("Put another version into service?", width="large")
def confirm_promotion(shared: Services, number: int) -> None:
    """Show what the gate says, and ask for confirmation; for a reason too where it stops it."""
    if not is_admitted():
        st.rerun()  # the sign-in has ended: the page asks again
    try:
        verdict = shared.judge(number)
    except HippoViewError as error:  # another went into service while this was open
        show_error(error)
        return
    shown = f"gate-{number}"
    seen = st.session_state.get(shown, verdict.key)
    st.session_state[shown] = verdict.key
    _figures(*(shared.registry.get(n) for n in (verdict.before, verdict.after)))
    if seen != verdict.key:
        st.warning(
            "The figures changed since they were shown. These are the new ones.",
            icon=":material/sync:",
        )
    _banner(verdict)
    st.markdown(
        "New scans will be segmented by the new version at once. Those under way end with the "
        "old one. It can be rolled back with one click."
    )
    notice = st.container()
    with st.form(f"promote-{number}", border=False):
        reason = ""
        if not verdict.passed:
            reason = st.text_input(
                "Why all the same?", max_chars=MAX_REASON_CHARS, key=f"reason-{number}",
                placeholder=f"At least {MIN_REASON_CHARS} characters",
            )  # fmt: skip
            st.caption("The reason stays in the history, with who gave it and when.")
        pressed = st.form_submit_button(
            f"Put version {number} into service",
            type="primary" if verdict.passed else "secondary",
        )
    with st.container(height=_LINES_PX):
        _lines(verdict)
    if not pressed or seen != verdict.key:
        return
    if not verdict.passed and len(reason.strip()) < MIN_REASON_CHARS:
        words = f"Say why in at least {MIN_REASON_CHARS} characters."
        notice.warning(words, icon=":material/edit:")
        return
    _promote(shared, number, reason, verdict)


def _figures(serving: Version, other: Version) -> None:
    common = common_figures(serving, other)
    cards = serving.card["metrics"], other.card["metrics"]
    if not common:
        st.warning(
            "These two were not tested on the same cases: the figures below cannot be compared.",
            icon=":material/warning:",
        )
    for version, figures in zip((serving, other), common[0] if common else cards, strict=True):
        seen = " (seen in training)" if figures["seen_in_training"] else ""
        dice = figures["dice"]
        st.markdown(
            f"**Version {version.number}**, {_STAGES[version.stage]}: Dice "
            f"{dice['anterior']['mean']:.3f} anterior, {dice['posterior']['mean']:.3f} "
            f"posterior{seen}"
        )


def _banner(verdict: Verdict) -> None:
    """What the gate says, in a sentence."""
    against = f"version {verdict.before}, in service"
    if verdict.passed:
        st.success(f"The gate lets it pass against {against}.", icon=":material/check_circle:")
    else:
        named = "; ".join(f"{plain(c.name)} {c.state}" for c in verdict.objections[:_MOST_NAMED])
        more = len(verdict.objections) - _MOST_NAMED
        rest = f"; and {more} more below" if more > 0 else ""
        st.error(f"The gate stops it against {against}: {named}{rest}.", icon=":material/block:")
        if any(check.state == "not judged" for check in verdict.objections):
            st.caption(
                "What is not judged can be tested on the server, both versions on the same cases: "
                f"`python -m core models test {verdict.after} --dataset NAME`. Too few cases: "
                "review more, then prepare and train on them."
            )


def _lines(verdict: Verdict) -> None:
    """The gate's checks as a table, what stands against it first."""
    st.table(
        [
            {"State": _STATES[c.state], "Check": plain(c.name), "Figures": plain(c.words)}
            for c in sorted(verdict.checks, key=lambda check: _ORDER.index(check.state))
        ],
        hide_index=True,
        border="horizontal",
    )


def _promote(shared: Services, number: int, reason: str, verdict: Verdict) -> None:
    with st.spinner(f"Loading version {number}. Scans go on meanwhile."):
        try:
            shared.promote(number, by=administrator(), reason=reason, seen=verdict.key)
        except HippoViewError as error:
            st.session_state["outcome"] = error
        else:
            st.session_state["outcome"] = f"Version {number} is in service."
    st.rerun()


def history_table(history: Sequence[Promotion]) -> None:
    """What was put into service when, by whom and why."""
    st.dataframe(
        [
            {
                "When (UTC)": entry.at[:19].replace("T", " "),
                "Version": entry.number,
                "How": entry.action,
                "By": entry.note.by,
                "Reason": entry.note.reason,
                "The gate": "; ".join(entry.note.objections),
            }
            for entry in history
        ],
        hide_index=True,
        alt="Versions put into service, the newest first",
    )
