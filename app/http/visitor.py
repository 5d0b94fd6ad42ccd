"""Tells browsers apart: a cookie, and links that only that browser can use."""

import hashlib
import hmac
import secrets

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "hippoview_visitor"
_BYTES = 32
# What was drawn and not saved is found again by it.
_KEPT_S = 30 * 24 * 3600


class VisitorCookie:
    """Gives each browser a random id when it opens a page; it identifies no person.

    Not Starlette's sessions: those sign what they hold, and this holds nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not _is_new_page(scope):
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], _cookie(scope)]
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
    request = HTTPConnection(scope)
    return (
        scope["method"] == "GET"
        and "text/html" in request.headers.get("accept", "")
        and COOKIE not in request.cookies
    )


def _cookie(scope: Scope) -> tuple[bytes, bytes]:
    """The header that sets the cookie, of an answer that Starlette sets it on."""
    answer = Response()
    answer.raw_headers.clear()
    answer.set_cookie(
        COOKIE, secrets.token_urlsafe(_BYTES), max_age=_KEPT_S, httponly=True, samesite="lax",
        secure=scope["scheme"] == "https",
    )  # fmt: skip
    return answer.raw_headers[0]
