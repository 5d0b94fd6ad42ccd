"""Segment: files in, masks and measures out."""

import io

import streamlit as st

from app.batch import Upload, current, zip_of
from app.dicom_uploads import scans_of
from app.services import MODEL_WAIT_S, example_file, wait_for_model
from app.views.case import outcome_table, show_case
from app.views.following import batch_of, follow, tell_lost
from app.views.patients import chosen_patient, patient_field
from app.views.shared import services
from app.views.words import plain, show_error
from core.errors import HippoViewError
from core.image.example import NAME

shared = services()
batch = batch_of(shared)

with st.container(horizontal=True, vertical_alignment="bottom"):
    files = st.file_uploader(
        # Streamlit's own words of it are wrong by rounding, and hidden (app/main.py).
        "Drop T1-weighted heads, or crops around one hippocampus (.nii, .nii.gz; DICOM as "
        f"a .zip, or all files of a series; up to {shared.settings.max_upload_mib} MiB each)",
        accept_multiple_files=True,
        max_upload_size=shared.settings.max_upload_mib,
        key=f"files-{batch.round}",
    )
    example = st.button("Try an example", icon=":material/play_circle:")
# With the files that it was chosen for it is gone: no later file gets another one's patient.
patient_key = f"patient-{batch.round}"
patient = chosen_patient(patient_key)
with st.popover(
    f"Patient of the next files: {plain(patient) or 'none given'}", icon=":material/person:",
    key=f"popover-{patient_key}",
):  # fmt: skip
    patient_field(shared.cases, patient_key)

uploads = [Upload(name, f, patient) for name, f in scans_of(files)]
if example:
    uploads.append(Upload(NAME, io.BytesIO(example_file())))
if uploads:
    batch.add(uploads)
    batch.round += 1  # a new uploader: the files' memory is given back
    st.rerun()

# A place of its own for each part: the case stays where it is when the list above it grows.
work, listing, hint = st.container(), st.container(), st.empty()

if shared.predictors.serving is None:
    with work, st.spinner("Loading the model. This takes some seconds after a start."):
        try:
            wait_for_model(shared.predictors, MODEL_WAIT_S)
        except HippoViewError as error:
            show_error(error)
            st.stop()

if batch.active:
    with work:
        follow(batch)
    st.rerun()

outcomes = current(shared, batch.outcomes)
if not outcomes:
    with hint.container():
        tell_lost(shared.lost)
        st.info(
            "Nothing here yet. Drop a file above, or press *Try an example* to see a result in "
            "seconds.",
            icon=":material/upload_file:",
        )
    st.stop()

chosen = outcomes[-1]
if len(outcomes) > 1:
    with listing:
        st.subheader(f"{len(outcomes)} files", anchor=False)
        chosen = outcome_table(outcomes, key=f"table-{batch.round}-{len(outcomes)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            with_names = st.toggle(
                "My file names and patients in the summary",
                help="Off: files are named by case id only, so that neither a name nor a pseudonym "
                "leaves.",
            )
            st.download_button(
                f"Download all{' with names' * with_names} (.zip)",
                lambda: zip_of(shared, outcomes, with_names),
                "hippoview.zip",
                "application/zip",
                on_click="ignore",
                icon=":material/folder_zip:",
            )
            if st.button("Clear the list", help="The cases stay on the Cases page."):
                batch.clear()
                st.rerun()

if chosen.case is not None:
    show_case(shared, chosen.case.id)
else:
    st.error(f"**{plain(chosen.name)}**: {chosen.error}", icon=":material/block:")
