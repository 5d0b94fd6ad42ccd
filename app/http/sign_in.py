"""Sign-in, sign-out, and the gate in front of the administrator's routes."""

import base64
import binascii
from functools import partial
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.http.held import Held
from app.services import Services
from core.anatomy import NOTICE
from core.errors import AccessError
from core.exports.templates import render
from core.limits import SESSION_HOURS
from core.people.accounts import ADMINISTRATOR, NOT_SIGNED_IN, TooManyTriesError
from core.settings import LOOPBACK

COOKIE = "hippoview_session"
# Says that a browser has signed in before, and nothing more: see `core.people.accounts`.
_BROWSER_COOKIE = "hippoview_browser"
_BROWSER_DAYS = 365
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
_PAGES = ("retrain", "models", "drift", "operations")
_LARGEST_FORM_BYTES = 4096
_BY_API = " (API)"


def require_admin(request: Request, shared: Held) -> str:
    """Let a signed-in browser pass, or the password as HTTP Basic.

    Returns
    -------
    str
        Who asks: the account, and that it is by the API.

    Raises
    ------
    AccessError
    """
    if not shared.settings.admin_password:
        # Only this machine can connect; a page of another site in its browser must not.
        if not _is_local(request.headers.get("host", "")) or not _is_own(request):
            raise AccessError(
                "Without an administrator's password only this machine's own pages may do this",
                "Set HIPPOVIEW_ADMIN_PASSWORD, start again and sign in.",
                code="foreign_origin",
            )
        return f"{NOT_SIGNED_IN}{_BY_API}"
    if not _is_own(request):
        raise AccessError("The request comes from another site", code="foreign_origin")
    if account := shared.accounts.name_of(request.cookies.get(COOKIE)):
        return f"{account}{_BY_API}"
    password = _basic_password(request.headers.get("authorization", ""))
    if password is None:
        raise AccessError(
            "This is for administrators", "Sign in, or send: curl -u admin:PASSWORD ..."
        )
    shared.accounts.check(password, *_who(request))
    return f"{ADMINISTRATOR}{_BY_API}"


def routes(shared: Services) -> list[Route]:
    """The routes of the sign-in page and its forms."""
    return [
        Route(SIGN_IN, partial(_show, shared), methods=["GET"]),
        Route(SIGN_IN, partial(_sign_in, shared), methods=["POST"]),
        Route(SIGN_OUT, partial(_sign_out, shared), methods=["POST"]),
    ]


def _show(shared: Services, request: Request) -> Response:
    if shared.accounts.knows(request.cookies.get(COOKIE)):
        return _page("signed in")
    if not shared.settings.admin_password:
        return _page("no password")
    return _form(_next_of(request), "")


async def _sign_in(shared: Services, request: Request) -> Response:
    follow = _next_of(request)
    declared = request.headers.get("content-length", "")
    if not declared.isdigit() or int(declared) > _LARGEST_FORM_BYTES or not _is_own(request):
        return _form(follow, "That was not understood. Try again.", 400)
    form = await request.form(max_files=0, max_fields=4)
    try:
        # argon2 is slow by design: not on the event loop.
        password = str(form.get("password", ""))
        token = await run_in_threadpool(shared.accounts.sign_in, password, *_who(request))
    except TooManyTriesError as error:
        refused = _form(follow, f"{error.message}. {error.hint}", 429)
        refused.headers["Retry-After"] = str(error.retry_after_s)
        return refused
    except AccessError as error:
        return _form(follow, f"{error.message}. {error.hint}", 403)
    answer = RedirectResponse(f"/{follow}", 303)
    for name, value, age_s in (
        (COOKIE, token, 3600 * SESSION_HOURS),
        (_BROWSER_COOKIE, shared.accounts.name_browser(), 24 * 3600 * _BROWSER_DAYS),
    ):
        answer.set_cookie(
            name, value, max_age=age_s, httponly=True, samesite="strict",
            secure=_is_https(request),
        )  # fmt: skip
    return answer


def _sign_out(shared: Services, request: Request) -> Response:
    token = request.cookies.get(COOKIE)
    if token and _is_own(request):
        shared.accounts.sign_out(token)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _form(follow: str, error: str, status: int = 200) -> Response:
    return _page("to sign in", status, follow=follow, error=error)


def _page(state: str, status: int = 200, follow: str = "", error: str = "") -> Response:
    page = render(
        "app/http/sign_in.html", state=state, follow=follow, error=error, notice=NOTICE,
        sign_in=SIGN_IN, sign_out=SIGN_OUT,
    )  # fmt: skip
    return HTMLResponse(page, status, {"Cache-Control": "no-store", "X-Frame-Options": "DENY"})


def _next_of(request: Request) -> str:
    """The page to open after signing in: one of our own, never an outside address."""
    page = request.query_params.get("next", "")
    return page if page in _PAGES else _PAGES[0]


def _is_own(request: Request) -> bool:
    """Whether a request comes from our own page; programs send no origin and pass."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _who(request: Request) -> tuple[str, str | None]:
    """The address that a request comes from, and the name of the browser if it has one.

    Behind a proxy the address is that of the proxy, unless it is one of those that uvicorn trusts
    (``FORWARDED_ALLOW_IPS``, by itself 127.0.0.1): then it is what the proxy says.
    """
    address = request.client.host if request.client else ""
    return address, request.cookies.get(_BROWSER_COOKIE)


def _is_local(host: str) -> bool:
    return (urlsplit(f"//{host}").hostname or "") in LOOPBACK


def _is_https(request: Request) -> bool:
    forwarded = request.headers.get("x-forwarded-proto", "")
    return request.url.scheme == "https" or forwarded == "https"


def _basic_password(header: str) -> str | None:
    kind, _, content = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(content, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
