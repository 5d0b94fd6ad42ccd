"""Part of a case: its report as a PDF, in the language and with the patient or without."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from app.services import Services
from app.views.recorded import recorded
from app.views.references import chosen_group, group_in_use
from app.views.words import show_error
from core.anatomy import Convention
from core.cases.case import Case
from core.cases.persons import scans_of
from core.cases.study import study_of
from core.errors import HippoViewError
from core.exports.sentences import LANGUAGES, Language
from core.references.comparison import compare
from core.references.groups import References


@st.fragment
def report_download(shared: Services, case: Case, convention: Convention) -> None:
    """A button, and what the file shall hold."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        language = st.segmented_control(
            "Language of the report", list(LANGUAGES), default="en", required=True,
            format_func=lambda each: LANGUAGES[each], key="report-language",
            persist_state="session",
        )  # fmt: skip
        # Of this case alone: to name a patient is asked for each time.
        with_patient = st.checkbox(
            "With patient, age, sex and date", key=f"report-patient-{case.id}",
            help="Off: the file names the case's id only. On: it also has the comparison with the "
            "reference group and the change since the patient's first scan, where there are any.",
        )  # fmt: skip
        # Not on_click="ignore": the part is drawn again, and says if the report is of a newer mask.
        st.download_button(
            "Report (.pdf)",
            recorded(
                shared, case.id, "report.pdf, with the patient" if with_patient else "report.pdf",
                partial(
                    _file, shared, case.id, convention, language, with_patient, chosen_group()
                ),
            ),
            f"{case.id}_report.pdf", "application/pdf", icon=":material/download:",
            key=f"get-report.pdf-{case.id}",
        )  # fmt: skip
    _newer(shared, case)


def _newer(shared: Services, case: Case) -> None:
    """Say where the report is of another mask than the page."""
    try:
        version = shared.cases.get(case.id).mask_version
    except HippoViewError as error:
        show_error(error)
        return
    if version != case.mask_version:
        st.info(
            f"Mask version {version} was saved after this page was drawn: the report is of that "
            "one. Load the page again to see it.",
            icon=":material/update:",
        )


def _file(
    shared: Services,
    case_id: str,
    convention: Convention,
    language: Language,
    with_patient: bool,
    chosen: Mapping[str, str],
) -> bytes:
    """The report on the case as it is now, which may be newer than the page."""
    # fpdf2 takes a second to import: only who asks for a report waits for it.
    from core.exports.pdf import report_pdf
    from core.exports.pdf_change import changed_until
    from core.exports.pdf_compared import Compared

    case = shared.cases.get(case_id)
    images = shared.viewer_files.images(case.id, case.mask_version)
    if not with_patient:
        return report_pdf(case, images, convention, language=language)
    study, compared = study_of(case), None
    group = group_in_use(References(shared.storage).all(), chosen)
    comparison = compare(case, study, group)
    if comparison.standings:
        compared = Compared(comparison, group, study)
    scans = scans_of(shared.cases, case.patient) if case.patient else []
    return report_pdf(
        case, images, convention, identity="", language=language, compared=compared,
        changed=changed_until(case, scans),
    )  # fmt: skip
