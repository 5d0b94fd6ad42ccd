"""The gate in front of the administrator's pages."""

import html
from urllib.parse import urlsplit

import streamlit as st

from app.http.sign_in import COOKIE, SIGN_IN
from app.services import Services
from app.views.shared import services
from core.people.accounts import NOT_SIGNED_IN


def admit() -> None:
    """Let an administrator pass; ask anyone else to sign in, and end the page's run."""
    shared = services()
    if not shared.settings.admin_password:
        st.warning(
            "No administrator's password is set: whoever uses this machine can retrain and "
            "replace the model. Set HIPPOVIEW_ADMIN_PASSWORD and start again to ask for one.",
            icon=":material/lock_open:",
        )
        return
    if is_admitted():
        st.sidebar.html(f'<a href="{SIGN_IN}" target="_self">Sign out</a>')
        return
    page = urlsplit(st.context.url or "").path.rstrip("/").rpartition("/")[2]
    st.info("This page is for administrators.", icon=":material/lock:")
    st.html(f'<a href="{SIGN_IN}?next={html.escape(page)}" target="_self">Sign in</a>')
    st.stop()


def is_admitted() -> bool:
    """Whether the page's visitor is an administrator; for fragments, which run on their own."""
    shared = services()
    if not shared.settings.admin_password:
        return True
    return shared.accounts.knows(st.context.cookies.get(COOKIE))


def administrator(shared: Services) -> str:
    """Who acts on the page: the account that is signed in, where one has to be."""
    if not shared.settings.admin_password:
        return NOT_SIGNED_IN
    return shared.accounts.name_of(st.context.cookies.get(COOKIE)) or NOT_SIGNED_IN
