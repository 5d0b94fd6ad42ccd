"""Segment: files in, masks and measures out."""

import io

import streamlit as st

from app.batch import Upload, current, zip_of
from app.dicom_uploads import scans_of
from app.example import example_file
from app.services import MODEL_WAIT_S, wait_for_model
from app.views.case import show_case
from app.views.dropping import EXAMPLE, HINT
from app.views.example_picture import result_picture
from app.views.folding import fold, fold_button
from app.views.following import batch_of, follow, tell_lost
from app.views.outcomes import best_of, outcome_table, told_apart
from app.views.pacs import from_pacs
from app.views.patients import chosen_patient, patient_field
from app.views.recorded import as_visitor
from app.views.series import ask_series
from app.views.shared import services
from app.views.words import plain, show_error
from core.errors import HippoViewError
from core.exports.tables import Outcome
from core.image.example import NAME
from core.wording import counted

_LIST = "file-list"
# Height of a line above an open case: the list of files, the PACS; and of a file that was refused.
_LINE_REM, _REFUSAL_REM = 3.0, 4.3
# Beside an open case the field for files is one line.
_SLIM = (
    "<style>[class*='st-key-files-'] label {display: none}"
    "[class*='st-key-files-'] section {min-height: 0; padding: .1rem .6rem}</style>"
)

shared = services()
batch = batch_of(shared)
now = batch.now()  # once: a file that ends meanwhile would be neither listed nor awaited
outcomes = current(shared, now.outcomes)
is_open = bool(outcomes)
if is_open:
    st.html(_SLIM)

# Where scans come in. Each way in fills `uploads`.
uploads: list[Upload] = []
with st.container(horizontal=True, vertical_alignment="center"):
    files = st.file_uploader(
        # Streamlit's own words of it are wrong by rounding, and hidden (app/main.py).
        "Drop T1-weighted heads, or crops around one hippocampus (.nii, .nii.gz; DICOM as "
        f"a .zip, or all files of a series; up to {shared.settings.max_upload_mib} MiB each)",
        accept_multiple_files=True,
        max_upload_size=shared.settings.max_upload_mib,
        key=f"files-{batch.round}",
    )
    example = st.button("Try an example", icon=":material/play_circle:", key=EXAMPLE)
    # With the files that it was chosen for it is gone: no later file gets another one's patient.
    patient_key = f"patient-{batch.round}"
    patient = chosen_patient(patient_key)
    with st.popover(
        f"Patient of the next files: {plain(patient) or 'none given'}", icon=":material/person:",
        key=f"popover-{patient_key}",
    ):  # fmt: skip
        patient_field(shared.cases, patient_key)
from_pacs(shared, batch, patient)
uploads += [Upload(name, f, patient) for name, f in scans_of(files)]
if example:
    uploads.append(Upload(NAME, io.BytesIO(example_file())))
if uploads:
    batch.add(uploads)
    batch.round += 1  # a new uploader: the files' memory is given back
    st.rerun()

# A place of its own for each part: the case stays where it is when the list above it grows.
work, refusals, strip, listing, hint = (
    st.container(), st.container(), st.container(), st.container(key=_LIST), st.empty(),
)  # fmt: skip

if shared.predictors.serving is None:
    with work, st.spinner("Loading the model. This takes some seconds after a start."):
        try:
            wait_for_model(shared.predictors, MODEL_WAIT_S)
        except HippoViewError as error:
            show_error(error)
            st.stop()

if now.active:
    hint.empty()  # else "Nothing here yet" stays, dimmed, until this run ends
    with work:
        follow(batch)
    st.rerun()

with work:
    ask_series(batch, now.questions)
if not outcomes:
    with hint.container(key=HINT):
        tell_lost(shared.lost)
        if batch.cleared:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"The list of {counted(batch.cleared, 'file')} was cleared.")
                st.button("Undo", icon=":material/undo:", on_click=batch.undo_clear)
        if now.questions:
            st.stop()
        st.info(
            "Nothing here yet. Drop a file anywhere on this page, or press *Try an example* to see "
            "a result in seconds.",
            icon=":material/upload_file:",
        )
        result_picture(shared)
    st.stop()


def _refusal(refused: Outcome) -> None:
    st.error(f"**{plain(refused.name)}**: {refused.error}", icon=":material/block:")


is_folded = fold(_LIST, is_open=True)
chosen = outcomes[best_of(outcomes)]
if len(outcomes) > 1:
    with listing:
        chosen = outcome_table(outcomes, key=f"table-{batch.round}-{len(outcomes)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            with_names = st.toggle(
                "My file names and patients in the summary",
                help="Off: files are named by case id only, so that neither a name nor a pseudonym "
                "leaves.",
            )
            st.download_button(
                f"Download all{' with names' * with_names} (.zip)",
                as_visitor(shared, lambda: zip_of(shared, outcomes, with_names)),
                "hippoview.zip",
                "application/zip",
                on_click="ignore",
                icon=":material/folder_zip:",
            )
with strip, st.container(horizontal=True, vertical_alignment="center"):
    st.subheader(counted(len(outcomes), "file"), anchor=False, width="content")
    if len(outcomes) > 1:
        fold_button(_LIST, is_folded=is_folded)
    st.button("Clear the list", on_click=batch.clear, help="The cases stay on the Cases page.")
    if len(outcomes) > 1:  # at the end, over which the table below shows its tools
        names = told_apart([o.name for o in outcomes])
        st.caption(f"Shown: {plain(names[outcomes.index(chosen)])}", width="stretch")

# A file that was refused is told of, and hides none that was segmented.
others = [one for one in outcomes if one.case is None and one is not chosen]
with refusals:
    for refused in others:
        _refusal(refused)
if chosen.case is not None:
    lines = 1 + bool(shared.settings.pacs_url)
    show_case(
        shared, chosen.case.id, above_rem=lines * _LINE_REM + len(others) * _REFUSAL_REM
    )  # fmt: skip
else:
    _refusal(chosen)
