"""Signing in and out, new passwords, and the gate in front of the administrator's routes."""

import re
from functools import partial
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.http.held import Held
from app.http.visits import BROWSER_COOKIE, COOKIE, address_of
from app.services import Services
from core.anatomy import NOTICE
from core.errors import AccessError, HippoViewError
from core.exports.templates import render
from core.people.acting import actor
from core.people.limits import LONGEST_PASSWORD_CHARS, SESSION_HOURS, SHORT_PASSWORD_CHARS
from core.people.sign_ins import TooManyTriesError

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
PASSWORD, CODE, FIRST = "/password", "/code", "/first"
_BROWSER_DAYS = 365
_LARGEST_FORM_BYTES = 4096
_MOST_FIELDS = 5
# One of our pages, with the case that it is about.
_PAGE = re.compile(r"[a-z]{0,16}(\?case=[A-Za-z0-9._-]{1,64})?")
_BY_API = " (API)"


def require_admin(shared: Held) -> str:
    """Let whoever may see versions, trainings and drift pass; acts are asked about in `core`.

    That the request is of one of our own pages, `app.http.guard` has asked before.

    Returns
    -------
    str
        Who asks, and that it is by the API.

    Raises
    ------
    AccessError, ForbiddenError
    """
    return f"{shared.accounts.guard.require('watch').name}{_BY_API}"


def routes(shared: Services) -> list[Route]:
    """The routes of the sign-in page and its forms."""
    pages = {SIGN_IN: _sign_in, PASSWORD: _change, CODE: _choose, FIRST: _first}
    return [
        *(Route(path, partial(_show, shared, path), methods=["GET"]) for path in pages),
        *(
            Route(path, partial(_answered, shared, path, act), methods=["POST"])
            for path, act in pages.items()
        ),
        Route(SIGN_OUT, partial(_sign_out, shared), methods=["POST"]),
    ]


def _show(shared: Services, path: str, request: Request) -> Response:
    return _page(shared, path, request)


async def _answered(shared: Services, path: str, act: Any, request: Request) -> Response:
    """Do what a form asks for; what is wrong is said above the form."""
    declared = request.headers.get("content-length", "")
    if not declared.isdigit() or int(declared) > _LARGEST_FORM_BYTES:
        return _page(shared, path, request, "That was not understood. Try again.", 400)
    form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        # argon2 is slow by design: not on the event loop.
        answer: Response = await run_in_threadpool(act, shared, request, fields)
    except TooManyTriesError as error:
        refused = _page(
            shared, path, request, f"{error.message}. {error.hint}", 429, fields.get("name", "")
        )
        refused.headers["Retry-After"] = str(error.retry_after_s)
        return refused
    except HippoViewError as error:
        status = 403 if isinstance(error, AccessError) else 422
        return _page(
            shared, path, request, f"{error.message}. {error.hint}", status, fields.get("name", "")
        )
    return answer


def _sign_in(shared: Services, request: Request, fields: dict[str, str]) -> Response:
    return _signed_in(
        shared, request, fields.get("name", ""), fields.get("password", ""), _next_of(request)
    )


def _signed_in(
    shared: Services, request: Request, name: str, password: str, follow: str = ""
) -> Response:
    """Begin a sign-in of its own for this browser; one that it has ends."""
    browser = request.cookies.get(BROWSER_COOKIE, "")
    _, token, known = shared.sign_ins.sign_in(name, password, address_of(request), browser)
    if before := request.cookies.get(COOKIE):
        shared.sign_ins.sign_out(before)
    answer = RedirectResponse(f"/{follow}", 303)
    for cookie, value, age_s in (
        (COOKIE, token, 3600 * SESSION_HOURS),
        (BROWSER_COOKIE, known, 24 * 3600 * _BROWSER_DAYS),
    ):
        answer.set_cookie(
            cookie, value, max_age=age_s, httponly=True, samesite="strict",
            secure=_is_https(request),
        )  # fmt: skip
    return answer


def _change(shared: Services, request: Request, fields: dict[str, str]) -> Response:
    """A new password for whoever is signed in, with the old one."""
    who = actor()
    if who.role in ("nobody", "service"):
        raise AccessError("Sign in first", "Then choose another password.")
    browser = request.cookies.get(BROWSER_COOKIE, "")
    shared.sign_ins.check(who.name, fields.get("password", ""), address_of(request), browser)
    new = fields.get("new", "")
    shared.accounts.change_password(who.id, new)
    return _signed_in(shared, request, who.name, new)


def _choose(shared: Services, request: Request, fields: dict[str, str]) -> Response:
    """A password for whoever was given a code."""
    name, new = fields.get("name", ""), fields.get("new", "")
    shared.accounts.choose_password(name, fields.get("code", "").strip(), new)
    return _signed_in(shared, request, name, new)


def _first(shared: Services, request: Request, fields: dict[str, str]) -> Response:
    """The first administrator, with the code that the start has printed."""
    name, new = fields.get("name", ""), fields.get("new", "")
    shared.accounts.add_first(fields.get("code", "").strip(), name, new)
    return _signed_in(shared, request, name, new)


def _sign_out(shared: Services, request: Request) -> Response:
    token = request.cookies.get(COOKIE)
    if token:
        shared.sign_ins.sign_out(token)
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE)
    return answer


def _page(
    shared: Services,
    path: str,
    request: Request,
    error: str = "",
    status: int = 200,
    name: str = "",
) -> Response:
    """The page with its form, in which the name that was typed stands again."""
    who, is_open = actor(), shared.accounts.guard.is_open
    state = path.lstrip("/")
    if path == SIGN_IN:
        state = "open" if is_open else "signed-in" if who.role != "nobody" else "sign-in"
    elif is_open != (path == FIRST) or (path == PASSWORD and who.role == "nobody"):
        state = "nothing"
    page = render(
        "app/http/sign_in.html", state=state, follow=_next_of(request), error=error, notice=NOTICE,
        who=who, path=path, sign_out=SIGN_OUT, password=PASSWORD, code=CODE, sign_in=SIGN_IN,
        least=SHORT_PASSWORD_CHARS, most=LONGEST_PASSWORD_CHARS, name=name,
    )  # fmt: skip
    return HTMLResponse(page, status, {"Cache-Control": "no-store", "X-Frame-Options": "DENY"})


def _next_of(request: Request) -> str:
    """The page to open after signing in: one of our own, never an outside address."""
    page = request.query_params.get("next", "")
    return page if _PAGE.fullmatch(page) else ""


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"
