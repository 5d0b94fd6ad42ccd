"""The patient of a case: a pseudonym, typed, or chosen among those that are known; sex and age.

What is typed counts after a short pause, without Enter: a clinician types a code and goes on.
"""

from collections.abc import Sequence
from datetime import date

import streamlit as st

from app.views.reviewing import typed
from app.views.words import DASH, plain
from core.anatomy import SIDES
from core.cases.case import Case, confidence_of, patient_text
from core.cases.persons import measured
from core.cases.store import Cases
from core.cases.study import (
    EARLIEST_SCAN,
    MAX_AGE_YEARS,
    Study,
    dicom_study_of,
    latest_scan,
    study_of,
    type_study,
)
from core.errors import HippoViewError
from core.limits import MAX_NAME_CHARS
from core.measures.change import ONE_HIPPOCAMPUS
from core.measures.measure import why_too_small
from core.wording import counted, ml_text

SEX_WORDS = {"": "Not given", "F": "Female", "M": "Male", "O": "Other"}
_FIELD_PX = 380
_MOST_OFFERED = 6


def patient_field(cases: Cases, key: str, current: str = "") -> None:
    """Ask for a patient; `chosen_patient` reads the answer."""
    text = st.text_input(
        "Patient (a pseudonym)", current, key=key, live=True, width=_FIELD_PX,
        max_chars=MAX_NAME_CHARS, autocomplete="off", placeholder="None given",
        help="Scans of one patient are never split between training and test. Exports have it only "
        "on request. Type a code, not a name.",
    )  # fmt: skip
    known = cases.patients()
    if patient_text(text) in known:
        st.caption("This patient has scans here.")
    elif offered := alike(known, text):
        st.caption("Known patients" if not text else "Known patients with these letters")
        with st.container(horizontal=True, width=_FIELD_PX):
            for patient in offered:
                st.button(
                    plain(patient), key=f"{key}-is-{patient}", on_click=_take, args=(key, patient)
                )


def alike(known: Sequence[str], text: str) -> list[str]:
    """Known patients that hold what is typed, those that begin with it first."""
    part = patient_text(text).casefold()
    matches = [patient for patient in known if part in patient.casefold()]
    return sorted(matches, key=lambda p: not p.casefold().startswith(part))[:_MOST_OFFERED]


def _take(key: str, patient: str) -> None:
    st.session_state[key] = patient


def chosen_patient(key: str) -> str:
    """The patient in a field, for a callback; see `app.views.reviewing.typed`."""
    return patient_text(typed(key))


def patient_form(cases: Cases, case: Case) -> None:
    """The fields that give a case its patient, the patient's sex and age, and the scan's date."""
    study = study_of(case)
    key = f"patient-{case.id}-{case.patient}-{study.date}-{study.sex}-{study.age_years}-field"
    # As values of the session and not as defaults, to which a field that is emptied would return.
    st.session_state.setdefault(
        f"{key}-date", date.fromisoformat(study.date) if study.date else None
    )
    st.session_state.setdefault(f"{key}-age", study.age_years)
    with st.popover("Patient", icon=":material/person:", key=f"popover-{key}"):
        patient_field(cases, key, case.patient)
        with st.container(horizontal=True, width=_FIELD_PX):
            st.date_input(
                "Date of the scan", None, min_value=EARLIEST_SCAN,
                max_value=latest_scan(), key=f"{key}-date", width=140,
            )  # fmt: skip
            st.selectbox(
                "Sex", list(SEX_WORDS), format_func=SEX_WORDS.__getitem__,
                index=list(SEX_WORDS).index(study.sex), key=f"{key}-sex", width=100,
            )  # fmt: skip
            st.number_input(
                "Age (years)", 0, MAX_AGE_YEARS, None, step=1, key=f"{key}-age",
                width=110, help="On the day of the scan.",
            )  # fmt: skip
        said = dicom_study_of(case)
        words = ", ".join(filter(None, (said.date, *person_words(said))))
        st.caption(
            f"The DICOM file says: {words}."
            if words
            else "Date, sex and age are in no download but the PDF report, where you ask for them."
        )
        st.button(
            "Save the patient", key=f"save-{key}", on_click=_save, args=(cases, case, key)
        )  # fmt: skip


def no_patient_words(case: Case) -> str:
    """Why a scan of a DICOM study has no patient, and what to do; empty of every other case."""
    if case.patient or case.report.get("study") is None:
        return ""
    return (
        "**This scan has no patient.** Its DICOM header has no id that tells one person from "
        "another: none at all, or one that many exports make up, such as *1* or *ANON01*, without "
        "a date of birth. Open the case on *Cases* and type a pseudonym under *Patient*: then it "
        "is listed and compared with the other scans of this person."
    )


def person_words(study: Study) -> list[str]:
    """Sex and age in words, as far as they are known.

    >>> person_words(Study("2024-05-01", "F", 71))
    ['female', '71 years']
    """
    age = [] if study.age_years is None else [counted(study.age_years, "year")]
    return [SEX_WORDS[study.sex].lower()] * bool(study.sex) + age


def scan_row(case: Case) -> dict[str, str]:
    """One scan of a patient, as a row of a table; a volume that is too small says so."""
    study, scan, measures = study_of(case), measured(case), case.report["measures"]
    volumes = {side: parts["total"] for side, parts in scan.volumes_mm3.items()}
    of_crop = " of a crop, its side unknown" if ONE_HIPPOCAMPUS in volumes else ""
    return {
        "Date of the scan": study.date or f"not given (segmented {case.created_at[:10]})",
        "Age": DASH if study.age_years is None else str(study.age_years),
        **{
            f"{side.capitalize()} (ml)": _ml(volumes[side], why_too_small(measures, side))
            if side in volumes
            else DASH
            for side in SIDES
        },
        "Total (ml)": _ml(sum(volumes.values()), why_too_small(measures)) + of_crop,
        "Confidence": confidence_of(case.report) or DASH,
        "Review": case.review.state,
        "Voxels (mm)": " x ".join(f"{mm:.2g}" for mm in scan.spacing_mm),
        "Model": f"version {scan.model_version}{', corrected by hand' * scan.is_drawn}",
        "Case": f"{case.id} {plain(case.name)}",
    }


def _ml(volume_mm3: float, remark: str) -> str:
    """A volume with the first words of what is wrong with it, such as *1.20, too small*."""
    return ", ".join(filter(None, (ml_text(volume_mm3), remark.split(":")[0])))


def _save(cases: Cases, case: Case, key: str) -> None:
    """Keep what differs from what the page showed."""
    fields = st.session_state.to_dict()
    day, age = fields.get(f"{key}-date"), fields.get(f"{key}-age")
    said = dicom_study_of(case)
    # What the DICOM file says as well stays its own.
    date_typed = day.isoformat() if day else ""
    sex_typed = str(fields.get(f"{key}-sex") or "")
    study = Study(
        "" if date_typed == said.date else date_typed,
        "" if sex_typed == said.sex else sex_typed,
        None if age is None or age == said.age_years else int(age),
    )
    try:
        if (patient := chosen_patient(key)) != case.patient:
            cases.set_patient(case.id, patient)
        seen = Study(case.scan_date, case.sex, case.age_years)
        if study != seen:
            type_study(cases.acts, case.id, study, seen)
    except HippoViewError as error:
        st.session_state["case-problem"] = f"{case.id}: {error.message}. {error.hint}"
