"""Escapes users' texts for pages, and shows errors."""

import re

import streamlit as st

from core.errors import HippoViewError


def plain(text: str) -> str:
    """Escape a user's text for Markdown, so that it is shown as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def show_error(error: HippoViewError) -> None:
    """Show an error: what happened, and what to do."""
    st.error(f"**{error.message}.** {error.hint}", icon=":material/block:")
