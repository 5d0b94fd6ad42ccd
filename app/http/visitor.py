"""Tells browsers apart: a cookie, and links that only that browser can use."""

import hashlib
import hmac
import secrets
from http.cookies import SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "hippoview_visitor"
_BYTES = 32
# What was drawn and not saved is found again by it.
_KEPT_S = 30 * 24 * 3600


class VisitorCookie:
    """Gives each browser a random id when it opens a page; it identifies no person."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not _is_new_page(scope):
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", _cookie(scope))
            await send(message)

        await self._app(scope, receive, with_cookie)


def token_of(secret: bytes, visitor: str, case_id: str) -> str:
    """The token in a link to a case's images, for this visitor."""
    message = f"{visitor}:{case_id}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def may_see(secret: bytes, visitor: str | None, case_id: str, token: str) -> bool:
    """Whether a link's token belongs to the visitor who uses it."""
    if not visitor:
        return False
    return hmac.compare_digest(token_of(secret, visitor, case_id).encode(), token.encode())


def _is_new_page(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return (
        scope["method"] == "GET"
        and "text/html" in headers.get("accept", "")
        and f"{COOKIE}=" not in headers.get("cookie", "")
    )


def _cookie(scope: Scope) -> str:
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = secrets.token_urlsafe(_BYTES)
    crumb = cookie[COOKIE]
    crumb["path"], crumb["httponly"], crumb["samesite"] = "/", True, "Lax"
    crumb["max-age"] = _KEPT_S
    if scope["scheme"] == "https" or Headers(scope=scope).get("x-forwarded-proto") == "https":
        crumb["secure"] = True
    return crumb.OutputString()
