"""Every route and page, by everybody: as the tables of docs/permissions.md say.

A route that stands in no table fails, and so does a row whose route is gone.
"""

import importlib
import pkgutil
import re
from dataclasses import replace
from typing import get_args

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from streamlit.testing.v1 import AppTest
from streamlit.web.server import starlette

from app import server
from app.http.visits import COOKIE
from app.views.recorded import recorded
from app.views.shared import services
from core.errors import AccessError, NotFoundError
from core.people import sign_ins
from core.people.acting import SERVER, Actor, acting_as, ask_where_unsaid
from core.people.audit import lines
from core.people.refusals import refusals_of
from core.people.roles import ACTS, ROLES, Act
from core.settings import ROOT
from tests.app.walk import (
    DOCS_HELPER,
    NOBODY,
    PASSWORD,
    ROWS,
    WHO,
    WITH,
    WITHOUT,
    opened,
    request_of,
    routes_of,
    signed,
    table,
    told,
)

# Open to all, and answered without a look at the database.
NOBODY_LOOKED_UP = {"/api/live", "/static/{path}"}
# What Streamlit serves from a folder, which no name of a route says.
OF_ITS_FILES = {("GET", "/"), ("GET", "/favicon.png"), ("GET", "/static/{path}")}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("var")) as made:
        yield made


def own_routes(house, monkeypatch):
    """The routes that the whole server puts beside Streamlit's, as method and path."""
    services.clear()
    monkeypatch.setattr(server, "build_services", lambda settings: house.shared)
    try:
        routes = server.build(house.shared.settings)._user_routes
    finally:
        ask_where_unsaid(None)
        services.clear()
    for route in routes:
        if isinstance(route, Mount):
            yield from routes_of(route.app, route.path)
        else:
            yield from routes_of(Starlette(routes=[route]), "")


def begin_of(path):
    return re.sub(r"\{.*", "", path)


def routes_of_streamlit():
    """The begins of the paths that the modules of Streamlit's server say they answer."""
    for found in pkgutil.iter_modules(starlette.__path__, f"{starlette.__name__}."):
        for name, path in vars(importlib.import_module(found.name)).items():
            if re.fullmatch(r"_?ROUTE_\w+", name) and isinstance(path, str):
                yield begin_of(f"/{path}")


def test_every_route_stands_in_the_table_and_no_other(house, monkeypatch):
    ours, theirs = {*own_routes(house, monkeypatch)}, {*routes_of_streamlit()}
    listed = {(row["method"], row["path"]) for row in ROWS} - OF_ITS_FILES
    assert theirs <= {begin_of(path) for _, path in listed}
    listed = {row for row in listed if begin_of(row[1]) not in theirs}
    assert listed - DOCS_HELPER == ours - DOCS_HELPER
    assert len(ours) > 40


@pytest.mark.parametrize("who", WHO)
def test_everybody_may_what_the_table_says(who, house):
    client = signed(house, who)
    wrong, refused = {}, 0
    engine = house.shared.cases.acts.engine
    refusals_of(engine).close()
    before = lines(engine, most=1)[0].number
    for row in ROWS:
        scope = row["scope"] or "segment"
        bearer = ""
        if who == WITH:
            bearer = house.tokens[scope]
        elif who == WITHOUT:
            bearer = house.tokens["metrics" if scope != "metrics" else "segment"]
        if row["path"] == "/sign-out" and who not in (WITHOUT, WITH):
            continue  # it would end the walk; `test_what_has_ended_opens_nothing` has it
        answer = told(row, request_of(house, row, client, bearer))
        refused += answer in ("403", "404")
        if answer != row[who]:
            wrong[row["method"], row["path"]] = (answer, row[who])
    assert wrong == {}
    # Each refusal is in the trail, in few lines.
    refusals_of(engine).close()
    told_of = [line.note for line in lines(engine, act="refused") if line.number > before]
    notes = [note for note in told_of if not note.startswith("wrong name")]  # the sign-in's forms
    assert sum(int(re.sub(r".*: (\d+) times|.*", r"\1", note) or 1) for note in notes) == refused
    assert len(notes) <= len(ACTS)


def test_what_has_ended_opens_nothing(house, monkeypatch):
    """A revoked token, one that has ended, a sign-in that was left, one that has expired."""
    with acting_as(SERVER):
        revoked = house.shared.sign_ins.new_token(house.account["service"].id, ["segment"], 1)
        house.shared.sign_ins.revoke(house.shared.sign_ins.tokens()[0].id)
    left, expired, nobody = signed(house, "administrator"), signed(house, "reviewer"), {}
    kept = left.cookies[COOKIE]
    left.post("/sign-out")
    left.cookies.set(COOKIE, kept)  # as one who has copied it
    plain = house.client(NOBODY)
    for row in ROWS:
        refused = row[NOBODY] if row["path"] in NOBODY_LOOKED_UP else "401"
        assert told(row, request_of(house, row, plain, revoked)) == refused
        nobody[row["method"], row["path"]] = row[NOBODY]
        assert told(row, request_of(house, row, left, "")) == row[NOBODY]
    now = sign_ins.timestamp
    monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0: now(offset + 48 * 3600))
    for row in ROWS:
        assert told(row, request_of(house, row, expired, "")) == row[NOBODY]
        refused = row[NOBODY] if row["path"] in NOBODY_LOOKED_UP else "401"
        assert told(row, request_of(house, row, plain, house.tokens["segment"])) == refused


def test_the_acts_of_the_code_are_those_of_the_document():
    rows = {row["act"]: row for row in table("Acts")}
    assert set(rows) == set(ACTS) == set(get_args(Act))
    for act, (_, roles, scope) in ACTS.items():
        assert rows[act]["scope"] == scope
        for role in ROLES[:-1]:
            assert bool(rows[act][role]) == (role in roles)


def test_a_page_is_for_whom_the_table_says(house):
    rows = {row["page"]: row for row in table("Pages")}
    assert set(rows) == {path.stem for path in (ROOT / "pages").glob("[a-z]*.py")}
    services.clear()
    services(house.shared)
    reader = Actor("r", "Rita", "reader", frozenset({"memory"}))
    try:
        for name, row in rows.items():
            if row["reader"] == "":
                everybody = (reader, replace(reader, role="reviewer"), None)
                for who in everybody if name == "people" else (reader,):
                    ask_where_unsaid(lambda who=who: who)
                    drawn = AppTest.from_file(str(ROOT / "pages" / f"{name}.py")).run(timeout=60)
                    assert not drawn.exception
                    assert [info.value for info in drawn.info] == [
                        "This page is for administrators."
                    ]
                    assert not drawn.button
    finally:
        ask_where_unsaid(None)
        services.clear()


def test_a_page_that_stays_open_gives_no_file_that_its_visitor_may_not_see_any_more(house):
    shared = house.shared
    with acting_as(SERVER):
        account = shared.accounts.add("Late", "reader", ["memory"], PASSWORD)
    with acting_as(Actor(account.id, "Late", "reader", account.groups)):
        file = recorded(shared, house.case_id, "mask.nii.gz", b"a mask")
    assert file() == b"a mask"
    with acting_as(SERVER):
        shared.accounts.change(account.id, groups=["ward-3"])
    with pytest.raises(NotFoundError):
        file()
    with acting_as(SERVER):
        shared.accounts.change(account.id, groups=["memory"], is_active=False)
    with pytest.raises(AccessError):
        file()


def test_a_download_of_a_page_ends_with_the_sign_in_that_drew_it(house, monkeypatch):
    shared = house.shared
    with acting_as(SERVER):
        shared.accounts.add("Anna", "reader", ["memory"], PASSWORD)
        shared.accounts.add("Bert", "reader", ["memory"], PASSWORD)
    (anna, of_anna, _), (_, of_bert, _) = (
        shared.sign_ins.sign_in(name, PASSWORD) for name in ("Anna", "Bert")
    )
    monkeypatch.setattr("app.views.recorded.token_of_page", lambda: of_anna)
    with acting_as(anna):
        file = recorded(shared, house.case_id, "mask.nii.gz", b"a mask")
    assert file() == b"a mask"
    shared.sign_ins.sign_out(of_anna)
    with pytest.raises(AccessError) as refused:
        file()
    assert refused.value.code == "signed_out"
    # Nor by another one's sign-in.
    monkeypatch.setattr("app.views.recorded.token_of_page", lambda: of_bert)
    with acting_as(anna):
        file = recorded(shared, house.case_id, "mask.nii.gz", b"a mask")
    with pytest.raises(AccessError):
        file()


def test_no_token_opens_a_scan_or_a_mask_whatever_its_scope(house):
    """Not even with a link that was made for somebody who may."""
    wrong = {}
    for row in ROWS:
        if "{case_id}" in row["path"]:
            for scope, token in house.tokens.items():
                answer = request_of(house, row, house.client(WITH), token)
                if answer.status_code != 403:
                    wrong[row["method"], row["path"], scope] = answer.status_code
    assert wrong == {}
