"""The field of a patient: typed, or one of those that are known."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from app.views.patients import alike, no_patient_words, scan_row
from core.cases.study import Study, study_of, type_study
from tests.app.test_change import case_of
from tests.house import House
from tests.parts import Part
from tests.tiny import analysis

KNOWN = [f"P-{number:02}" for number in range(12)] + ["QX-4711", "ext P-03"]


def test_known_patients_that_begin_with_what_is_typed_come_first():
    assert alike(KNOWN, "p-03") == ["P-03", "ext P-03"]
    assert alike(KNOWN, " 47 ") == ["QX-4711"]
    assert alike(KNOWN, "nobody") == []
    assert alike(KNOWN, "") == KNOWN[:6]


def test_a_scan_of_a_study_without_a_telling_id_says_that_it_has_no_patient():
    said = {"date": "", "sex": "", "age_years": None}
    lost = replace(case_of("HV-A", "", 2400.0, study=said), patient="")
    words = no_patient_words(lost)
    assert "has no patient" in words
    assert "type a pseudonym under *Patient*" in words
    assert no_patient_words(replace(lost, patient="P-1")) == ""
    assert no_patient_words(replace(case_of("HV-B", "", 2400.0), patient="")) == ""  # no DICOM


@pytest.fixture
def field():
    def page():
        import streamlit as st

        from app.views.patients import chosen_patient, patient_field

        patient_field(st.session_state["cases"], "patient")
        st.session_state["answer"] = chosen_patient("patient")

    return Part(page, cases=SimpleNamespace(patients=lambda: KNOWN))


def offered(field):
    return [button.label.replace("\\", "") for button in field.at.button]


def test_what_is_typed_is_the_answer_and_a_known_one_is_a_click_away(field):
    assert field.at.session_state["answer"] == ""
    field.at.text_input[0].input("  qx ")
    field.run()
    assert field.at.session_state["answer"] == "qx"
    assert offered(field) == ["QX-4711"]
    field.at.button[0].click()
    field.run()
    assert field.at.session_state["answer"] == "QX-4711"
    assert offered(field) == []
    assert any("has scans here" in caption.value for caption in field.at.caption)


def test_a_new_patient_is_offered_nothing(field):
    field.at.text_input[0].input("A-1")
    field.run()
    assert field.at.session_state["answer"] == "A-1"
    assert offered(field) == []


def test_what_is_typed_of_a_scan_is_kept_and_what_is_emptied_is_taken_away(tmp_path):
    def page():
        import streamlit as st

        from app.views.patients import patient_form

        cases = st.session_state["cases"]
        patient_form(cases, cases.get(st.session_state["case_id"]))

    cases = House(tmp_path).cases
    case_id = cases.add(analysis(1), "x", "QX-1").id
    type_study(cases.acts, case_id, Study("", "M", 40))
    form = Part(page, cases=cases, case_id=case_id)
    assert (form.at.selectbox[0].value, form.at.number_input[0].value) == ("M", 40)
    form.at.selectbox[0].set_value("F")
    form.at.date_input[0].set_value(date(2024, 5, 1))
    form.at.number_input[0].set_value(None)
    save = next(b for b in form.at.button if b.label == "Save the patient")
    save.click()
    form.run()
    case = cases.get(case_id)
    assert (study_of(case), case.patient) == (Study("2024-05-01", "F"), "QX-1")
    assert form.at.date_input[0].value == date(2024, 5, 1)


@pytest.mark.parametrize("patient", ["QX-1", "None"])
def test_another_patient_is_kept_where_nothing_else_is_known(tmp_path, patient):
    def page():
        import streamlit as st

        from app.views.patients import patient_form

        cases = st.session_state["cases"]
        patient_form(cases, cases.get(st.session_state["case_id"]))

    cases = House(tmp_path).cases
    case_id = cases.add(analysis(1), "x", patient).id
    form = Part(page, cases=cases, case_id=case_id)
    form.at.text_input[0].input("QX-2")
    next(b for b in form.at.button if b.label == "Save the patient").click()
    form.run()
    assert cases.get(case_id).patient == "QX-2"


def test_a_field_is_read_whatever_its_key_ends_in():
    def page():
        import streamlit as st

        from app.views.reviewing import typed

        st.text_input("Name", key="name-None", on_change=lambda: _keep(typed("name-None")))

        def _keep(text):
            st.session_state["answer"] = text

    field = Part(page)
    field.at.text_input[0].input("Ada")
    field.run()
    assert field.at.session_state["answer"] == "Ada"


@pytest.mark.parametrize(
    ("too_small", "left", "total"),
    [
        ({}, "2.40", "4.90"),
        ({"left": {"cut": "the image ends within it (below)"},
          "total": {"cut": "the image ends within it (below)"}},
         "2.40, too small", "4.90, too small"),
    ],
)  # fmt: skip
def test_a_scan_of_a_patient_says_which_volumes_are_too_small(too_small, left, total):
    case = case_of("HV-A", "2024-05-01", 2400.0, 2500.0)
    case.report["measures"]["too_small"] = too_small
    row = scan_row(case)
    assert (row["Left (ml)"], row["Right (ml)"], row["Total (ml)"]) == (left, "2.50", total)
    assert row["Date of the scan"] == "2024-05-01"
