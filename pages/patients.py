"""Patients: whose scans lie here, each one's scans in time, and what has changed."""

import hashlib

import streamlit as st

from app.views.again import show_again
from app.views.change import show_change
from app.views.forgetting import forget_form, show_receipt
from app.views.moved import show_moved
from app.views.owners import unseen_words
from app.views.patients import SEX_WORDS, scan_row
from app.views.shared import services
from app.views.words import plain
from core.cases.persons import Person, persons, scans_of
from core.settings import ROOT
from core.wording import counted

_TABLE_PX = 290
_CASES = str(ROOT / "pages" / "cases.py")

shared = services()
cases = shared.cases
show_receipt()
search = st.text_input(
    "Search by patient, name or case id", placeholder="All patients", width=300, live=True
)
people = persons(cases, search)
# By one of their cases: a pseudonym in an address would stay in the history and in logs.
open_case = st.query_params.get("case", "")
opened = next((person for person in people if open_case in person.case_ids), None)
if opened is None and len(people) == 1:
    opened = people[0]


def _open() -> None:
    picked = st.session_state[table]["selection"]["rows"] if table in st.session_state else []
    if picked:
        st.query_params["case"] = people[picked[0]].case_ids[0]


def _ages(person: Person) -> str:
    if not person.ages:
        return ""
    first, last = person.ages[0], person.ages[-1]
    return str(first) if first == last else f"{first} to {last}"


if not people:
    if search:
        st.info(
            f"No patient matches “{plain(search)}”.{unseen_words()}",
            icon=":material/person_search:",
        )
    else:
        st.info(
            "No patients yet. Open a case on *Cases* and type a pseudonym under *Patient*, or type "
            "it on *Segment* before you drop a file. Scans of one patient are then listed here in "
            f"time, and compared.{unseen_words()}",
            icon=":material/person:",
        )
        st.page_link(_CASES, label="Go to Cases", icon=":material/folder_open:")
    st.stop()

listed = hashlib.sha256(" ".join(i for p in people for i in p.case_ids).encode()).hexdigest()
table = f"patients-{search}-{listed}"
st.dataframe(
    [
        {
            "Patient": f"{'▸ ' * (person is opened)}{person.patient}",
            "Scans": len(person.case_ids),
            "First scan": person.first_day,
            "Last scan": person.last_day,
            "Sex": SEX_WORDS[person.sex] if person.sex else "",
            "Age (years)": _ages(person),
        }
        for person in people
    ],
    hide_index=True, key=table, height=_TABLE_PX if len(people) > 6 else "auto",
    on_select=_open, selection_mode="single-row",
    alt="Patients with their scans, sex and age",
)  # fmt: skip
st.caption(
    f"{counted(len(people), 'patient')}. Choose a row to see the patient's scans; a search that "
    "leaves one opens it."
)

if opened is not None:
    st.subheader(plain(opened.patient), anchor=False)
    scans = scans_of(cases, opened.patient)
    st.table([scan_row(case) for case in scans], hide_index=True, border="horizontal")
    with st.container(horizontal=True):
        for case in scans:
            st.page_link(
                _CASES, label=f"Open {case.id}", icon=":material/folder_open:",
                query_params={"case": case.id},
            )  # fmt: skip
    show_again(shared, scans)
    pair = show_change(scans)
    if pair:
        show_moved(shared, *pair)
    forget_form(shared, opened.patient, len(scans))
