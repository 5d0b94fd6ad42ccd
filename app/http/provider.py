"""Signing in with a provider of identities: the way there, and back.

The way there is a link, not a form: a form may go nowhere but to us (Content-Security-Policy). The
way back is a request that the provider's page makes, so that it carries no cookie that is
SameSite=Strict, but that of the try, which is Lax; its answer is a page that goes on by itself, as
our own page, with the cookie of the sign-in.
"""

import hashlib
import hmac
from functools import partial
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.http.sign_in_page import (
    CALLBACK,
    SIGN_IN,
    START,
    is_https,
    is_page,
    keep_session,
    next_of,
    page_of,
)
from app.http.visits import COOKIE, address_of
from app.services import Services
from core.errors import AccessError, HippoViewError, ProviderError
from core.people.acting import actor
from core.people.limits import MOST_PROVIDER_CHARS, PROVIDER_SIGN_IN_MIN
from core.people.provider.begun import Try
from core.people.sign_ins import TooManyTriesError

if TYPE_CHECKING:  # what checks tokens is loaded where there is a provider
    from core.people.provider.sign_ins import ProviderSignIns

_TRY = "hippoview_try_"
# No other name below the same domain can set a cookie with this beginning.
_HOST_ONLY = "__Host-"
_MARK_LETTERS = 16
_GO_ON = (
    '<!doctype html><meta http-equiv="refresh" content="0; url=/{0}"><title>HippoView</title>'
    '<a href="/{0}">Go on</a>'
)


def routes(shared: Services) -> list[Route]:
    """The routes of signing in with a provider; without one they have nothing to do."""
    return [
        Route(START, partial(_start, shared), methods=["GET"]),
        Route(CALLBACK, partial(_callback, shared), methods=["GET"]),
    ]


def _start(shared: Services, request: Request) -> Response:
    """Send a browser to the provider, with the secret of this try in a cookie."""
    follow = next_of(request)
    if shared.provider is None or shared.accounts.guard.is_open:
        return page_of(shared, START, request, status=404)
    if actor().role != "nobody":
        return RedirectResponse(f"/{follow}", 303)
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        # Another site signs nobody in unasked.
        return RedirectResponse(f"{SIGN_IN}?next={quote(follow)}", 303)
    begun = Try.begin()
    try:
        where = shared.provider.provider.address_of(begun, _redirect_uri(request))
    except HippoViewError as error:
        return _refused(shared, request, error, follow)
    answer = RedirectResponse(where, 303, {"Cache-Control": "no-store"})
    value = f"{begun.secret}~{quote(follow, safe='')}"
    _keep_try(answer, request, begun.state, value, 60 * PROVIDER_SIGN_IN_MIN)
    return answer


def _callback(shared: Services, request: Request) -> Response:
    """Sign in whoever the provider has sent back, if this browser had gone there."""
    if shared.provider is None or shared.accounts.guard.is_open:
        return page_of(shared, START, request, status=404)
    state = _single(request, "state")
    secret, _, kept = request.cookies.get(_name_of(request, state), "").partition("~")
    begun, follow = Try(secret), unquote(kept)
    follow = follow if is_page(follow) else ""
    try:
        if not secret or not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise AccessError(
                "This sign-in was not begun in this browser, or it has ended",
                "Begin again.",
                code="unknown_try",
            )
        code = _code_of(request, shared.provider)
        _, token = shared.provider.sign_in(
            code, begun, _redirect_uri(request), address_of(request)
        )  # fmt: skip
    except HippoViewError as error:
        answer = _refused(shared, request, error, follow)
    else:
        if before := request.cookies.get(COOKIE):
            shared.sign_ins.sign_out(before)
        page = _GO_ON.format(escape(follow))
        answer = HTMLResponse(page, headers={"Cache-Control": "no-store"})
        keep_session(answer, request, token)
    if secret:
        _keep_try(answer, request, state, "", 0)  # once is enough
    return answer


def _code_of(request: Request, ways: "ProviderSignIns") -> str:
    """The code that the provider has sent along.

    Raises
    ------
    AccessError
        It has sent none: somebody gave up there, or may not come in.
    """
    issuer, code = _single(request, "iss"), _single(request, "code")
    if issuer not in ("", ways.provider.issuer):  # RFC 9207
        raise AccessError("The answer is another provider's", "Begin again.", code="bad_identity")
    if "error" in request.query_params or not code:
        raise AccessError(
            f"{ways.provider.name} did not sign you in", "Begin again.", code="not_confirmed"
        )
    return code


def _refused(
    shared: Services, request: Request, error: HippoViewError, follow: str
) -> Response:  # fmt: skip
    """The page for signing in, with what was wrong above it."""
    kinds = {TooManyTriesError: 429, ProviderError: 503}
    status = kinds.get(type(error), 403)
    answer = page_of(
        shared, SIGN_IN, request, f"{error.message}. {error.hint}", status, follow=follow
    )
    if isinstance(error, TooManyTriesError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def _single(request: Request, name: str) -> str:
    """A word of the query; empty if there are none, several, or it is too long for one."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 and len(values[0]) <= MOST_PROVIDER_CHARS else ""


def _redirect_uri(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{CALLBACK}"


def _name_of(request: Request, state: str) -> str:
    """The cookie of one try: two tabs may each have one."""
    mark = hashlib.sha256(state.encode()).hexdigest()[:_MARK_LETTERS]
    return f"{_HOST_ONLY if is_https(request) else ''}{_TRY}{mark}"


def _keep_try(answer: Response, request: Request, state: str, value: str, age_s: int) -> None:
    answer.set_cookie(
        _name_of(request, state), value, max_age=age_s, httponly=True, samesite="lax",
        secure=is_https(request),
    )  # fmt: skip
