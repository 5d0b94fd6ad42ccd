"""Signing in and out, new passwords, and the gate in front of the administrator's routes."""

from functools import partial
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.http import provider
from app.http.held import Held
from app.http.sign_in_page import (
    CODE,
    FIRST,
    PASSWORD,
    SIGN_IN,
    SIGN_OUT,
    keep,
    keep_session,
    next_of,
    page_of,
)
from app.http.visits import BROWSER_COOKIE, COOKIE, address_of
from app.services import Services
from core.errors import AccessError, HippoViewError
from core.people.acting import actor
from core.people.sign_ins import TooManyTriesError

_BROWSER_DAYS = 365
_LARGEST_FORM_BYTES = 4096
_MOST_FIELDS = 5
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
        *provider.routes(shared),
    ]


def _show(shared: Services, path: str, request: Request) -> Response:
    return page_of(shared, path, request)


async def _answered(shared: Services, path: str, act: Any, request: Request) -> Response:
    """Do what a form asks for; what is wrong is said above the form."""

    async def again(error: str, status: int, name: str = "") -> Response:
        # It asks the database: not on the event loop.
        return await run_in_threadpool(page_of, shared, path, request, error, status, name)

    declared = request.headers.get("content-length", "")
    if not declared.isdigit() or int(declared) > _LARGEST_FORM_BYTES:
        return await again("That was not understood. Try again.", 400)
    form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    name = fields.get("name", "")
    if fields.get("again", fields.get("new")) != fields.get("new"):
        return await again("The two new passwords differ. Type the same twice.", 422, name)
    try:
        # argon2 is slow by design.
        answer: Response = await run_in_threadpool(act, shared, request, fields)
    except TooManyTriesError as error:
        refused = await again(f"{error.message}. {error.hint}", 429, name)
        refused.headers["Retry-After"] = str(error.retry_after_s)
        return refused
    except HippoViewError as error:
        status = 403 if isinstance(error, AccessError) else 422
        return await again(f"{error.message}. {error.hint}", status, name)
    return answer


def _sign_in(shared: Services, request: Request, fields: dict[str, str]) -> Response:
    return _signed_in(
        shared, request, fields.get("name", ""), fields.get("password", ""), next_of(request)
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
    keep_session(answer, request, token)
    keep(answer, request, BROWSER_COOKIE, known, 24 * 3600 * _BROWSER_DAYS)
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
    answer = RedirectResponse(f"{SIGN_IN}?out=1", 303)
    answer.delete_cookie(COOKIE)
    return answer
