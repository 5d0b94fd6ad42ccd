"""A browser that signs in with a provider, and what came of it."""

import re

import httpx
from starlette.testclient import TestClient

from app.http.visits import COOKIE
from core.people.acting import SERVER, acting_as
from core.people.audit import lines
from tests.provider import CALLBACK

GROUPS = "radiology = reader memory ward-3; seniors = reviewer; it = administrator; x=y = reader z"
ANNA = {"sub": "anna-1", "name": "Berg, Anna", "groups": ["radiology", "canteen"]}
FROM_THERE = {"Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
WELL_KNOWN = "/.well-known/openid-configuration"


class Browser(TestClient):
    """Somebody's browser, which goes where it is sent."""

    def __init__(self, house):
        super().__init__(house.app, raise_server_exceptions=False, follow_redirects=False)

    def go(self, follow=""):
        """To the provider and back to our door; the address that it was sent back to."""
        sent = self.get("/sign-in/start", params={"next": follow})
        assert sent.status_code == 303, sent.text
        back = httpx.get(sent.headers["location"], timeout=60)
        assert back.headers["location"].startswith(CALLBACK), back.text
        return back.headers["location"]

    def back(self, address):
        return self.get(address, headers=FROM_THERE)

    def sign_in(self, follow=""):
        return self.back(self.go(follow))

    @property
    def token(self):
        return self.cookies.get(COOKIE, "")


def said(answer):
    return re.search(r'role="alert">([^<]*)<', answer.text)[1]


def last_line(house, act="refused"):
    return lines(house.shared.cases.acts.engine, act=act, most=1)[0]


def account_of(house, name):
    with acting_as(SERVER):
        return house.shared.accounts.named(name)


def who(house, token):
    return house.shared.sign_ins.who_has(token)[0]
