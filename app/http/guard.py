"""What stands before every route and page: host names, origins, rates, security headers.

It reads no body, and asks neither database nor storage.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers as Sent
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.headers import Headers
from app.http.rates import Rates
from core.errors import HippoViewError
from core.people.acting import actor
from core.people.tries import who_has
from core.settings import LOOPBACK
from core.web_limits import READS_TIMES, REQUESTS_AT_ONCE

_SAFE = ("GET", "HEAD", "OPTIONS")
# Asked by what watches the server, which knows it by its address alone. It tells nothing.
_LIVE = "/api/live"
# They wait for a place and for memory (`app.page_uploads`): a folder of DICOM is thousands.
_PAGE_UPLOADS = "/_stcore/upload_file/"
_POLICY_VIOLATION = 1008


@dataclass(frozen=True)
class Refusal:
    """A request that goes no further.

    Attributes
    ----------
    retry_after_s
        When it may be sent again; 0 for never.
    """

    status: int
    code: str
    message: str
    hint: str
    retry_after_s: int = 0


class Hosts:
    """The names by which browsers may call this server.

    A page of another site can make its own name point here (DNS rebinding): its requests then come
    from our own origin as the browser sees it, but with that site's name.

    Parameters
    ----------
    names
        Such as ``hippoview.example.org`` or ``*.example.org``.
    on_loopback
        The server listens on this machine alone. Else every name holds where none is given. The
        names of the loopback hold always: no other site can make them its own.
    """

    def __init__(self, names: Iterable[str], *, on_loopback: bool) -> None:
        self._names = {name.lower().strip("[].") for name in names}
        self._open = not self._names and not on_loopback

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if not name or set("/?#@\\") & set(host):
            return False
        if self._open or name in self._names or name in LOOPBACK or _is_loopback(name):
            return True
        return any(f"*.{parent}" in self._names for parent in _parents(name))


class Guard:
    """Refuses requests for unknown hosts, from other sites, and too many; sets headers.

    Parameters
    ----------
    app
    hosts
    headers
    per_minute
        Requests that change something, by address; see `Rates`. Others may be ten times as many.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Hosts,
        headers: Headers,
        per_minute: int,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._headers = headers
        self._rates = _ByKind(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        sent = Sent(scope=scope)
        refusal = self._refusal(scope, sent)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        headers = self._headers.of(scope["path"], is_https=scope["scheme"] == "https")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in headers.items():
                    answered.setdefault(name, value)
            await send(message)

        if refusal is None:
            await self._app(scope, receive, with_headers)
        else:
            await _answer(refusal)(scope, receive, with_headers)

    def _refusal(self, scope: Scope, sent: Sent) -> Refusal | None:
        named = sent.getlist("host")
        if scope["path"] != _LIVE and (len(named) != 1 or not self._hosts.knows(named[0])):
            return Refusal(
                421, "unknown_host", "This server is not known by the name in the address",
                "Open it by one of its own names; HIPPOVIEW_HOSTS lists them.",
            )  # fmt: skip
        if _changes(scope) and not is_own(sent, scope["scheme"]):
            return Refusal(
                403, "foreign_origin", "The request comes from another site",
                "Open HippoView in a window of its own and repeat it there.",
            )  # fmt: skip
        return self._rates.refusal(scope, who_has(address_of(scope)))


class AccountRates:
    """Refuses what is too much of one account, from however many addresses it comes.

    It stands behind the door that says who acts.

    Parameters
    ----------
    app
    per_minute
        See `Guard`.
    """

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self._app = app
        self._rates = _ByKind(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        refusal = None
        if scope["type"] == "http" and actor().role != "nobody":
            refusal = self._rates.refusal(scope, actor().id)
        app = self._app if refusal is None else _answer(refusal)
        await app(scope, receive, send)


class _ByKind:
    """Counts what changes something apart from the rest."""

    def __init__(self, per_minute: int) -> None:
        self._changes = Rates(per_minute, REQUESTS_AT_ONCE)
        self._reads = Rates(READS_TIMES * per_minute, READS_TIMES * REQUESTS_AT_ONCE)

    def refusal(self, scope: Scope, client: str) -> Refusal | None:
        if scope["path"].startswith(_PAGE_UPLOADS):
            return None
        rates = self._changes if _changes(scope) else self._reads
        wait_s = rates.wait_s(client)
        if not wait_s:
            return None
        return Refusal(
            429, "too_many_requests", "Too many requests came from here",
            f"Send it again in about {wait_s} s, and fewer at a time.", wait_s,
        )  # fmt: skip


def _changes(scope: Scope) -> bool:
    return scope["type"] == "websocket" or scope["method"] not in _SAFE


def address_of(scope: Scope) -> str:
    """The address that a request comes from.

    Behind a proxy of ``HIPPOVIEW_TRUSTED_PROXIES`` the one that the proxy names, else the proxy's.
    """
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_own(sent: Sent, scheme: str) -> bool:
    """Whether a request comes from our own pages; programs send no origin and pass.

    Parameters
    ----------
    sent
        The request's headers.
    scheme
        By which it came. A page without TLS is not ours where we are reached by TLS.
    """
    origin = sent.get("origin")
    if origin is None:
        return sent.get("sec-fetch-site", "none") in ("none", "same-origin")
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if scheme in ("https", "wss") and parts.scheme != "https":
        return False
    return bool(parts.netloc) and parts.netloc.lower() == sent.get("host", "").lower()


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[begin:]) for begin in range(1, len(parts))]


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _answer(refusal: Refusal) -> JSONResponse:
    error = HippoViewError(refusal.message, refusal.hint, code=refusal.code)
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    return JSONResponse(error.as_dict(), refusal.status, headers)
