"""The frame of every page: navigation, who sees which page, and the notice."""

import streamlit as st

from app.server import ROOT
from app.views.connection import say_it_in_our_words
from core.anatomy import NOTICE

_PAGES = ROOT / "pages"
PAGES = {
    "Read": [
        st.Page(_PAGES / "segment.py", title="Segment", icon=":material/neurology:", default=True),
        st.Page(_PAGES / "cases.py", title="Cases", icon=":material/folder_open:"),
    ],
    "Manage": [
        st.Page(_PAGES / "retrain.py", title="Retrain", icon=":material/model_training:"),
        st.Page(_PAGES / "models.py", title="Models", icon=":material/compare:"),
        st.Page(_PAGES / "drift.py", title="Drift", icon=":material/monitoring:"),
        st.Page(_PAGES / "operations.py", title="Operations", icon=":material/dns:"),
    ],
    "Help": [
        st.Page(_PAGES / "model.py", title="Model", icon=":material/description:"),
        st.Page(_PAGES / "about.py", title="About and help", icon=":material/help:"),
    ],
}

# Streamlit keeps six lines of space above a page; the images need them.
# On a tablet two columns of this width do not fit beside the menu: the second goes below.
_TIGHT = (
    "<style>.stMainBlockContainer {padding: 4.2rem 2.5rem 2rem}"
    "@media (max-width: 1024px) {.stHorizontalBlock {flex-wrap: wrap}"
    ".stColumn {min-width: 24rem}}"
    # Streamlit writes a limit of 520 MiB as "1GB per file"; the field's own words have it right.
    "[class*='st-key-files-'] [data-testid='stFileUploaderDropzoneInstructions'] {display: none}"
    "</style>"
)
_ICON = str(ROOT / "app" / "icon.png")

st.set_page_config("HippoView", _ICON, layout="wide", initial_sidebar_state=220)
st.logo(_ICON, size="large")
page = st.navigation(PAGES, position="hidden")
with st.sidebar:
    # Streamlit's own menu nests its sections in a way that screen readers cannot follow (axe:
    # list, listitem), so the links are set here.
    for section, pages in PAGES.items():
        st.caption(section)
        for link in pages:
            st.page_link(link)
    say_it_in_our_words()  # here it takes no room above the page
st.html(_TIGHT)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
    st.header(page.title, anchor=False, width="content")
    st.caption(f"**HippoView.** {NOTICE}", width="content")
page.run()
