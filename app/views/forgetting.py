"""*Forget this patient* on the Patients page."""

import streamlit as st

from app.services import Services
from app.views.words import plain
from core.cases.case import patient_text
from core.errors import HippoViewError
from core.wording import counted

_RECEIPT, _PROBLEM = "forget-receipt", "forget-problem"


def show_receipt() -> None:
    """The receipt of what was just forgotten, until the page is left."""
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(problem, icon=":material/block:")
    receipt = st.session_state.get(_RECEIPT)
    if receipt is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        versions = ", ".join(map(str, receipt.versions_trained_on_it))
        st.success(
            f"A patient was forgotten: {counted(len(receipt.cases), 'scan')}."
            + (f" Model versions trained on them: {versions}." if versions else ""),
            icon=":material/check:",
        )
        st.download_button(
            "Receipt (.json)", receipt.file(), "hippoview-receipt.json", "application/json",
            on_click="ignore", icon=":material/download:",
            help="The server keeps none: it names the patient.",
        )  # fmt: skip


def forget_form(shared: Services, patient: str, scans: int) -> None:
    """Ask twice, then forget; for those who may delete."""
    if not shared.accounts.guard.may("delete"):
        return
    with st.popover("Forget this patient", icon=":material/person_off:"):
        st.markdown(
            f"{counted(scans, 'scan')}, deleted ones besides, with masks, reviews, drafts, "
            "pictures and copies in data sets: gone at once, and nobody can bring them back."
        )
        typed = st.text_input(
            "Type the patient's pseudonym", key=f"forget-{patient}", autocomplete="off", live=True
        )
        st.button(
            "Forget for good", type="primary", disabled=patient_text(typed) != patient,
            on_click=_forget, args=(shared, patient),
        )  # fmt: skip


def _forget(shared: Services, patient: str) -> None:
    try:
        st.session_state[_RECEIPT] = shared.forget_patient(patient)
    except HippoViewError as error:
        st.session_state[_PROBLEM] = plain(f"{error.message}. {error.hint}")
    else:
        st.query_params.pop("case", None)
