"""Limits the uploads of the pages, around Streamlit's own route."""

import asyncio

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime import get_instance
from streamlit.runtime.stats import CacheStat

from app.http.bodies import Bodies, SlowBodyError
from core.errors import BusyError, HippoViewError, StorageError, TooLargeError

_RETRY_S = 5
_PAGE_UPLOADS = "/_stcore/upload_file/"
# How often an upload of a page asks again whether there is a place for it.
_LOOK_S = 0.2


class PageUploads:
    """Limits the uploads of the pages, around Streamlit's route, without reading bodies.

    Streamlit keeps uploaded files in memory. An upload waits for its place; a page's batch is
    larger than what is taken at once.
    """

    def __init__(
        self, app: ASGIApp, bodies: Bodies, most_held_bytes: int, patience_s: float
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._most_held_bytes = most_held_bytes
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        is_upload = scope["type"] == "http" and scope["path"].startswith(_PAGE_UPLOADS)
        if not is_upload or scope["method"] != "PUT":
            await self._app(scope, receive, send)
            return
        deadline_s = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                with self._bodies.place(Headers(scope=scope)):
                    self._check_memory()
                    await self._app(scope, self._bodies.watched(receive), send)
                    return
            except BusyError as error:
                if asyncio.get_running_loop().time() > deadline_s:
                    await _plain(error, 503)(scope, receive, send)
                    return
                await asyncio.sleep(_LOOK_S)
            except TooLargeError as error:
                await _plain(error, 413)(scope, receive, send)
                return
            except SlowBodyError as error:
                await _plain(error, 408)(scope, receive, send)
                return
            except StorageError as error:
                await _plain(error, 503)(scope, receive, send)
                return

    def _check_memory(self) -> None:
        stats = get_instance().uploaded_file_mgr.get_stats()
        every = (one for family in stats.values() for one in family)
        held = sum(one.byte_length for one in every if isinstance(one, CacheStat))
        if held > self._most_held_bytes:
            raise BusyError("The pages hold as many files as they can", retry_after_s=_RETRY_S)


def _plain(error: HippoViewError, status: int) -> Response:
    headers = {"Retry-After": str(_RETRY_S)} if status == 503 else {}
    return PlainTextResponse(f"{error.message}. {error.hint}", status, headers)
