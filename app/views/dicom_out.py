"""Downloads of an open case as DICOM objects, in the study of its scan."""

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from app.services import Services
from app.views.recorded import recorded
from app.views.send import send_button
from app.views.words import show_error
from core.cases.case import Case
from core.cases.seen import case_as_seen
from core.errors import HippoViewError

if TYPE_CHECKING:
    from core.exports.dicom_case import Kind

_BUTTONS: tuple[tuple["Kind", str, str], ...] = (
    ("seg", "Segmentation (.dcm)", "dcm"), ("sr", "Structured report (.dcm)", "dcm"),
    ("pdf", "PDF report (.dcm)", "dcm"), ("zip", "All three (.zip)", "zip"),
)  # fmt: skip


def dicom_downloads(shared: Services, case: Case) -> None:
    """Buttons for SEG, SR, encapsulated PDF and a zip of them, or why there are none."""
    if not case.report.get("study"):
        st.caption(
            "No DICOM objects: the scan came as NIfTI, or as files that name no study. Segment the "
            "DICOM series itself to send the result back to its study."
        )
        return
    st.caption("DICOM, in the study of the scan, with the patient's name and id.")
    _buttons(shared, case)
    send_button(shared, case)


@st.fragment
def _buttons(shared: Services, case: Case) -> None:
    """The buttons; a click also asks whether the mask that was seen is still the current one.

    Streamlit has no words of ours for a file that could not be made.
    """
    with st.container(horizontal=True):
        for kind, label, ending in _BUTTONS:
            st.download_button(
                label,
                recorded(shared, case.id, f"dicom {kind}", partial(_file, shared, case, kind)),
                f"{case.id}_{kind}.{ending}",
                f"application/{'zip' if kind == 'zip' else 'dicom'}",
                icon=":material/download:", key=f"get-dicom-{kind}-{case.id}",
            )  # fmt: skip
    try:
        case_as_seen(shared.cases, case.id, case.mask_version)
    except HippoViewError as error:
        show_error(error)


def _file(shared: Services, case: Case, kind: "Kind") -> bytes:
    # highdicom takes seconds to import: only who asks for it waits.
    from core.exports.dicom_case import case_object

    all_frames = shared.settings.seg_frames == "all"
    return case_object(
        shared.cases, case.id, kind, empty_frames=all_frames, seen=case.mask_version
    )  # fmt: skip
