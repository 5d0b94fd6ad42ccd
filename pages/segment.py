"""Segment: files in, masks and measures out."""

import io

import streamlit as st

from app.batch import Batch, Upload, current, process, zip_of
from app.services import example_file, services, wait_for_model
from app.widgets import outcome_table, show_case
from app.words import plain, show_error
from core.errors import HippoViewError
from core.example import NAME

_MODEL_WAIT_S = 300

shared = services()
batch: Batch = st.session_state.setdefault("batch", Batch())

with st.container(horizontal=True, vertical_alignment="bottom"):
    files = st.file_uploader(
        "Drop T1-weighted heads, or crops around one hippocampus (.nii, .nii.gz; several at once)",
        accept_multiple_files=True,
        max_upload_size=shared.settings.max_upload_mib,
        key=f"files-{batch.round}",
    )
    example = st.button("Try an example", icon=":material/play_circle:")

# A place of its own for each part: the case stays where it is when the list above it grows.
work, listing = st.container(), st.container()

if shared.predictors.serving is None:
    with work, st.spinner("Loading the model. This takes some seconds after a start."):
        try:
            wait_for_model(shared.predictors, _MODEL_WAIT_S)
        except HippoViewError as error:
            show_error(error)
            st.stop()

uploads = [Upload(f.file_id, f.name, f) for f in files]
if example:
    uploads.append(Upload(f"example-{batch.round}", NAME, io.BytesIO(example_file())))
if uploads:
    with work:
        process(shared, batch, uploads)
    batch.round += 1  # a new uploader: the files' memory is given back
    st.rerun()

if not batch.outcomes:
    st.info(
        "Nothing here yet. Drop a file above, or press *Try an example* to see a result in "
        "seconds. DICOM is not read by this version.",
        icon=":material/upload_file:",
    )
    st.stop()

outcomes = current(shared, batch.outcomes)
chosen = outcomes[-1]
if len(batch.outcomes) > 1:
    with listing:
        st.subheader(f"{len(batch.outcomes)} files", anchor=False)
        chosen = outcome_table(outcomes, key=f"table-{batch.round}-{len(batch.outcomes)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            with_names = st.toggle(
                "My file names in the summary",
                help="Off: files are named by case id only, so that no patient's name leaves.",
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
                batch.outcomes.clear()
                st.rerun()

if chosen.case is not None:
    show_case(shared, chosen.case.id)
else:
    st.error(f"**{plain(chosen.name)}**: {chosen.error}", icon=":material/block:")
