"""The page on which people sign in, and the cookies that keep them signed in."""

import re

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from app.http.visits import COOKIE
from app.services import Services
from core.anatomy import NOTICE
from core.exports.templates import render
from core.people.acting import actor
from core.people.limits import LONGEST_PASSWORD_CHARS, SESSION_HOURS, SHORT_PASSWORD_CHARS

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
PASSWORD, CODE, FIRST = "/password", "/code", "/first"
# With a provider: where a browser begins, and where the provider sends it back to.
START, CALLBACK = "/sign-in/start", "/sign-in/callback"
# One of our pages, with the case that it is about.
_PAGE = re.compile(r"[a-z]{0,16}(\?case=[A-Za-z0-9._-]{1,64})?")


def page_of(
    shared: Services,
    path: str,
    request: Request,
    error: str = "",
    status: int = 200,
    name: str = "",
    follow: str | None = None,
) -> Response:
    """The page with its form, in which the name that was typed stands again."""
    who, is_open = actor(), shared.accounts.guard.is_open
    has_password = who.role != "nobody" and shared.accounts.has_password(who.id)
    state = path.lstrip("/")
    if path == SIGN_IN:
        state = "open" if is_open else "signed-in" if who.role != "nobody" else "sign-in"
    elif is_open != (path == FIRST) or path == START or (path == PASSWORD and not has_password):
        state = "nothing"
    provider = shared.provider.provider if shared.provider else None
    page = render(
        "app/http/sign_in.html", state=state, error=error, notice=NOTICE, who=who, path=path,
        follow=next_of(request) if follow is None else follow, sign_out=SIGN_OUT,
        password=PASSWORD if has_password else "", code=CODE, sign_in=SIGN_IN, start=START,
        least=SHORT_PASSWORD_CHARS, most=LONGEST_PASSWORD_CHARS, name=name,
        provider=provider.name if provider else "",
        provider_end=provider.end_address() if provider and "out" in request.query_params else "",
    )  # fmt: skip
    return HTMLResponse(page, status, {"Cache-Control": "no-store", "X-Frame-Options": "DENY"})


def next_of(request: Request) -> str:
    """The page to open after signing in: one of our own, never an outside address."""
    page = request.query_params.get("next", "")
    return page if is_page(page) else ""


def is_page(page: str) -> bool:
    """Whether it is one of our own pages, without the slash before it."""
    return _PAGE.fullmatch(page) is not None


def keep_session(answer: Response, request: Request, token: str) -> None:
    """Let a browser keep the token of its sign-in."""
    keep(answer, request, COOKIE, token, 3600 * SESSION_HOURS)


def keep(answer: Response, request: Request, cookie: str, value: str, age_s: int) -> None:
    """Set a cookie that no script reads and no other site makes a browser send."""
    answer.set_cookie(
        cookie, value, max_age=age_s, httponly=True, samesite="strict", secure=is_https(request)
    )


def is_https(request: Request) -> bool:
    """Whether the browser came by TLS."""
    return request.url.scheme == "https"
