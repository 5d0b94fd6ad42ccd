"""Cases: everything that was segmented here."""

import hashlib
from functools import partial

import streamlit as st

from app.operations import cases_health, cases_words
from app.views.case import show_case
from app.views.folding import fold, fold_button
from app.views.owners import owners_form, unseen_words
from app.views.patients import patient_form
from app.views.recorded import as_visitor
from app.views.reviewing import typed
from app.views.shared import services
from app.views.words import plain, show_error
from core import limits
from core.cases.case import Case
from core.cases.store import Cases
from core.cases.worklist import ANY, KINDS, ORDERS, Filter, ids_in, next_new, reviewed
from core.errors import HippoViewError
from core.exports.case_list import export_list
from core.settings import ROOT
from core.wording import counted

_TABLE_PX = 290
_REFRESH_S = 2.0
_LIST = "case-list"
# So that the volumes are in sight at 1280 pixels; a longer content shows when pointed at.
_COLUMN_PX = {
    "": 30, "Name": 130, "Case": 90, "Patient": 105, "Review": 75, "Confidence": 80, "Volumes": 80,
    "Warnings": 70,
}  # fmt: skip
_VOLUME_PX = {"Left (mm³)": 80, "Right (mm³)": 85, "Total (mm³)": 85}
_ROUNDED = (
    "Each is rounded by itself: left and right may differ from the total by 1. A crop has no side."
)
_NAME_PX = 480  # Streamlit writes its hint over the end of a narrower field

cases: Cases = services().cases


def _select(case_id: str) -> None:
    st.query_params["case"] = case_id


def _close() -> None:
    st.query_params.pop("case", None)


def _show_all() -> None:
    st.query_params.pop("only", None)


def _delete(case_id: str) -> None:
    try:
        services().delete_case(case_id)
    except HippoViewError as error:
        st.session_state["case-problem"] = f"{case_id}: {error.message}. {error.hint}"
        return
    if st.query_params.get("case") == case_id:  # else another is open by now
        st.query_params.pop("case")
    st.session_state["deleted"] = case_id


def _restore(case_id: str) -> None:
    try:
        cases.restore(case_id)
    except HippoViewError as error:
        st.session_state["case-problem"] = f"{case_id}: {error.message}. {error.hint}"
    if st.session_state.get("deleted") == case_id:
        st.session_state.pop("deleted")


def _rename(case_id: str, key: str) -> None:
    try:
        cases.rename(case_id, typed(key))
    except HippoViewError as error:
        st.session_state["case-problem"] = f"{case_id}: {error.message}. {error.hint}"


# A place of its own for each part: what a part before it has or lacks does not move a case, which
# would stand there twice until the script ends.
notice, strip, listing, opened = (
    st.container(), st.container(), st.container(key=_LIST), st.container(),
)  # fmt: skip
is_open = st.query_params.get("case")
is_folded = fold(_LIST, is_open=bool(is_open))

with listing, st.container(horizontal=True, vertical_alignment="bottom"):
    search = st.text_input("Search by name, patient or case id", placeholder="All cases", width=300)
    kind = st.segmented_control(
        "Show", KINDS, default=ANY, required=True, format_func=str.capitalize, key="kind"
    )
    with st.popover("Date, volume, order", icon=":material/filter_list:"):
        days = st.date_input("Segmented (UTC), from and to", value=(), key="days")
        least = st.number_input("Total volume from (mm³)", 0, value=None, step=100)
        most = st.number_input("Total volume to (mm³)", 0, value=None, step=100)
        order = st.selectbox("Order", list(ORDERS), format_func=str.capitalize)
first_day, last_day = (*(day.isoformat() for day in days), "", "")[:2]
matches = cases.find(search)
only = ids_in(st.query_params.get("only", ""))
chosen = Filter(kind, first_day, last_day, least, most, only)
rows = sorted((row for row in matches if chosen.admits(row)), key=ORDERS[order])


@st.fragment(run_every=_REFRESH_S)
def _taking_in() -> None:
    """Says how far it is, and shows the whole list once it is there."""
    words = cases_words(cases_health(services()))
    if words:
        st.info(words, icon=":material/hourglass_top:")
    else:
        st.rerun()


if not cases.caretaker.progress.finished:
    with notice:
        _taking_in()
if only:
    with notice, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/filter_list: A worklist of {counted(len(only), 'case')}.")
        st.button("Show all cases", on_click=_show_all, icon=":material/close:", key="show-all")
if deleted := st.session_state.get("deleted"):
    with notice, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Case {deleted} was deleted.")
        st.button(
            "Undo", on_click=_restore, args=(deleted,), icon=":material/undo:",
            key=f"undo-{deleted}",
        )  # fmt: skip
if problem := st.session_state.pop("case-problem", ""):
    with notice:
        st.warning(problem, icon=":material/block:")


def _rounded(volume_mm3: float | None) -> int | None:
    return None if volume_mm3 is None else round(volume_mm3)


def _open() -> None:
    """The row that was chosen."""
    picked = st.session_state[table]["selection"]["rows"] if table in st.session_state else []
    if picked:
        st.session_state["last-picked"] = rows[picked[0]].id
    if last := st.session_state.get("last-picked"):  # also where its row was chosen a second time
        _select(last)


def _open_next(after: str) -> None:
    case_id = next_new(rows, after)
    if case_id is None:
        st.toast("No other case of this list waits for a review.", icon=":material/done_all:")
    else:
        _select(case_id)


with listing:
    if not rows:
        st.info(
            f"No case matches “{plain(search)}”.{unseen_words()}" if search else
            "None of these cases is here any more, or is one that you may see." if only else
            "No case is shown: choose All above, or clear the dates and volumes." if matches else
            f"No cases yet. What is segmented on the Segment page is kept here.{unseen_words()}",
            icon=":material/folder_open:",
        )  # fmt: skip
    else:
        # A row's number is read against these rows and no others.
        listed = hashlib.sha256(" ".join(row.id for row in rows).encode()).hexdigest()
        table = f"cases-{search}-{chosen}-{order}-{listed}"
        number = st.column_config.NumberColumn(format="localized")
        st.dataframe(
            [
                {
                    "": "▸" if r.id == is_open else "",
                    "Name": r.name,
                    "Case": r.id,
                    "Patient": r.patient,
                    "Review": r.review.capitalize(),
                    "Confidence": r.confidence,
                    "Left (mm³)": _rounded(r.left_mm3),
                    "Right (mm³)": _rounded(r.right_mm3),
                    "Total (mm³)": round(r.total_mm3),
                    "Volumes": r.too_small,
                    "Warnings": r.warning_count,
                    "Segmented (UTC)": r.created_at[:16].replace("T", " "),
                    "Anterior (mm³)": round(r.anterior_mm3),
                    "Posterior (mm³)": round(r.posterior_mm3),
                    "Mask": f"version {r.mask_version}" if r.mask_version else "model",
                    "Model": r.model_version,
                }
                for r in rows
            ],
            hide_index=True,
            key=table,
            height=_TABLE_PX if len(rows) > 6 else "auto",
            on_select=_open,
            selection_mode="single-row",
            column_config={
                **dict.fromkeys(("Anterior (mm³)", "Posterior (mm³)"), number),
                **{name: st.column_config.Column(width=px) for name, px in _COLUMN_PX.items()},
                **{
                    name: st.column_config.NumberColumn(format="localized", width=px, help=_ROUNDED)
                    for name, px in _VOLUME_PX.items()
                },
            },
            placeholder="",  # of a crop, which has no side
            alt="Cases with their review, volumes and warnings",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"{counted(len(rows), 'case')}. **{reviewed(rows)} of {len(rows)} "
                "reviewed.** Choose a row to open it.",
                width="content",
            )
            if next_new(rows, "") and not is_open:
                st.button(
                    "Start reviewing", icon=":material/play_arrow:", shortcut="J",
                    on_click=_open_next, args=("",), key="start",
                )  # fmt: skip
            st.download_button(
                "List (.csv)",
                as_visitor(services(), partial(export_list, cases, {row.id for row in rows})),
                "hippoview-cases.csv", "text/csv", on_click="ignore", icon=":material/download:",
                help="These cases with their names, patients, volumes and reviews.",
            )  # fmt: skip


def _tools(case: Case) -> None:
    """What is done with the record of the open case."""
    with (
        st.popover("Rename", icon=":material/edit:", key=f"rename-{case.id}-{case.name}"),
        st.form(f"rename-{case.id}", border=False),
    ):
        field = f"name-{case.id}-{case.name}"
        st.text_input("Name", case.name, max_chars=limits.MAX_NAME_CHARS, width=_NAME_PX, key=field)
        st.form_submit_button("Save the name", on_click=_rename, args=(case.id, field))
    patient_form(cases, case)
    if case.patient:
        st.page_link(
            str(ROOT / "pages" / "patients.py"), label="All scans", icon=":material/groups:",
            query_params={"case": case.id}, help="Of this patient, and what has changed.",
        )  # fmt: skip
    owners_form(cases, case)
    # Each control by its case's key: a late click acts on the case that was seen.
    if cases.guard.may("delete"):
        st.button(
            "Delete", on_click=_delete, args=(case.id,), icon=":material/delete:",
            help=f"It can be restored for {limits.TRASH_DAYS} days.", key=f"delete-{case.id}",
        )  # fmt: skip


if is_open:
    try:
        case = cases.get(is_open)
    except HippoViewError as error:
        case = None
        with opened:
            show_error(error)
    with strip, st.container(horizontal=True, vertical_alignment="center"):
        st.button("Close the case", icon=":material/arrow_back:", on_click=_close, key="close")
        fold_button(_LIST, is_folded=is_folded)
        st.caption(
            f"{reviewed(rows)} of {len(rows)} reviewed" if rows else "The list is empty",
            width="stretch",
        )  # fmt: skip
        if case is not None:
            _tools(case)
    if case is not None:
        with opened:
            show_case(services(), case.id, _open_next)

trash = cases.find(deleted=True) if cases.guard.may("delete") else []
if trash:
    with st.expander(f"Deleted cases ({len(trash)}), kept for {limits.TRASH_DAYS} days"):
        for row in trash:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{row.id}")
                st.button("Restore", on_click=_restore, args=(row.id,), key=f"restore-{row.id}")
