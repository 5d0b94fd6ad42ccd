"""Send to the PACS: the results of an open case, into the study of its scan."""

from typing import TYPE_CHECKING

import streamlit as st

from app.pacs import send_results
from app.services import Services
from app.views.words import show_error
from core.cases.case import Case
from core.errors import HippoViewError

if TYPE_CHECKING:
    from core.pacs.client import Pacs

_NAMES = {"seg": "the Segmentation", "sr": "the structured report", "pdf": "the PDF report"}


def send_button(shared: Services, case: Case) -> None:
    """A button that sends a case's results, where a PACS is set and the case came as DICOM."""
    if not shared.settings.pacs_url or not case.report.get("study"):
        return
    from core.pacs.client import Pacs  # imports pydicom

    pacs = Pacs.of(shared.settings)
    if pacs is not None:
        _button(shared, pacs, case.id, case.mask_version)


@st.fragment
def _button(shared: Services, pacs: "Pacs", case_id: str, seen: int) -> None:
    is_asked = st.button("Send to the PACS", icon=":material/send:", key=f"send-{case_id}")
    said = st.empty()
    if not is_asked:
        return
    try:
        sent = send_results(shared, pacs, case_id, said.info, seen)
    except HippoViewError as error:
        with said.container():
            show_error(error)
        return
    words = [_NAMES[kind] for kind in sent]
    said.success(
        f"Sent: {', '.join(words[:-1])} and {words[-1]}. The PACS lists them, and the last one was "
        "read back.",
        icon=":material/check_circle:",
    )
