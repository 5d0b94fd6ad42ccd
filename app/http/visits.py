"""Who makes a request: by the cookie of a sign-in, or by a service's token."""

from dataclasses import replace

from starlette.requests import HTTPConnection

from core.errors import AccessError
from core.people.acting import NOBODY, Actor
from core.people.sign_ins import TOKEN_PREFIX, SignIns

COOKIE = "hippoview_session"
# Says that a browser has signed in before, and nothing more: see `core.people.sign_ins`.
BROWSER_COOKIE = "hippoview_browser"
# What proxies add, besides X-Forwarded-...: RFC 7239 and 9110, nginx, Cloudflare, Akamai, Envoy.
_FORWARDED = frozenset({
    "forwarded", "via", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip",
    "x-envoy-external-address", "x-original-forwarded-for",
})  # fmt: skip


def address_of(connection: HTTPConnection) -> str:
    """The client's address; behind a proxy that uvicorn trusts, what the proxy says."""
    return connection.client.host if connection.client else ""


def visitor_of(connection: HTTPConnection, sign_ins: SignIns) -> tuple[Actor, bool]:
    """Who makes a request, and whether the sign-in's last use is to be written down.

    Raises
    ------
    AccessError
        A token is none, or none any more.
    """
    address = address_of(connection)
    if bearer := _bearer(connection):
        service = sign_ins.who_bears(bearer, address)
        if service is None:
            raise AccessError(
                "The token is not known: it was revoked, or has ended",
                "Ask an administrator for a new one.",
                code="bad_token",
            )
        return service, False
    person, is_due = sign_ins.who_has(connection.cookies.get(COOKIE, ""), address)
    return person or replace(NOBODY, address=address), is_due


def is_stranger(connection: HTTPConnection) -> bool:
    """Whether a request says nothing of who makes it, neither by a cookie nor by a token."""
    return not connection.cookies.get(COOKIE) and not _bearer(connection)


def is_forwarded(connection: HTTPConnection) -> bool:
    """Whether a proxy says that it hands the request on for somebody else."""
    return any(name in _FORWARDED or name.startswith("x-forwarded-") for name in connection.headers)


def _bearer(connection: HTTPConnection) -> str:
    """One of our tokens; a proxy before us may send others, which are its own."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.startswith(TOKEN_PREFIX) else ""
