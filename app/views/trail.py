"""Part of the Trail page: one line of the trail whole, where the table cuts it."""

import streamlit as st

from app.views.words import DASH, plain
from core.people.audit import Line


def show_line(line: Line) -> None:
    """All that a line says, none of it cut."""
    with st.container(border=True):
        who = ", ".join(filter(None, (line.name or line.who, line.role, line.address)))
        st.markdown(
            f"**Line {line.number}**, {line.at[:19].replace('T', ' ')} UTC: "
            f"**{plain(line.act)}** by {plain(who)}"
        )
        st.markdown(f"Note: {plain(line.note) or DASH}")
        st.markdown(f"About: {plain(line.what) or DASH}")
        if line.before or line.after:
            before, after = (f"`{mark}`" if mark else DASH for mark in (line.before, line.after))
            st.caption(f"Mark of what was there before {before}, and after {after}")
