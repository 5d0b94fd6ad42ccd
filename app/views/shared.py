"""The server's services, for the pages."""

import streamlit as st

from app.services import Services


@st.cache_resource(show_spinner=False)
def services(_built: Services | None = None) -> Services:
    """What `app.server` has built; it alone gives them, before any page runs."""
    if _built is None:
        raise RuntimeError("a page runs without the server")
    return _built
