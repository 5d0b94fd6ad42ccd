"""The drift reports that were written into the storage, on the Drift page."""

from functools import partial

import streamlit as st

from app.services import Services
from app.views.words import show_error
from core.errors import HippoViewError

_KINDS = {"html": ("Report (.html)", "text/html"), "json": ("Figures (.json)", "application/json")}


def kept_reports(shared: Services) -> None:
    """A choice of the weeks and months that have a report, and what to download; else nothing."""
    reports = shared.outside.reports
    try:
        names = reports.names()
    except HippoViewError as error:
        show_error(error)
        return
    periods = list(dict.fromkeys(name.partition(".")[0] for name in names))
    if not periods:
        return
    st.subheader("Reports of weeks and months", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        period = st.selectbox("Written for", periods, key="report-period", width=200)
        for kind, (label, media) in _KINDS.items():
            name = f"{period}.{kind}"
            if name in names:
                st.download_button(
                    label, partial(reports.read, name), f"hippoview-drift-{name}", media,
                    on_click="ignore", icon=":material/download:", key=f"kept-{kind}",
                )  # fmt: skip
