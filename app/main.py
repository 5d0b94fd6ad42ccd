"""The frame of every page: who sees which, and what stands on each."""

import streamlit as st

from app.server import ROOT
from core.pipeline import NOTICE

PAGES = {
    "Read": [
        st.Page(ROOT / "pages" / "segment.py", title="Segment", icon=":material/neurology:", default=True),
        st.Page(ROOT / "pages" / "cases.py", title="Cases", icon=":material/folder_open:"),
    ],
    "Manage": [
        st.Page(ROOT / "pages" / "model.py", title="Model", icon=":material/model_training:"),
    ],
    "Help": [
        st.Page(ROOT / "pages" / "about.py", title="About and help", icon=":material/help:"),
    ],
}  # fmt: skip

st.set_page_config("HippoView", layout="wide", initial_sidebar_state=220)
page = st.navigation(PAGES)
st.caption(f"HippoView. {NOTICE}")
page.run()
