"""Part of a head's case: left and right hippocampus beside each other, the right one mirrored."""

from typing import Any

import streamlit as st

from app.services import Services
from core.anatomy import Convention
from core.cases.case import Case
from core.cases.displays import Plane
from core.exports.sentences import Sentences
from core.exports.sides_picture import sides_png

_PLANES: dict[Plane, str] = {"long axis": "Across the long axis", "coronal": "Coronal"}
_KEPT = 20


@st.fragment
def both_sides(shared: Services, case: Case, convention: Convention) -> None:
    """A picture that is drawn when somebody opens it; of a crop there is none."""
    head = case.report.get("head")
    if not head:
        return
    with st.expander(
        "Both sides beside each other, the right one mirrored", on_change="rerun",
        key=f"sides-{case.id}",
    ) as opened:  # fmt: skip
        if not opened.open:
            return
        plane = st.segmented_control(
            "Slices", list(_PLANES), default="long axis", required=True,
            format_func=lambda each: _PLANES[each], key="sides-plane", persist_state="session",
        )  # fmt: skip
        picture = _picture(shared, head, case.id, case.mask_version, plane, convention)
        if picture is None:
            st.caption("The mask is empty: there is nothing to compare.")
            return
        st.image(
            picture, width="stretch",
            alt="Above, slices of the left hippocampus; below, of the right one, mirrored",
        )  # fmt: skip
        st.caption(
            "Above **L**, the left hippocampus as it lies; below **R mirrored**, the right one, "
            "left and right exchanged, so that like lies under like. Both are cut by the same "
            "planes, along the head's own axes; mm behind the front end of the longer one. The "
            "letters at the edges are the patient's directions."
        )


@st.cache_data(show_spinner="Drawing both sides", max_entries=_KEPT)
def _picture(
    _shared: Services, _head: dict[str, Any], case_id: str, version: int, plane: Plane,
    convention: Convention,
) -> bytes | None:  # fmt: skip
    images = _shared.viewer_files.images(case_id, version)
    return sides_png(images, _head, plane, convention, Sentences("en"))
