"""The websocket of a page, as a browser opens it, and the session that it gets."""

from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

_TIMEOUT_S = 60


@contextmanager
def session_of(url, cookie, session_id=""):
    """The id of the session that a page gets, which asks for this one; the line stays open."""
    asked = ["streamlit", "no-token", *([session_id] if session_id else [])]
    headers = {"Cookie": cookie} | {"X-HippoView-Sign-In": "whose I say"}
    with connect(
        f"{url.replace('http', 'ws', 1)}/_stcore/stream", origin=url, subprotocols=asked,
        additional_headers=headers, max_size=None, open_timeout=_TIMEOUT_S,
    ) as line:  # fmt: skip
        message = BackMsg()
        message.rerun_script.query_string = ""
        line.send(message.SerializeToString())
        while True:
            told = ForwardMsg.FromString(line.recv(_TIMEOUT_S))
            if told.HasField("new_session"):
                break
        yield told.new_session.initialize.session_id
