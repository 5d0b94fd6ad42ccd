"""The server's services, for the pages."""

import streamlit as st

from app.services import Services


@st.cache_resource(show_spinner=False)
def services(_built: Services | None = None) -> Services:
    """The services that `app.server` has built, before any page runs."""
    if _built is None:
        raise RuntimeError("a page runs without the server")
    return _built
