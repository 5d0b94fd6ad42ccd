"""Escapes users' texts for pages, and shows errors."""

import re

import streamlit as st

from core.errors import HippoViewError

# For what has no value: a hyphen alone would be a list to Markdown.
DASH = "\N{EN DASH}"


def plain(text: str) -> str:
    """Escape a user's text for Markdown, so that it is shown as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def show_error(error: HippoViewError) -> None:
    """Show an error: what happened, and what to do."""
    st.error(f"**{error.message}.** {error.hint}", icon=":material/block:")
