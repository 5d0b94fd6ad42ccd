"""The Rules section of the Retrain page."""

import streamlit as st

from app import rules
from app.services import Services
from app.views.admission import is_admitted
from app.views.words import show_error
from core import limits
from core.errors import HippoViewError
from core.training.config import PRESETS
from core.training.rules import RuleSettings


def rules_section(shared: Services) -> None:
    """Switch rules on and off, and what they wait for."""
    now = rules.state(shared)
    is_on = bool(now["after_cases"] or now["on_drift"])
    with st.expander(f"Rules: {'on' if is_on else 'off'}", icon=":material/rule:"):
        st.markdown(
            "A rule asks for a training on the reviewed cases by itself. The training ends as a "
            "candidate: a person compares and promotes it, or does not."
        )
        if is_on:
            st.markdown(f"{now['words']}.")
        if now["trouble"]:
            st.warning(now["trouble"], icon=":material/warning:")
        with st.form("rules", border=False):
            after = st.number_input(
                "After so many newly reviewed cases", 0, 10_000, now["after_cases"], width=320,
                help="Since the last training on them. 0 switches this rule off.",
            )  # fmt: skip
            on_drift = st.checkbox(
                "On a drift alarm", now["on_drift"],
                help=f"When the state of the {limits.RULE_DRIFT_CASES} newest cases is *Act*, once "
                "until it is *Quiet* again.",
            )  # fmt: skip
            preset = st.segmented_control(
                "Preset of these trainings", list(PRESETS), default=now["preset"], required=True
            )
            pause = st.number_input(
                "Days between two of them, at least", 1, 365, now["pause_days"], width=320,
                help="Also after a training on the reviewed cases that failed or was cancelled.",
            )  # fmt: skip
            if st.form_submit_button("Save rules", icon=":material/save:") and is_admitted():
                _save(shared, RuleSettings(int(after), on_drift, preset, int(pause)))


def _save(shared: Services, settings: RuleSettings) -> None:
    try:
        rules.save(shared, settings)
    except HippoViewError as error:
        show_error(error)
        return
    st.rerun()
