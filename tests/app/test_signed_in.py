"""Sign-ins at the door: whose they are, what ends them, and the first administrator."""

from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg

from app.door import Door
from app.http import sign_in
from app.http.headers import Headers
from app.http.viewer_files import files_url
from app.http.visits import COOKIE
from app.services import build_services
from core.errors import AccessError
from core.people import passwords, sign_ins
from core.people.acting import SERVER, Actor, acting_as
from core.settings import Settings
from core.state.tables import SESSIONS
from tests.app.walk import NOBODY, OWN, PASSWORD, VISITOR, WITH, opened, page, signed
from tests.core.people.house import CHEAP
from tests.tiny import analysis, packed


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("var")) as made:
        yield made


def upgrade(client, origin=None):
    headers = {"Origin": origin} if origin else {}
    return client.websocket_connect("/_stcore/stream", headers=headers)


def asked():
    message = BackMsg()
    message.rerun_script.query_string = ""
    return message.SerializeToString()


def test_the_line_of_a_page_is_cut_when_its_sign_in_ends(house):
    for who, bearer in ((NOBODY, ""), (WITH, house.tokens["administer"])):
        client = house.client(who)
        client.headers["Authorization"] = f"Bearer {bearer}"
        with pytest.raises(WebSocketDisconnect), upgrade(client):
            pass
    client = signed(house, OWN)
    with pytest.raises(WebSocketDisconnect), upgrade(client, "https://evil.example"):
        pass
    account = house.account[OWN.replace(",", "")]
    with upgrade(client, "http://testserver") as line:
        line.send_bytes(asked())
        assert line.receive_text() == f"{account.name} memory"
        with acting_as(SERVER):
            house.shared.accounts.change(account.id, groups=["memory", "ward-3"])
        line.send_bytes(asked())
        assert line.receive_text() == f"{account.name} memory ward-3"
        with acting_as(SERVER):
            house.shared.accounts.change(account.id, groups=["memory"])
            house.shared.sign_ins.end(account.id)
        line.send_bytes(asked())
        with pytest.raises(WebSocketDisconnect):
            line.receive_text()


def test_a_page_that_draws_itself_keeps_no_sign_in_alive(house, monkeypatch):
    client = signed(house, "reviewer")
    token = client.cookies[COOKIE]
    now = sign_ins.timestamp
    monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0: now(offset + 600))
    message = BackMsg()
    message.rerun_script.is_auto_rerun = True
    with upgrade(client) as line:  # the handshake is somebody's act
        monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0: now(offset + 1200))
        line.send_bytes(message.SerializeToString())
        line.receive_text()
        assert client.get("/api/me").status_code == 200
        assert house.shared.sign_ins.who_has(token)[1]
        line.send_bytes(asked())
        line.receive_text()
        assert not house.shared.sign_ins.who_has(token)[1]


@pytest.mark.sqlite
def test_a_page_opens_where_its_use_cannot_be_written_down(house, monkeypatch):
    client = signed(house, "reviewer")
    now = sign_ins.timestamp
    monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0: now(offset + 600))
    engine = house.shared.accounts.guard.engine
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER full BEFORE UPDATE ON {SESSIONS.name} "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    try:
        assert client.get("/").status_code == 200
        with upgrade(client) as line:
            line.send_bytes(asked())
            assert line.receive_text()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER full")


def test_a_sign_in_is_a_new_one_each_time_and_its_cookie_no_scripts(house):
    client = house.client(NOBODY)
    client.cookies.set(COOKIE, "chosen-by-somebody-else")
    form = {"name": "reviewer", "password": PASSWORD}
    answer = client.post("https://testserver/sign-in", data=form)
    cookies = answer.headers.get_list("set-cookie")
    assert "chosen-by-somebody-else" not in "".join(cookies)
    for cookie in cookies:
        for word in ("HttpOnly", "SameSite=strict", "Secure"):
            assert word.lower() in cookie.lower()
    plain = house.client(NOBODY)
    first = plain.post("/sign-in", data=form).cookies[COOKIE]
    assert plain.post("/sign-in", data=form).cookies[COOKIE] != first
    assert house.shared.sign_ins.who_has(first)[0] is None  # one browser, one sign-in


def test_another_site_does_nothing_through_a_signed_in_browser(house):
    client = signed(house, "administrator")
    for origin in ("https://evil.example", "null"):
        for method, path in (
            ("POST", "/api/admin/roll-back"), ("PUT", "/_stcore/upload_file/s/f"),
            ("POST", "/sign-in"), ("POST", "/sign-out"), ("POST", "/password"),
        ):  # fmt: skip
            answer = client.request(method, path, headers={"Origin": origin})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert client.get("/api/me").json()["role"] == "administrator"  # still signed in
    # A link on another site brings no cookie at first: the page is loaded once more by itself.
    plain = house.client(NOBODY)
    html = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    assert 'http-equiv="refresh"' in plain.get("/cases", headers=html).text
    asked = plain.get("/cases?case=HV-1", headers=html | {"Sec-Fetch-Site": "none"})
    assert asked.headers["location"] == "/sign-in?next=cases%3Fcase%3DHV-1"


def test_reviews_masks_and_drafts_are_of_who_has_signed_in(house):
    with acting_as(SERVER):
        case_id = house.shared.cases.add(analysis(9), "another", "P-2").id
        house.shared.cases.set_owners(case_id, ["memory"])
        grid = house.shared.corrections.grid(case_id)
    client, link = signed(house, OWN), files_url(house.shared.link_secret, VISITOR, case_id)
    drawn = {"case": case_id, "grid": grid, "base": 0}
    kept = client.put(
        f"{link}/draft", params=drawn, content=packed(3),
        headers={"Content-Type": "application/gzip"},
    )  # fmt: skip
    assert kept.status_code == 204
    other = signed(house, "reviewer")  # in the same browser
    assert other.get(f"{link}/draft").content == b""
    assert client.get(f"{link}/draft").content == packed(3)
    saved = client.post(
        f"{link}/masks", files={"labels": packed(3)}, data={**drawn, "author": "Dr. Somebody Else"}
    )
    assert saved.status_code == 201
    case = house.shared.cases
    reviewer = Actor("x", "Rita", "reviewer")
    with acting_as(reviewer):
        assert case.get(case_id).review.reviewer == OWN.replace(",", "")
        case.review(case_id, "rejected", "Dr. Somebody Else", "wrong")
        assert case.get(case_id).review.reviewer == "Rita"


def test_what_a_browser_has_kept_of_a_case_is_confirmed_until_the_sign_out(house):
    client = signed(house, OWN)
    link = files_url(house.shared.link_secret, VISITOR, house.case_id)
    for name in ("scan.nii.gz", "masks/0.nii.gz", "about/0.json", "slices/0/0/0.png"):
        whole = client.get(f"{link}/{name}")
        assert (whole.status_code, whole.headers["cache-control"]) == (200, "private, no-cache")
        kept = {"If-None-Match": whole.headers["etag"]}
        again = client.get(f"{link}/{name}", headers=kept)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == "private, no-cache"
        assert house.client(NOBODY).get(f"{link}/{name}", headers=kept).status_code == 401
    assert Headers().of("/media/x.png", is_https=False)["Cache-Control"] == "no-store"


def test_a_stranger_is_told_no_more_than_whether_the_model_serves(house):
    told = {who: set(signed(house, who).get("/api/health").json()) for who in (NOBODY, OWN)}
    assert told[NOBODY] == told[OWN] == {"status", "ready", "model", "device", "backend", "error"}
    inside = signed(house, "administrator").get("/api/health").json()
    assert inside["cases"]["state"]
    bearer = {"Authorization": f"Bearer {house.tokens['administer']}"}
    assert "cases" in house.client(NOBODY).get("/api/health", headers=bearer).json()


def test_what_is_done_when_its_account_is_switched_off_is_not_kept(house):
    shared = house.shared
    with acting_as(SERVER):
        account = shared.accounts.add("Gone", "reader", ["memory"], PASSWORD)
    gone = Actor(account.id, "Gone", "reader", account.groups)
    with acting_as(gone):
        kept = shared.keep(analysis(12), "in time").id
    with acting_as(SERVER):
        shared.accounts.change(account.id, is_active=False)
        before = shared.cases.count()
    with acting_as(gone), pytest.raises(AccessError, match="switched off"):
        shared.keep(analysis(13), "too late")
    with acting_as(SERVER):
        assert (shared.cases.count(), shared.cases.get(kept).name) == (before, "in time")


def test_without_accounts_nobody_is_asked(tmp_path):
    shared = build_services(Settings(data_dir=tmp_path))
    app = Starlette(
        routes=[*sign_in.routes(shared), Route("/{path:path}", page)],
        middleware=[Middleware(Door, shared=shared)],
    )
    client = TestClient(app)
    assert client.get("/cases").text == "not signed in testclient"
    assert "nothing to do" in client.get("/sign-in").text
    assert client.get("/cases", headers={"Authorization": "Bearer hv_x"}).status_code == 401
    shared.predictors.close()
    # A proxy on this machine would open it to whoever reaches the proxy.
    for name in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"):
        for method, path in (("GET", "/cases"), ("POST", "/api/predict"), ("GET", "/api/me")):
            told = client.request(method, path, headers={name: "198.51.100.7"})
            assert (told.status_code, told.json()["error"]["code"]) == (403, "open_behind_proxy")
            assert "HIPPOVIEW_TRUSTED_PROXIES" in told.json()["error"]["hint"]
        assert client.get("/first", headers={name: "198.51.100.7"}).status_code == 200
    with acting_as(SERVER):
        shared.accounts.add("Root", "administrator", (), PASSWORD)
    forwarded = client.get("/cases", headers={"X-Forwarded-For": "198.51.100.7"})
    assert forwarded.json()["error"]["code"] == "not_signed_in"


def test_the_first_administrator_is_made_on_a_page_and_closes_the_server(tmp_path, monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    shared = build_services(Settings(data_dir=tmp_path))
    app = Starlette(
        routes=[*sign_in.routes(shared), Route("/{path:path}", page)],
        middleware=[Middleware(Door, shared=shared)],
    )
    make = partial(TestClient, app, follow_redirects=False)
    client, stranger = make(), make()
    form = {"name": "Anna", "code": shared.accounts.first_code(), "new": PASSWORD}
    guessed = client.post("/first", data=form | {"code": "guessed"})
    assert guessed.status_code == 403
    # There is no administrator to ask; and the name need not be typed again.
    assert "log" in guessed.text
    assert "Ask an administrator" not in guessed.text
    assert 'value="Anna"' in guessed.text
    assert client.post("/first", data=form | {"new": "short"}).status_code == 422
    mistyped = client.post("/first", data=form | {"again": f"{PASSWORD}x"})
    assert mistyped.status_code == 422
    assert "The two new passwords differ" in mistyped.text
    assert client.post("/first", data=form).status_code == 303
    assert client.get("/cases").text.startswith("Anna")
    assert stranger.get("/cases").status_code == 401
    assert stranger.post("/first", data=form).status_code == 403
    changed = client.post("/password", data={"password": PASSWORD, "new": "another long one"})
    assert changed.status_code == 303
    assert client.get("/cases").text.startswith("Anna")
    refused = client.post("/password", data={"password": PASSWORD, "new": "a third long one"})
    assert refused.status_code == 403
    shared.predictors.close()
