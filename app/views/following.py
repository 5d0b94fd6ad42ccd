"""The progress of a batch on the Segment page."""

import time
from datetime import UTC, datetime
from functools import partial

import streamlit as st
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.batch import Batch
from app.services import Lost, Services
from app.views.words import plain

# How long the page waits for something new before it looks whether somebody has clicked.
_LOOK_S = 0.25
# For so long after a start every visitor is told of files that it lost.
_TOLD_S = 3600.0
_KEY = "batch"


def batch_of(shared: Services) -> Batch:
    """The batch of this browser session; another tab has its own."""
    if _KEY not in st.session_state:
        context = get_script_run_ctx()
        session = context.session_id if context else ""
        is_here = partial(get_instance().is_active_session, session)
        files = shared.viewer_files
        st.session_state[_KEY] = Batch(
            shared.segment_and_keep, shared.incoming, is_here,
            prepare=lambda case: files.prepare(case.id, case.mask_version),
            encrypt=shared.settings.encrypts,
        )  # fmt: skip
    batch: Batch = st.session_state[_KEY]
    return batch


def follow(batch: Batch) -> None:
    """Show the progress until the batch is done; it goes on when the page is left."""
    # Not `st.status`: its wheel, turned without a GPU, takes a core from the segmentation.
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            count = st.empty()
            st.button("Give up", on_click=batch.give_up, type="tertiary")
        bar = st.progress(0.0)
        if batch.progress().total > 1:
            st.caption("You may leave this page: it goes on. The cases are on the Cases page.")
        while batch.now().active:
            progress = batch.progress()
            count.markdown(f"**{progress.done} of {progress.total} done**")
            words = f"{plain(progress.name)}: {progress.words}" if progress.words else None
            bar.progress(progress.share, words)
            batch.wait(_LOOK_S)


def tell_lost(lost: Lost) -> None:
    """Say that the previous server left files unfinished; nobody knows whose they were."""
    if lost.files and time.time() - lost.at_s < _TOLD_S:
        at = datetime.fromtimestamp(lost.at_s, UTC)
        files = "1 file that" if lost.files == 1 else f"{lost.files} files that"
        st.warning(
            f"The server was started again at {at:%H:%M} UTC; {files} waited to be segmented then "
            "had to be given up. If some were yours, drop them again. What was done is on the "
            "Cases page."
        )
