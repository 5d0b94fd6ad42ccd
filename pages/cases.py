"""Cases: everything that was segmented here."""

import streamlit as st

from app.services import services
from app.widgets import show_case, show_error
from core import limits
from core.cases import Cases
from core.errors import HippoViewError

_TABLE_PX = 290

cases: Cases = services().cases


def _select(case_id: str) -> None:
    st.query_params["case"] = case_id


def _delete(case_id: str) -> None:
    cases.delete(case_id)
    st.query_params.pop("case", None)
    st.session_state["deleted"] = case_id


def _restore(case_id: str) -> None:
    cases.restore(case_id)
    st.session_state.pop("deleted", None)


search = st.text_input("Search by name or case id", placeholder="All cases", width=360)
rows = cases.find(search)

if deleted := st.session_state.get("deleted"):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Case {deleted} was deleted.")
        st.button("Undo", on_click=_restore, args=(deleted,), icon=":material/undo:")

if not rows:
    st.info(
        f"No case matches “{search}”." if search else
        "No cases yet. What is segmented on the Segment page is kept here.",
        icon=":material/folder_open:",
    )  # fmt: skip
else:
    number = st.column_config.NumberColumn(format="localized")
    event = st.dataframe(
        [
            {
                "Name": r.name,
                "Case": r.id,
                "Segmented (UTC)": r.created_at[:16].replace("T", " "),
                "Anterior (mm³)": round(r.anterior_mm3),
                "Posterior (mm³)": round(r.posterior_mm3),
                "Total (mm³)": round(r.anterior_mm3 + r.posterior_mm3),
                "Warnings": r.warning_count,
                "Model": r.model_version,
            }
            for r in rows
        ],
        hide_index=True,
        key=f"cases-{search}-{len(rows)}",
        height=_TABLE_PX if len(rows) > 6 else "auto",
        on_select="rerun",
        selection_mode="single-row",
        column_config=dict.fromkeys(("Anterior (mm³)", "Posterior (mm³)", "Total (mm³)"), number),
        alt="Cases with their volumes and warnings",
    )
    st.caption(f"{len(rows)} case{'s' * (len(rows) > 1)}. Choose a row to open it.")
    if event["selection"]["rows"]:
        _select(rows[event["selection"]["rows"][0]].id)

if case_id := st.query_params.get("case"):
    try:
        case = cases.get(case_id)
    except HippoViewError as error:
        show_error(error)
    else:
        with st.container(horizontal=True):
            with (
                st.popover("Rename", icon=":material/edit:"),
                st.form(f"rename-{case_id}", border=False),
            ):
                name = st.text_input("Name", case.name, max_chars=limits.MAX_NAME_CHARS)
                renamed = st.form_submit_button("Save the name")
            st.button(
                "Delete", on_click=_delete, args=(case_id,), icon=":material/delete:",
                help=f"It can be restored for {limits.TRASH_DAYS} days.",
            )  # fmt: skip
        if renamed:
            try:
                cases.rename(case_id, name)
            except HippoViewError as error:
                show_error(error)
            else:
                st.rerun()
        show_case(services(), case)

trash = cases.find(deleted=True)
if trash:
    with st.expander(f"Deleted cases ({len(trash)}), kept for {limits.TRASH_DAYS} days"):
        for row in trash:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{row.id}")
                st.button("Restore", on_click=_restore, args=(row.id,), key=f"restore-{row.id}")
