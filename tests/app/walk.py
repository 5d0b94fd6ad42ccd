"""A server around a page that stands for all of Streamlit's, with somebody of each kind."""

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.door import Door
from app.http import sign_in, visitor
from app.http.api import make_api
from app.http.bodies import kinds_of_bodies
from app.http.viewer_files import files_url, moved_url
from app.services import build_services
from app.viewer.bundle import bundle
from core.limits import MIB
from core.people import passwords
from core.people.acting import SERVER, acting_as, actor
from core.people.tries import Tries
from core.settings import ROOT, Settings
from tests.core.people.house import CHEAP
from tests.tiny import analysis, packed
from tests.tiny_models import tiny_registry

PASSWORD = "correct horse battery"
DOCUMENT = (ROOT / "docs" / "permissions.md").read_text()
NOBODY, OWN, OTHER = "nobody", "reader, own group", "reader, other group"
WITHOUT, WITH = "token without the scope", "token with it"
WHO = (NOBODY, OWN, OTHER, "reviewer", "administrator", WITHOUT, WITH)
VISITOR = "a-browser"
# FastAPI brings it with its page of the API, or not.
DOCS_HELPER = {("GET", "/api/docs/oauth2-redirect")}


def table(heading):
    """The rows of the table below a heading, as dicts by column."""
    part = DOCUMENT.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


ROWS = table("Routes")


async def page(request):
    return PlainTextResponse(f"{actor().name} {actor().address}")


async def stream(socket):
    await socket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_bytes()
            await socket.send_text(f"{actor().name} {' '.join(sorted(actor().groups))}")


@dataclass
class House:
    shared: object
    app: Starlette
    case_id: str
    tokens: dict
    account: dict

    def client(self, who, **options):
        made = TestClient(
            self.app, raise_server_exceptions=False, follow_redirects=False, **options
        )
        made.cookies.set(visitor.COOKIE, VISITOR)
        if who in (WITHOUT, WITH):
            return made
        if who != NOBODY:
            form = {"name": who, "password": PASSWORD}
            assert made.post("/sign-in", data=form).headers["location"] == "/"
        return made


@contextmanager
def opened(folder, **settings):
    """The API, the sign-in and the door, around a page that stands for all of Streamlit's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_HASHER", CHEAP)
        passwords._of_nobody.cache_clear()
        shared = build_services(Settings(data_dir=folder, **settings))
        registry = tiny_registry(folder)
        registry.prepare()
        shared = replace(shared, registry=registry)
        shared.sign_ins.tries = Tries(count(step=61).__next__)  # wrong ones are long ago
        account = {}
        with acting_as(SERVER):
            for name, role, groups in (
                ("administrator", "administrator", ()), ("reviewer", "reviewer", ()),
                (OWN.replace(",", ""), "reader", ["memory"]),
                (OTHER.replace(",", ""), "reader", ["ward-3"]), ("service", "service", ()),
            ):  # fmt: skip
                password = None if role == "service" else PASSWORD
                account[name] = shared.accounts.add(name, role, groups, password)
            tokens = {
                scope: shared.sign_ins.new_token(account["service"].id, [scope], 1)
                for scope in ("segment", "metrics", "drift", "administer")
            }
            case_id = shared.cases.add(analysis(7), "a scan", "P-1").id
            shared.cases.set_owners(case_id, ["memory"])
        bodies = kinds_of_bodies(MIB, 4, shared.incoming)
        app = Starlette(
            routes=[
                Mount("/api", app=make_api(bodies, shared)), *sign_in.routes(shared),
                WebSocketRoute("/_stcore/stream", stream),
                Route("/{path:path}", page, methods=["GET", "PUT", "POST", "DELETE"]),
            ],
            middleware=[Middleware(Door, shared=shared)],
        )  # fmt: skip
        yield House(shared, app, case_id, tokens, account)
        passwords._of_nobody.cache_clear()
        shared.predictors.close()


def signed(house, who):
    """A client of somebody; readers' names have no comma."""
    return house.client(who.replace(",", "") if who in (OWN, OTHER) else who)


def routes_of(app, prefix):
    for route in app.routes:
        if included := getattr(route, "original_router", None):  # FastAPI's `include_router`
            yield from routes_of(included, prefix)
            continue
        for method in sorted(getattr(route, "methods", None) or ["GET"]):
            if method != "HEAD":
                yield method, prefix + route.path + "/{path}" * isinstance(route, Mount)


def request_of(house, row, client, bearer):
    """What somebody sends to a route: complete, so that only permission can refuse it."""
    path = row["path"]
    link = files_url(house.shared.link_secret, VISITOR, house.case_id)
    path = path.replace("/api/viewer/cases/{case_id}/{token}", link)
    moved = moved_url(house.shared.link_secret, VISITOR, house.case_id, house.case_id)
    path = path.replace("/api/viewer/moved/{case_id}/{onto}/{token}", moved)
    grid = {"case": house.case_id, "grid": "0"}
    for name, value in {
        "{version}": "0", "{view}": "upright", "{axis}": "0", "{index}": "0",
        "{number}": "1", "{job_id}": "1",
        "{name}": bundle().stem, "{path:path}": "x", "{path}": "swagger-ui.css",
        "{file_id:path}": "x", "{session_id}": "s", "{file_id}": "f",
    }.items():  # fmt: skip
        path = path.replace(name, value)
    method, options = row["method"], {}
    with acting_as(SERVER):
        grid["grid"] = house.shared.corrections.grid(house.case_id)
    if path.endswith("/masks"):
        options = {"files": {"labels": packed(3)}, "data": {**grid, "base": 0, "author": "x"}}
    elif path.endswith("/here"):
        spot = {"side": "left", "centre_mm": [0, 0, 0], "base": 0, "author": "x"}
        options = {"json": grid | spot}
    elif path.endswith("/draft") and method == "PUT":
        options = {"params": grid | {"base": 0}, "content": packed(3)}
        options["headers"] = {"Content-Type": "application/gzip"}
    elif path.endswith("/draft") and method == "DELETE":
        options = {"params": {"case": house.case_id}}
    elif path.endswith("/predict"):
        options = {"files": {"image": b"x"}}
    elif path == "/api/drift":
        options = {"data": {"site": "there", "features": "[{}]"}}
    elif path.endswith("/jobs") and method == "POST":
        options = {"json": {"dataset": "none"}}
    elif path.endswith("/rules") and method == "PUT":
        options = {"json": {}}
    headers = {"Accept": "text/html" if row[NOBODY] == "page" else "*/*"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    options["headers"] = headers | options.pop("headers", {})
    return client.request(method, path, **options)


def told(row, answer):
    """An answer in the word of the table."""
    assert answer.status_code < 500 or answer.status_code == 503, (row["path"], answer.text)
    if answer.status_code == 303 and "/sign-in?next=" in answer.headers["location"]:
        return "page"
    is_hidden = answer.status_code == 404 and "{case_id}" in row["path"]
    is_form = answer.headers.get("content-type", "").startswith("text/html")  # says what is wrong
    if not is_form and (answer.status_code in (401, 403) or is_hidden):
        assert answer.json()["error"]["hint"] or answer.status_code == 401
        return str(answer.status_code)
    return "yes"
