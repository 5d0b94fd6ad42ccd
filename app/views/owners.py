"""The groups that see a case, for those who may say so."""

import streamlit as st

from app.views.reviewing import typed_words
from core.cases.case import Case
from core.cases.store import Cases
from core.errors import HippoViewError
from core.people.acting import actor

_FIELD_PX = 380


def unseen_words() -> str:
    """Why a search may find nothing although there is something: a reader sees own groups alone."""
    who = actor()
    if who.role != "reader":
        return ""
    if not who.groups:
        return " You are in no group yet, so no case is shown: ask an administrator for one."
    names = ", ".join(sorted(who.groups))
    return f" It may belong to another group: you see the cases of {names} alone."


def owners_form(cases: Cases, case: Case) -> None:
    """The groups of a case; of all cases of its patient, where that is asked for."""
    if cases.guard.is_open or not cases.guard.may("assign"):
        return
    key = f"owners-{case.id}-{case.owners}"
    with (
        st.popover("Groups", icon=":material/group:", key=f"popover-{key}"),
        st.form(key, border=False),
    ):
        st.text_input(
            "Groups that see it", case.owners.strip(), key=f"{key}-field", width=_FIELD_PX,
            placeholder="memory-clinic ward-3", help="None: reviewers and administrators alone.",
        )  # fmt: skip
        if case.patient:
            st.checkbox(
                "All scans of this patient", key=f"{key}-all",
                help="Anybody who may change a case can type any pseudonym: look whose scans these "
                "are before you tick it.",
            )  # fmt: skip
        st.form_submit_button("Save the groups", on_click=_save, args=(cases, case, key))


def _save(cases: Cases, case: Case, key: str) -> None:
    groups = typed_words(f"{key}-field")
    is_all = bool(case.patient) and bool(st.session_state.to_dict().get(f"{key}-all"))
    try:
        if is_all:
            cases.set_patient_owners(case.patient, groups)
        else:
            cases.set_owners(case.id, groups)
    except HippoViewError as error:
        st.session_state["case-problem"] = f"{case.id}: {error.message}. {error.hint}"
