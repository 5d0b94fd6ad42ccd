"""The gate in front of the administrator's pages, and who is signed in."""

import streamlit as st

from app.http.sign_in_page import SIGN_IN
from app.views.shared import services
from core.people.acting import actor
from core.people.roles import Act
from core.settings import ROOT

_PEOPLE = str(ROOT / "pages" / "people.py")
_OPEN = (
    "There are no accounts: whoever uses this machine may see, change and delete everything here. "
    "Make the first administrator to have people sign in: "
)
_HOW = "the page *People* says how."
_OURS = "People"


def show_who(page: str) -> None:
    """Who is signed in, in the menu; without accounts that everything is open.

    Parameters
    ----------
    page
        Title of the page that is open: on *People* itself no second link to it is lit.
    """
    who = actor()
    if services().accounts.guard.is_open:
        if page == _OURS:
            st.caption(":material/lock_open: Open: sign-in is set up on this page")
        else:
            st.page_link(
                _PEOPLE, label="Open: set up sign-in", icon=":material/lock_open:",
                help=_OPEN + _HOW,
            )  # fmt: skip
        return
    st.caption(f":material/person: {who.name}, {who.role}")
    st.html(f'<a href="{SIGN_IN}" target="_self">Password, sign out</a>')


def require_sign_in() -> None:
    """End a page's run if its visitor has signed out, or the sign-in has ended."""
    if actor().role == "nobody" and not services().accounts.guard.is_open:
        st.info("Your sign-in has ended.", icon=":material/lock:")
        st.html(f'<a href="{SIGN_IN}" target="_self">Sign in</a>')
        st.stop()


def admit(act: Act = "watch") -> None:
    """Let those pass who may do this; tell anyone else, and end the page's run."""
    if services().accounts.guard.is_open:
        how = "in one of the two ways below." if act == "people" else _HOW
        st.warning(_OPEN + how, icon=":material/lock_open:")
        return
    if not is_admitted(act):
        services().accounts.guard.refused(act)
        st.info("This page is for administrators.", icon=":material/lock:")
        st.stop()


def is_admitted(act: Act = "watch") -> bool:
    """Whether the page's visitor may do this; for fragments, which run on their own."""
    return services().accounts.guard.may(act)


def administrator() -> str:
    """Who acts on the page, for the history of models and reference groups."""
    return actor().name
