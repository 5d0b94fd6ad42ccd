"""The frame of every page: navigation, who sees which page, and the notice."""

import streamlit as st

from app.server import ROOT
from app.views.admission import is_admitted, require_sign_in, show_who
from app.views.connection import say_it_in_our_words
from app.views.dropping import STYLE, take_drops_anywhere
from app.views.keys import keys_help
from app.views.waiting import hold_reviews
from core.anatomy import NOTICE

_PAGES = ROOT / "pages"
PAGES = {
    "Read": [
        st.Page(_PAGES / "segment.py", title="Segment", icon=":material/neurology:", default=True),
        st.Page(_PAGES / "cases.py", title="Cases", icon=":material/folder_open:"),
        st.Page(_PAGES / "patients.py", title="Patients", icon=":material/groups:"),
    ],
    "Manage": [
        st.Page(_PAGES / "retrain.py", title="Retrain", icon=":material/model_training:"),
        st.Page(_PAGES / "models.py", title="Models", icon=":material/compare:"),
        st.Page(_PAGES / "drift.py", title="Drift", icon=":material/monitoring:"),
        st.Page(
            _PAGES / "references.py", title="Reference groups", icon=":material/stacked_line_chart:"
        ),
        st.Page(_PAGES / "operations.py", title="Operations", icon=":material/dns:"),
        st.Page(_PAGES / "people.py", title="People", icon=":material/manage_accounts:"),
        st.Page(_PAGES / "trail.py", title="Trail", icon=":material/history:"),
    ],
    "Help": [
        st.Page(_PAGES / "model.py", title="Model", icon=":material/description:"),
        st.Page(_PAGES / "about.py", title="About and help", icon=":material/help:"),
    ],
}

# The images need the room that Streamlit keeps above a page and between its parts: the page's name
# stands in one line with the notice, beside Streamlit's own menu.
# On a tablet two columns of this width do not fit beside the menu: the second goes below.
_TIGHT = (
    "<style>.stMainBlockContainer {padding: .5rem 1.4rem 1rem}"
    ".stMainBlockContainer .stVerticalBlock {gap: .55rem}"
    ".stAppHeader {background: none; height: 2.6rem; min-height: 0; pointer-events: none}"
    ".stAppHeader button {pointer-events: auto}"
    # Room for Streamlit's menu and, while a script runs, its running figure. Its *Stop* would leave
    # half a page behind, and what is segmented goes on all the same.
    ".st-key-title {min-height: 2.1rem; padding-right: 4.8rem}"
    ".stStatusWidget button {display: none}"
    ".st-key-title h2 {font-size: 1.3rem; padding: 0}"
    ".stApp:has([data-testid='stSidebar'][aria-expanded='false']) .st-key-title"
    " {padding-left: 3rem}"
    "@media (max-width: 1024px) {.stHorizontalBlock {flex-wrap: wrap}"
    ".stColumn {min-width: 24rem}}"
    # Streamlit writes a limit of 520 MiB as "1GB per file"; the field's own words have it right.
    ":is([class*='st-key-files-'], [class*='st-key-archive-'], [class*='st-key-table-file-'])"
    " [data-testid='stFileUploaderDropzoneInstructions'] {display: none}"
    # White on the dark theme's light green cannot be read.
    "[data-testid^='stBaseButton-primary'] {color: light-dark(#FFFFFF, #0B0E11)}"
    f"{STYLE}"
    "</style>"
)
_ICON = str(ROOT / "app" / "icon.png")

st.set_page_config("HippoView", _ICON, layout="wide", initial_sidebar_state=220)
st.logo(_ICON, size="large")
page = st.navigation(PAGES, position="hidden")
require_sign_in()
with st.sidebar:
    # Streamlit's own menu nests its sections in a way that screen readers cannot follow (axe:
    # list, listitem), so the links are set here.
    for section, pages in PAGES.items():
        if section == "Manage" and not is_admitted():
            continue
        st.caption(section)
        for link in pages:
            st.page_link(link)
    show_who(page.title)
    keys_help()
    say_it_in_our_words()  # here it takes no room above the page
    take_drops_anywhere()
    hold_reviews()
st.html(_TIGHT)
with st.container(
    horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="title"
):
    st.header(page.title, anchor=False, width="content")
    st.caption(f"**HippoView.** {NOTICE}", width="content")
page.run()
