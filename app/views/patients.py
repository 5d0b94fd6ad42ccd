"""The patient of a case: a pseudonym, typed or chosen among those that are known."""

import streamlit as st

from core.cases.store import Cases
from core.errors import HippoViewError

_FIELD_PX = 360
_NONE = "None given"


def patient_field(cases: Cases, key: str, current: str = "") -> None:
    """Ask for a patient; `chosen_patient` reads the answer."""
    options = ["", *sorted({*cases.patients(), *filter(None, [current])})]
    st.selectbox(
        "Patient (a pseudonym)", options, options.index(current), key=key, width=_FIELD_PX,
        format_func=lambda patient: patient or _NONE, accept_new_options=True,
        help="Scans of one patient are never split between training and test. Exports have it only "
        "on request. Type a code, not a name.",
    )  # fmt: skip


def chosen_patient(key: str) -> str:
    """The patient in a field, for a callback; see `app.views.reviewing.typed`."""
    return str(st.session_state.to_dict().get(key) or "")


def patient_form(cases: Cases, case_id: str, current: str) -> None:
    """A form that gives a case its patient, or another one."""
    key = f"patient-{case_id}-{current}"
    with (
        st.popover("Patient", icon=":material/person:", key=f"popover-{key}"),
        st.form(f"form-{key}", border=False),
    ):
        patient_field(cases, key, current)
        st.form_submit_button(
            "Save the patient", on_click=_save, args=(cases, case_id, key)
        )  # fmt: skip


def _save(cases: Cases, case_id: str, key: str) -> None:
    try:
        cases.set_patient(case_id, chosen_patient(key))
    except HippoViewError as error:
        st.session_state["case-problem"] = f"{case_id}: {error.message}. {error.hint}"
