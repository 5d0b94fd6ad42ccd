"""Texts of users and of errors, as pages show them."""

import re

import streamlit as st

from core.errors import HippoViewError


def plain(text: str) -> str:
    """A user's text for a place that reads Markdown: shown as it is, no links, no pictures."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def show_error(error: HippoViewError) -> None:
    """What was found, and what to do."""
    st.error(f"**{error.message}.** {error.hint}", icon=":material/block:")
