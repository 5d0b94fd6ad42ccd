"""Binds the session of a page to the sign-in in which it began.

A session is what Streamlit keeps for a tab: what was typed, uploaded and segmented there. Whoever
brings its id has it back after a break of the line, and its id stands in the addresses of uploads,
which proxies log. Streamlit compares who began a session with who comes back if it is told who they
are: the door tells it, in a header that nobody else can set.
"""

from starlette.types import Scope
from streamlit import runtime

from app.http.visits import COOKIE
from core.people.account import sha256

_HEADER = "x-hippoview-sign-in"
# Streamlit's setting server.trustedUserHeaders. Sessions with different values are strangers.
COMPARED = {_HEADER: "sign_in"}
_UPLOADS = "/_stcore/upload_file/"


def named(scope: Scope, token: str) -> Scope:
    """A websocket's request with the sign-in that it comes by, in place of what it says itself.

    Parameters
    ----------
    scope
    token
        The sign-in's; empty where nobody signs in.
    """
    name = _HEADER.encode()
    sent = [(key, value) for key, value in scope["headers"] if key.lower() != name]
    return {**scope, "headers": [*sent, (name, sha256(token).encode() if token else b"")]}


def is_anothers(path: str, token: str) -> bool:
    """Whether an upload's address names a session that is open in another sign-in."""
    if not path.startswith(_UPLOADS) or not runtime.exists():
        return False
    session_id = path.removeprefix(_UPLOADS).split("/")[0]
    client = runtime.get_instance().get_client(session_id)
    if client is None:  # there is no such session, which Streamlit says
        return False
    came = client.client_context
    return came is None or came.cookies.get(COOKIE, "") != token
