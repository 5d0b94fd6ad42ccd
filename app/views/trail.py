"""Parts of the Trail page: what a line's marks stand for, and one line whole.

The trail itself names no case. Whoever may read it sees all cases, so the page says which case of
this server a mark is of; that of a case which was forgotten tells nothing to anybody.
"""

from collections.abc import Mapping

import streamlit as st

from app.services import Services
from app.views.words import DASH, plain
from core.people.audit import Line, mark

_SERVER = "server"


def case_marks(shared: Services) -> dict[str, str]:
    """By the mark of each case of this server, also a deleted one: *case HV-7F3K2M*."""
    engine = shared.accounts.guard.engine
    rows = [*shared.cases.find(), *shared.cases.find(deleted=True)]
    return {mark(engine, "case", row.id): f"case {row.id}" for row in rows}


def account_names(shared: Services) -> dict[str, str]:
    """By account, its name: a line of somebody who was refused has the account alone."""
    return {one.id: one.name for one in shared.accounts.find()}


def who_words(line: Line, names: Mapping[str, str]) -> str:
    """Who did it; who was refused at the door has only tried to be the account there."""
    if line.name or line.role == _SERVER:
        return line.name or _SERVER
    if line.who:
        return f"somebody as {names.get(line.who, line.who)}"
    return "somebody, not signed in"


def from_words(line: Line) -> str:
    """Where it came from: what comes over no network has no address."""
    return line.address or ("the server itself" if line.role == _SERVER else "this machine")


def show_line(line: Line, who: str, about: str) -> None:
    """All that a line says, none of it cut.

    Parameters
    ----------
    who
        `who_words`.
    about
        What it is about, as far as this server knows it.
    """
    with st.container(border=True):
        by = ", ".join(filter(None, (who, line.role, from_words(line))))
        st.markdown(
            f"**Line {line.number}**, {line.at[:19].replace('T', ' ')} UTC: "
            f"**{plain(line.act)}** by {plain(by)}"
        )
        st.markdown(f"Note: {plain(line.note) or DASH}")
        st.markdown(f"About: {plain(about) or DASH}")
        if about != line.what:
            st.caption(f"In the trail it stands as `{line.what}`.")
        if line.before or line.after:
            before, after = (f"`{mark}`" if mark else DASH for mark in (line.before, line.after))
            st.caption(f"Mark of what was there before {before}, and after {after}")
