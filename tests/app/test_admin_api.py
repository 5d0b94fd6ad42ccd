import os
import subprocess
import sys
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.http.visits import COOKIE
from core.models.registry import Registry
from core.people import limits
from core.people.accounts import Accounts
from core.people.acting import SERVER, acting_as
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.app.page_lines import session_of
from tests.scans import as_bytes, example
from tests.server import running
from tests.shadows import add_swapped
from tests.waiting import until

PASSWORD = "a long enough password"
ROUTES = [
    ("GET", "/versions"), ("GET", "/versions/1/gate"), ("POST", "/versions/1/promote"),
    ("POST", "/roll-back"), ("GET", "/history"),
    ("GET", "/versions/1/shadow"), ("POST", "/versions/1/shadow"), ("DELETE", "/versions/1/shadow"),
    ("GET", "/rules"), ("PUT", "/rules"),
    ("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/jobs/1"), ("GET", "/jobs/1/log"),
    ("POST", "/jobs/1/cancel"), ("POST", "/jobs/1/resume"), ("GET", "/drift"), ("GET", "/status"),
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server whose administrator comes from the environment, behind a proxy on this machine."""
    with running(
        tmp_path_factory.mktemp("var"),
        admin_password=PASSWORD,
        address="0.0.0.0",
        trusted_proxies="127.0.0.1",
    ) as started:
        yield started


@pytest.fixture
def client(guarded):
    with httpx.Client(base_url=guarded.url, timeout=60) as made:
        yield made


def sign_in(client, password=PASSWORD, name="administrator", **options):
    return client.post("/sign-in", data={"name": name, "password": password}, **options)


@pytest.fixture
def signed(client):
    """A client that has signed in."""
    assert sign_in(client).status_code == 303
    return client


@pytest.fixture
def opened(server):
    """A client of the server without accounts."""
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


def assert_error(answer, status, code):
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["message"]


def test_the_list_of_routes_is_complete(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    found = {
        (method.upper(), path.removeprefix("/admin"))
        for path, methods in paths.items()
        if path.startswith("/admin")
        for method in methods
    }
    fill = {"{number}": "1", "{job_id}": "1"}
    plain = set()
    for method, path in found:
        for name, value in fill.items():
            path = path.replace(name, value)
        plain.add((method, path))
    assert plain == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_administrative_route_asks_for_the_administrator(method, path, client):
    assert_error(client.request(method, f"/api/admin{path}"), 401, "not_signed_in")
    wrong = client.request(method, f"/api/admin{path}", headers={"Authorization": "Basic zzz"})
    assert_error(wrong, 401, "not_signed_in")
    for token, code in (("zzz", "not_signed_in"), ("hv_zzz", "bad_token")):
        bearer = {"Authorization": f"Bearer {token}"}
        wrong = client.request(method, f"/api/admin{path}", headers=bearer)
        assert_error(wrong, 401, code)


def test_the_password_opens_them_and_a_wrong_one_does_not(client):
    assert sign_in(client, "a wrong password").status_code == 403
    assert sign_in(client, name="somebody").status_code == 403
    assert_error(client.get("/api/admin/versions"), 401, "not_signed_in")
    assert sign_in(client).status_code == 303
    assert client.get("/api/admin/versions").json()[-1]["number"] == 1
    assert client.get("/api/me").json() == {"name": "administrator", "role": "administrator"}


def test_who_guesses_is_told_to_wait_and_a_known_browser_still_gets_in(client):
    sign_in(client)
    known = dict(client.cookies)
    client.cookies.clear()
    behind = {"X-Forwarded-For": "198.51.100.7"}  # what a proxy on this machine says
    for n in range(limits.MAX_WRONG_PASSWORDS):
        # Whatever the client says itself stands before it, or in a line of its own.
        forged = [("X-Forwarded-For", f"203.0.113.{n}"), ("X-Real-IP", f"203.0.113.{n}")]
        forged = [*forged, *behind.items()] if n % 2 else {
            "X-Forwarded-For": f"203.0.113.{n}, 127.0.0.1, 198.51.100.7"
        }  # fmt: skip
        assert sign_in(client, "wrong", headers=forged).status_code == 403
    for password in ("wrong", PASSWORD):
        told = sign_in(client, password, headers=behind)
        assert told.status_code == 429
        assert 0 < int(told.headers["retry-after"]) <= 60
    assert sign_in(client).status_code == 303
    client.cookies.update(known)
    assert client.get("/api/admin/versions", headers=behind).status_code == 200
    client.cookies.delete("hippoview_session")
    assert sign_in(client, headers=behind).status_code == 303


def test_signing_in_gives_a_cookie_that_scripts_cannot_read(client):
    answer = client.post(
        "/sign-in?next=models", data={"name": "administrator", "password": PASSWORD}
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == "/models"
    for cookie in answer.headers.get_list("set-cookie"):
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
    assert client.get("/api/admin/status").status_code == 200
    assert "Sign out" in client.get("/sign-in").text
    assert client.post("/sign-out").status_code == 303
    assert_error(client.get("/api/admin/status"), 401, "not_signed_in")


def test_a_sign_in_leads_to_our_own_pages_only(client):
    for follow in ("//evil.example", "https://evil.example", "..", "javascript:alert(1)"):
        answer = sign_in(client, params={"next": follow})
        assert answer.headers["location"] == "/"
    client.cookies.clear()
    page = client.get("/sign-in", params={"next": '"><script>alert(1)</script>'})
    assert "<script" not in page.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_another_site_can_do_nothing_through_a_signed_in_browser(origin, client):
    sign_in(client)
    answer = client.post("/api/admin/roll-back", headers={"Origin": origin})
    assert_error(answer, 403, "foreign_origin")
    assert_error(sign_in(client, headers={"Origin": origin}), 403, "foreign_origin")
    client.cookies.clear()
    assert_error(sign_in(client, headers={"Origin": origin}), 403, "foreign_origin")


def test_a_form_that_is_too_large_is_refused(client):
    assert client.post("/sign-in", data={"password": "x" * 10_000}).status_code == 400


def test_without_accounts_only_this_machine_may(opened):
    assert opened.get("/api/admin/versions").status_code == 200
    for headers, status, code in (
        ({"Origin": "https://evil.example"}, 403, "foreign_origin"),
        ({"Host": "rebound.example"}, 421, "unknown_host"),
    ):
        answer = opened.post("/api/admin/roll-back", headers=headers)
        assert_error(answer, status, code)
    assert "nothing to do" in opened.get("/sign-in").text


def test_what_cannot_be_done_says_why(opened):
    assert_error(opened.post("/api/admin/roll-back"), 409, "conflict")
    assert_error(opened.post("/api/admin/versions/1/promote"), 409, "conflict")
    assert_error(opened.post("/api/admin/versions/99/promote"), 404, "not_found")
    assert_error(opened.get("/api/admin/versions/1/gate"), 409, "conflict")
    assert_error(opened.get("/api/admin/versions/99/gate"), 404, "not_found")
    assert_error(opened.post("/api/admin/jobs", json={"dataset": "none"}), 404, "not_found")
    typed = {"dataset": "none", "overrides": ["epoch=2"]}
    assert_error(opened.post("/api/admin/jobs", json=typed), 422, "bad_training_config")
    assert_error(opened.post("/api/admin/jobs", json={}), 422, "bad_request")
    assert_error(opened.post("/api/admin/jobs/99/cancel"), 404, "not_found")
    assert opened.get("/api/admin/jobs").json() == []
    drift = opened.get("/api/admin/drift").json()
    assert drift["state"]
    assert drift["heads"]["state"] == "learning the baseline"
    assert drift["heads"]["reasons"][0].endswith("of 50 accepted heads are there")
    assert drift["heads_left_out"] == 0
    assert opened.get("/api/admin/status").json()["state"] == "ready"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HIPPOVIEW_ADDRESS": "0.0.0.0"}, "HIPPOVIEW_ADMIN_PASSWORD"),
        ({"HIPPOVIEW_HOSTS": "hippoview.example.org"}, "HIPPOVIEW_ADMIN_PASSWORD"),
        ({"HIPPOVIEW_STORAGE": "s3://bucket"}, "gs://bucket"),
        ({"HIPPOVIEW_WANDB": "maybe"}, "offline"),
    ],
)
def test_the_server_refuses_to_start_unsafe(settings, words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "app"], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, **settings, "HIPPOVIEW_DATA_DIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr


def candidate(guarded, summary):
    """The registry of a server, and a version in it that was not tested."""
    storage = LocalStorage(guarded.data_dir / "storage")
    registry = Registry(connect(guarded.data_dir), storage, Settings().model_dir)
    with registry.open(1) as model:
        files = {name: (model.folder / name).read_bytes() for name in model.card["files"]}
        return registry, registry.add(model.card | {"summary": summary}, files, {}, {}).number


def test_what_the_gate_stops_needs_a_reason_which_is_kept(guarded, signed):
    client, (_, number) = signed, candidate(guarded, "not tested")
    promote = f"/api/admin/versions/{number}/promote"
    told = client.get(f"/api/admin/versions/{number}/gate").json()
    assert (told["version"], told["against"], told["passed"]) == (number, 1, False)
    assert {check["state"] for check in told["checks"]} == {"passed", "not judged"}
    assert [check["name"] for check in told["objections"]] == [
        "Dice on frozen cases", "Whole heads",
    ]  # fmt: skip
    for body in (None, {}, {"reason": ""}, {"reason": " \x00\n "}):
        answer = client.post(promote, json=body) if body is not None else client.post(promote)
        assert_error(answer, 409, "gate")
        assert "Whole heads not judged" in answer.json()["error"]["message"]
    assert_error(client.post(promote, json={"reason": "ok"}), 422, "bad_reason")
    assert_error(client.post(promote, json={"reason": "x" * 1001}), 422, "bad_reason")
    assert_error(client.post(promote, json={"reson": "it is to be tried"}), 422, "bad_request")
    assert client.get("/api/health").json()["model"]["version"] == "1"
    answer = client.post(promote, json={"reason": "it is\nto be tried"})
    assert (answer.status_code, answer.json()["stage"]) == (200, "serving")
    assert client.get("/api/health").json()["model"]["version"] == str(number)
    assert_error(client.post(f"/api/admin/roll-back?version={number}"), 409, "conflict")
    client.post("/api/admin/roll-back").raise_for_status()
    back, forth, installed = client.get("/api/admin/history").json()
    assert (back["version"], back["action"], back["by"]) == (
        1,
        "rolled back",
        "administrator (API)",
    )
    assert (forth["version"], forth["action"]) == (number, "promoted")
    assert (forth["by"], forth["reason"]) == ("administrator (API)", "it is to be tried")
    assert forth["objections"] == [
        f"not judged: {check['name']}: {check['words']}" for check in told["objections"]
    ]
    assert (installed["by"], installed["reason"], installed["objections"]) == ("", "", [])


def test_a_running_server_takes_over_what_another_process_promotes(guarded, signed):
    registry, number = candidate(guarded, "another")
    with acting_as(SERVER):  # as `python -m core models promote`
        registry.promote(number)

    def served():
        return signed.get("/api/admin/status").json()["model_version"] == str(number)

    until(served, 60)
    back = signed.post("/api/admin/roll-back")
    assert (back.json()["number"], back.json()["stage"]) == (1, "serving")
    assert signed.get("/api/health").json()["model"]["version"] == "1"


def test_a_shadow_is_switched_on_and_off_and_compares_what_was_delivered(guarded, signed):
    storage = LocalStorage(guarded.data_dir / "storage")
    registry = Registry(connect(guarded.data_dir), storage, Settings().model_dir)
    client, number = signed, add_swapped(registry).number
    route = f"/api/admin/versions/{number}/shadow"
    assert client.get(route).json()["state"] == "off"
    assert_error(client.delete(route), 409, "conflict")
    assert_error(client.post("/api/admin/versions/1/shadow"), 409, "conflict")
    assert client.post(route).json()["state"] == "on"
    until(lambda: client.get(route).json()["loaded_mib"] is not None, 60)
    plain = client.post("/api/predict", files={"image": ("a.nii", as_bytes(example()))})
    assert plain.headers["x-model-version"] == "1"
    found = until(lambda: client.get(route).json()["figures"], 60)
    assert found[0]["dice"]["total"] > 0.99
    assert found[0]["dice"]["anterior"] < 0.3
    assert client.delete(route).json()["state"] == "off"
    assert client.get(route).json()["scans"] == 1


def test_rules_are_set_and_say_what_they_wait_for(signed):
    client = signed
    assert client.get("/api/admin/rules").json()["after_cases"] == 0
    told = client.put("/api/admin/rules", json={"after_cases": 20, "on_drift": True}).json()
    assert told["words"] == "0 of 20 newly reviewed cases, no drift alarm"
    assert_error(client.put("/api/admin/rules", json={"pause_days": 0}), 422, "bad_rule")
    assert client.get("/api/admin/rules").json()["preset"] == "quick"
    client.put("/api/admin/rules", json={})
    assert client.get("/api/admin/rules").json()["words"] == ""


def test_a_page_s_session_goes_on_in_the_sign_in_that_began_it_and_in_no_other(guarded):
    """Not even for the same person after a sign-out, nor for uploads into it."""
    with acting_as(SERVER):
        Accounts(connect(guarded.data_dir)).add("Rita", "reader", ["memory"], PASSWORD)

    def signed_in(name):
        made = stack.enter_context(httpx.Client(base_url=guarded.url, timeout=60))
        assert sign_in(made, name=name).status_code == 303
        return made, f"{COOKIE}={made.cookies[COOKIE]}"

    def asks_for(cookie, session_id):
        with session_of(guarded.url, cookie, session_id) as got:
            return got

    with ExitStack() as stack:
        (root, of_root), (rita, of_rita) = signed_in("administrator"), signed_in("Rita")
        with session_of(guarded.url, of_root) as began:
            # While the line is open, and after it broke.
            assert asks_for(of_rita, began) != began
            # Nor does anybody else upload into it; the token is what Streamlit asks uploads for.
            for client, status in ((rita, 403), (root, 204)):
                client.get("/_stcore/health")
                sent = client.put(
                    f"/_stcore/upload_file/{began}/1", files={"file": ("a.nii", b"x")},
                    headers={"X-Xsrftoken": client.cookies["_streamlit_xsrf"]},
                )  # fmt: skip
                assert sent.status_code == status, sent.text
                assert status == 204 or sent.json()["error"]["code"] == "other_sign_in"
        assert asks_for(of_rita, began) != began
        assert asks_for(of_root, began) == began
        for cookie in ("", f"{COOKIE}=made-up"):
            with pytest.raises(InvalidStatus):
                asks_for(cookie, began)
        assert root.post("/sign-out").status_code == 303
        with pytest.raises(InvalidStatus):
            asks_for(of_root, began)
        _, of_again = signed_in("administrator")
        assert asks_for(of_again, began) != began


def test_the_password_is_in_no_log(guarded):
    assert PASSWORD not in guarded.log.read_text()
