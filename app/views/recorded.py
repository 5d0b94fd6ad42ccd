"""Downloads as whoever has drawn the page; of a case they leave a line in the trail."""

from collections.abc import Callable

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.http.visits import COOKIE
from app.services import Services
from core.errors import AccessError
from core.people.acting import Actor, acting_as, actor


def as_visitor(shared: Services, made: Callable[[], bytes]) -> Callable[[], bytes]:
    """What makes a download, as whoever has drawn the page: its own thread begins as nobody.

    What that one may do is asked anew: the page may have been drawn hours before. After the
    sign-out nothing is made, for whoever has the tab then.
    """
    who, token = actor(), token_of_page()

    def content() -> bytes:
        with acting_as(_as_of_now(shared, who, token)):
            return made()

    return content


def token_of_page() -> str:
    """The sign-in of the page whose script runs on this thread; empty on any other thread."""
    if not runtime.exists() or get_script_run_ctx(suppress_warning=True) is None:
        return ""
    return st.context.cookies.get(COOKIE, "")


def _as_of_now(shared: Services, who: Actor, token: str) -> Actor:
    """Whoever has drawn the page, by the sign-in that it was drawn in.

    Raises
    ------
    AccessError
        It has ended, or the account was switched off.
    """
    now = shared.sign_ins.as_of_now(who)
    if token and who.role not in ("nobody", "server"):
        signed_in, _ = shared.sign_ins.who_has(token)
        if signed_in is None or signed_in.id != who.id:
            raise AccessError(
                "Your sign-in has ended meanwhile", "Sign in, and open the page again.",
                code="signed_out",
            )  # fmt: skip
    return now


def recorded(
    shared: Services, case_id: str, what: str, data: bytes | Callable[[], bytes]
) -> Callable[[], bytes]:
    """The content of a download, with its line written first: what is in no trail does not leave.

    Parameters
    ----------
    what
        Which file, such as ``mask.nii.gz``.
    data
        The file, or what makes it.
    """

    def content() -> bytes:
        shared.cases.acts.admit(case_id, "see")
        shared.cases.acts.lines.exported(case_id, what)
        return data() if callable(data) else data

    return as_visitor(shared, content)
