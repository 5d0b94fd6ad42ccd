"""From the PACS: studies searched for, a series chosen, and segmented as an upload is."""

from datetime import date
from typing import TYPE_CHECKING

import streamlit as st

from app.batch import Batch, Upload
from app.pacs import fetching, search
from app.services import Services
from app.views.words import plain, show_error
from core.errors import HippoViewError
from core.wording import counted

if TYPE_CHECKING:
    from core.pacs.client import Pacs, Series, Study

_STUDIES, _SERIES = "pacs-studies", "pacs-series"
_TABLE_PX = 240
_MR = "MR"


def from_pacs(shared: Services, batch: Batch, patient: str) -> None:
    """A search of the PACS, where one is set; its series join the batch.

    Parameters
    ----------
    patient
        Pseudonym that they are kept under.
    """
    if not shared.settings.pacs_url:
        return
    from core.pacs.client import Pacs  # imports pydicom

    pacs = Pacs.of(shared.settings)
    if pacs is not None:
        _search(shared, pacs, batch, patient)


@st.fragment
def _search(shared: Services, pacs: "Pacs", batch: Batch, patient: str) -> None:
    if not shared.accounts.guard.may("pacs"):
        return
    with st.expander("From the PACS", icon=":material/database_search:", key="pacs"):
        _form(shared, pacs)
        studies: list[Study] | None = st.session_state.get(_STUDIES)
        if studies is None:
            return
        if not studies:
            st.info("The PACS has no such study. An asterisk stands for anything: DOE*.")
            return
        study = _chosen_study(studies)
        if study is None:
            st.caption(f"{counted(len(studies), 'study', 'studies')}. Choose one.")
            return
        series = _chosen_series(pacs, study)
        if series and st.button(
            "Fetch and segment", type="primary", icon=":material/download:", key="pacs-fetch"
        ):
            name = f"PACS, {counted(series.instances, 'file')}" if series.instances else "PACS"
            batch.add([Upload(name, fetching(shared, pacs, series), patient)])
            batch.round += 1  # the next series may be another patient's
            st.rerun()


def _form(shared: Services, pacs: "Pacs") -> None:
    with st.form("pacs-search", border=False):
        fields = st.columns([2, 3, 3, 2, 1], vertical_alignment="bottom")
        patient_id = fields[0].text_input("Patient id", key="pacs-id")
        name = fields[1].text_input("Patient name", key="pacs-name", placeholder="DOE^J*")
        days = fields[2].date_input("Study date, or first and last", [], key="pacs-date")
        accession = fields[3].text_input("Accession number", key="pacs-accession")
        if not fields[4].form_submit_button("Search", type="primary"):
            return
    for key in (_STUDIES, _SERIES):
        st.session_state.pop(key, None)
    try:
        with st.spinner("Searching the PACS"):
            st.session_state[_STUDIES] = search(
                shared, pacs, patient_id=patient_id, name=name, date=_dates(days),
                accession=accession,
            )  # fmt: skip
    except HippoViewError as error:
        show_error(error)


def _dates(days: object) -> str:
    """One date, or two, as DICOM has them."""
    every = [day for day in days if isinstance(day, date)] if isinstance(days, tuple | list) else []
    return "-".join(f"{day:%Y%m%d}" for day in dict.fromkeys(every))


def _chosen_study(studies: "list[Study]") -> "Study | None":
    rows = [
        {"Patient": study.patient_name, "Patient id": study.patient_id, "Date": _iso(study.date),
         "Study": study.description, "Accession": study.accession}
        for study in studies
    ]  # fmt: skip
    event = st.dataframe(
        rows, hide_index=True, on_select="rerun", selection_mode="single-row",
        key=f"pacs-table-{hash(tuple(study.uid for study in studies))}", placeholder="",
        height=_TABLE_PX if len(rows) > 5 else "auto", alt="Studies that the PACS has",
        selection_default={"selection": {"rows": [0]}} if len(rows) == 1 else None,
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    return studies[chosen[0]] if chosen else None


def _chosen_series(pacs: "Pacs", study: "Study") -> "Series | None":
    listed: tuple[str, list[Series]] | None = st.session_state.get(_SERIES)
    if listed is None or listed[0] != study.uid:
        try:
            with st.spinner("Asking the PACS for the series"):
                listed = study.uid, pacs.series(study.uid)
        except HippoViewError as error:
            show_error(error)
            return None
        st.session_state[_SERIES] = listed
    images = {one.uid: one for one in listed[1] if one.modality == _MR}
    others = [one for one in listed[1] if one.modality != _MR]
    if others:
        words = "; ".join(f"{plain(one.description or one.number)} ({plain(one.modality)})"
                          for one in others)  # fmt: skip
        st.caption(f"No MR images: {words}.")
    if not images:
        st.info("This study has no series of MR images.")
        return None
    uid = st.radio(
        "Series", list(images), key=f"pacs-series-{study.uid}",
        format_func=lambda uid: plain(images[uid].description or "Without a description"),
        captions=[_caption(one) for one in images.values()],
    )  # fmt: skip
    return images[uid]


def _caption(series: "Series") -> str:
    number = f"number {plain(series.number)}" if series.number else ""
    files = counted(series.instances, "file") if series.instances else ""
    return ", ".join(part for part in (number, files) if part)


def _iso(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else day
