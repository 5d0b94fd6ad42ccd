"""The one door of pages, API, viewer files and websocket: says who acts, and lets nobody else in.

What somebody may do is asked in `core`, at the object. Here it is only asked whether somebody has
signed in, where there are accounts.
"""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import streamlit as st
from google.protobuf.message import DecodeError
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.http.sign_in_page import (
    CALLBACK,
    CODE,
    FIRST,
    PASSWORD,
    SIGN_IN,
    SIGN_OUT,
    START,
)
from app.http.visits import COOKIE, address_of, is_forwarded, is_stranger, visitor_of
from app.lookups import Lookups
from app.page_sessions import is_anothers, named
from app.services import Services
from core.errors import AccessError, ForbiddenError, StorageError
from core.people.acting import NOBODY, Actor, acting_as, go_on_as
from core.people.refusals import refusals_of

_SAFE = ("GET", "HEAD", "OPTIONS")
# Open to everybody: signing in, whether the server lives, what the API is, and programs and letters
# of the pages, which hold nothing of a patient. docs/permissions.md lists them.
PUBLIC = frozenset({
    SIGN_IN, SIGN_OUT, PASSWORD, CODE, FIRST, START, CALLBACK, "/api/live", "/api/health",
    "/api/docs", "/api/openapi.json", "/_stcore/health", "/favicon.png",
})  # fmt: skip
_STATIC = "/static/"
PUBLIC_BELOW = (_STATIC, "/api/static-offline-docs/")
# Asked by a page every few seconds: no use of the sign-in.
_WATCH = "/api/me"
# Asks for nothing that could be away; and when to ask again for what is.
_LIVE, _RETRY_S = "/api/live", "5"
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013
# Without accounts everything is open to this machine, and a proxy on it would open it to others.
_PROXIED = ForbiddenError(
    "This server has no accounts, and the request came through a proxy, which others may use",
    "Open it on 127.0.0.1 without the proxy. Or add an administrator (python -m core people add "
    "NAME --role administrator), and name the proxy in HIPPOVIEW_TRUSTED_PROXIES.",
    code="open_behind_proxy",
)
_ANOTHERS = ForbiddenError(
    "The page that this file is for was opened in another sign-in", "Reload the page.",
    code="other_sign_in",
)  # fmt: skip
# A link of another site opens a page without our cookie, which is SameSite=Strict. Loaded once more
# by itself, it has it.
_ONCE_MORE = '<!doctype html><meta http-equiv="refresh" content="0"><title>HippoView</title>'


class Door:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, shared: Services) -> None:
        self._app = app
        self._shared = shared
        self._lookups = Lookups(shared.accounts.guard.engine)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        who, is_due, is_open = replace(NOBODY, address=address_of(asked)), False, False
        try:
            if _needs_look(asked):
                who, is_due, is_open = await self._lookups.find(partial(self._visitor, asked))
        except AccessError as error:
            stranger = replace(NOBODY, id="", address=address_of(asked))
            refusals_of(self._shared.accounts.guard.engine).note("a token", by=stranger)
            await _refuse(scope, receive, send, JSONResponse(error.as_dict(), 401))
            return
        except StorageError as error:  # nobody can say who it is
            answer = JSONResponse(error.as_dict(), 503, {"Retry-After": _RETRY_S})
            await _refuse(scope, receive, send, answer)
            return
        refusal = self._refusal(asked, who, is_open)
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        if is_due and scope["path"] != _WATCH:
            await self._touch(asked)
        if scope["type"] == "websocket":
            is_known = who.role != "nobody"
            scope = named(scope, asked.cookies.get(COOKIE, "") if is_known else "")
            receive = self._watched(asked, receive, send) if is_known else receive
        with acting_as(who):
            await self._app(scope, receive, send)

    def _visitor(self, asked: HTTPConnection) -> tuple[Actor, bool, bool]:
        """Who asks, whether their use is to be written down, and whether there are no accounts."""
        who, is_due = visitor_of(asked, self._shared.sign_ins)
        is_open = who.role == "nobody" and self._shared.accounts.guard.is_open
        return who, is_due, is_open

    def _refusal(self, asked: HTTPConnection, who: Actor, is_open: bool) -> Response | None:
        scope = asked.scope
        path, kind = scope["path"], scope["type"]
        if who.role == "service" and not path.startswith("/api/"):
            error = AccessError("A token opens the API alone", "See /api/docs.")
            return JSONResponse(error.as_dict(), 401)
        if who.role != "nobody" or _is_public(path):
            is_refused = is_anothers(path, asked.cookies.get(COOKIE, ""))
            return JSONResponse(_ANOTHERS.as_dict(), 403) if is_refused else None
        if is_open:
            return JSONResponse(_PROXIED.as_dict(), 403) if is_forwarded(asked) else None
        is_page = kind == "http" and scope["method"] in _SAFE and not path.startswith("/api/")
        if is_page and "text/html" in asked.headers.get("accept", ""):
            if asked.headers.get("sec-fetch-site") == "cross-site":
                return HTMLResponse(_ONCE_MORE, headers={"Cache-Control": "no-store"})
            follow = path.lstrip("/") + (f"?{asked.url.query}" if asked.url.query else "")
            return RedirectResponse(f"{SIGN_IN}?next={quote(follow)}", 303)
        error = AccessError(
            "Sign in first", "On /sign-in; or send a token: -H 'Authorization: Bearer TOKEN'."
        )
        return JSONResponse(error.as_dict(), 401, {"Cache-Control": "no-store"})

    async def _touch(self, asked: HTTPConnection) -> None:
        token = asked.cookies.get(COOKIE, "")
        with suppress(StorageError):  # the next request writes it down
            await self._lookups.note(partial(self._shared.sign_ins.touch, token))

    def _watched(self, asked: HTTPConnection, receive: Receive, send: Send) -> Receive:
        """What a page sends, for as long as its sign-in goes on; then the line is cut."""
        token = asked.cookies.get(COOKIE, "")

        async def next_message() -> Message:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            look = partial(self._shared.sign_ins.who_has, token, address_of(asked))
            code = _POLICY_VIOLATION
            try:
                who, is_due = await self._lookups.find(look)
            except StorageError:  # the page connects again by itself
                who, is_due, code = None, False, _TRY_AGAIN_LATER
            if who is None:
                await send({"type": "websocket.close", "code": code})
                return {"type": "websocket.disconnect", "code": code}
            go_on_as(who)  # with the role and the groups of now
            if is_due and not _is_by_itself(message.get("bytes") or b""):
                await self._touch(asked)
            return message

        return next_message


def actor_of_page(shared: Services) -> Actor | None:
    """Who has opened the page whose script runs on this thread; None on any other thread."""
    if not runtime.exists() or get_script_run_ctx(suppress_warning=True) is None:
        return None
    address = st.context.ip_address or ""
    return shared.sign_ins.who_has(st.context.cookies.get(COOKIE, ""), address)[0]


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(PUBLIC_BELOW)


def _needs_look(asked: HTTPConnection) -> bool:
    """Whether the database has to be asked who comes: what is open to all is there without it."""
    path = asked.scope["path"]
    if path == _LIVE or path.startswith(_STATIC):
        return False
    return not (_is_public(path) and is_stranger(asked))


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Response) -> None:
    if scope["type"] == "http":
        await refusal(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


def _is_by_itself(content: bytes) -> bool:
    """Whether a page asks to be drawn again by its clock, and nobody has touched it."""
    try:
        message = BackMsg.FromString(content)
    except DecodeError:
        return True  # Streamlit ends the line
    return bool(message.HasField("rerun_script") and message.rerun_script.is_auto_rerun)
