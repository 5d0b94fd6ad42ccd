"""What stands before every route: names, origins, rates, headers. The parts, and a real server."""

import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers as Sent
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.http.guard import AccountRates, Guard, Hosts, is_own
from app.http.headers import Headers, script_hashes
from app.http.rates import Rates
from core.people.acting import NOBODY, Actor, acting_as
from core.web_limits import REQUESTS_AT_ONCE

ELSEWHERE = "https://evil.example"
SOCKET = "/_stcore/stream"
# A page, a page below the first, sign-in, the API, its page, Streamlit's own, a file, nothing.
PATHS = [
    "/", "/cases", "/sign-in", "/api/health", "/api/docs", "/api/openapi.json", "/api/none",
    "/api/admin/versions", "/_stcore/health", "/_stcore/host-config", "/media/none",
    "/static/none.js", "//evil.example/x", "/component/none/x",
]  # fmt: skip


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


def assert_error(answer, status, code):
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["hint"]


# Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "on_loopback", "host", "is_known"),
    [
        ("", True, "localhost:8501", True),
        ("", True, "127.0.0.1", True),
        ("", True, "127.8.8.8:1", True),
        ("", True, "[::1]:8501", True),
        ("", True, "LOCALHOST.", True),
        ("", True, "evil.example", False),
        ("", True, "localhost.evil.example", False),
        ("", True, "127.0.0.1.evil.example", False),
        ("", True, "10.0.0.5", False),
        ("", True, "", False),
        ("", True, "localhost@evil.example", False),
        ("", True, "evil.example/localhost", False),
        ("", True, "[::1", False),
        ("", False, "any.example", True),
        ("hv.example", False, "hv.example:443", True),
        ("hv.example", False, "localhost", True),
        ("hv.example", False, "a.hv.example", False),
        ("hv.example", True, "hv.example", True),
        ("*.hv.example", False, "a.b.hv.example", True),
        ("*.hv.example", False, "hv.example", False),
        ("*.hv.example", False, "evilhv.example", False),
        ("[2001:db8::1]", False, "[2001:db8::1]:8501", True),
    ],
)
def test_a_server_answers_to_its_own_names(names, on_loopback, host, is_known):
    hosts = Hosts([names] if names else [], on_loopback=on_loopback)
    assert hosts.knows(host) == is_known


@pytest.mark.parametrize("path", PATHS[:12])
def test_a_name_that_leads_here_from_elsewhere_opens_nothing(path, client):
    assert_error(client.get(path, headers={"Host": "rebound.example"}), 421, "unknown_host")


def test_what_watches_the_server_knows_its_address_alone(client):
    assert client.get("/api/live", headers={"Host": "10.0.0.5:8501"}).status_code == 200


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1", "evil.example"], ["evil.example"]])
def test_a_request_names_one_host(hosts, server):
    address, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=30) as raw:
        lines = ["GET /api/health HTTP/1.0", *(f"Host: {host}" for host in hosts), "", ""]
        raw.sendall("\r\n".join(lines).encode())
        assert raw.recv(64).split()[1] in (b"400", b"421")


# Origins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "scheme", "is_ours"),
    [
        ({}, "http", True),
        ({"origin": "http://hv.example:8501"}, "http", True),
        ({"origin": "HTTP://HV.example:8501"}, "http", True),
        ({"origin": "http://hv.example:8501"}, "https", False),
        ({"origin": "https://hv.example:8501"}, "https", True),
        ({"origin": "https://hv.example:8501"}, "http", True),  # a proxy does TLS
        ({"origin": "http://hv.example"}, "http", False),
        ({"origin": "http://hv.example:8501.evil.example"}, "http", False),
        ({"origin": "http://localhost:8501"}, "http", False),
        ({"origin": "null"}, "http", False),
        ({"origin": ""}, "http", False),
        ({"origin": "http://[::1"}, "http", False),
        ({"sec-fetch-site": "cross-site"}, "http", False),
        ({"sec-fetch-site": "same-site"}, "http", False),
        ({"sec-fetch-site": "same-origin"}, "http", True),
    ],
)
def test_only_our_own_pages_and_programs_pass(headers, scheme, is_ours):
    assert is_own(Sent({"host": "hv.example:8501"} | headers), scheme) == is_ours


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/predict"), ("POST", "/api/admin/roll-back"), ("PUT", "/api/admin/rules"),
        ("DELETE", "/api/admin/versions/1/shadow"), ("POST", "/sign-in"), ("POST", "/sign-out"),
        ("PUT", "/api/viewer/cases/HV-ABCDEF/0/draft"),
        ("POST", "/api/viewer/cases/HV-ABCDEF/0/masks"),
        ("PUT", "/_stcore/upload_file/a/b"), ("DELETE", "/_stcore/upload_file/a/b"),
        ("POST", "/_stcore/agent/interact"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://localhost:1"])
def test_another_site_changes_nothing(method, path, origin, client):
    answer = client.request(method, path, headers={"Origin": origin}, content=b"{}")
    assert_error(answer, 403, "foreign_origin")


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://localhost:1", "http://0.0.0.0"])
def test_another_site_opens_no_websocket(origin, server):
    """Streamlit alone lets in every page of the same machine, whatever its port."""
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + SOCKET, origin=origin)
    assert refused.value.response.status_code == 403


def test_our_own_page_opens_one(server):
    address = server.url.replace("http", "ws") + SOCKET
    with connect(address, origin=server.url, subprotocols=["streamlit"]) as opened:
        assert opened.subprotocol == "streamlit"


def test_a_websocket_under_another_name_is_refused(server):
    with pytest.raises(InvalidStatus):
        connect(
            server.url.replace("http", "ws") + SOCKET,
            origin="http://rebound.example",
            additional_headers={"Host": "rebound.example"},
        )


# Rates ------------------------------------------------------------------------------------------


def test_a_client_has_a_burst_and_then_its_rate():
    now = [0.0]
    rates = Rates(60, 5, lambda: now[0])
    assert [rates.wait_s("a") for _ in range(6)] == [0] * 5 + [1]
    assert rates.wait_s("b") == 0
    now[0] = 2.0
    assert [rates.wait_s("a") for _ in range(3)] == [0, 0, 1]
    now[0] = 1000.0
    assert [rates.wait_s("a") for _ in range(6)] == [0] * 5 + [1]


def test_a_slow_rate_says_how_long_to_wait():
    now = [0.0]
    rates = Rates(1, 1, lambda: now[0])
    assert rates.wait_s("a") == 0
    now[0] = 15.0
    assert rates.wait_s("a") == 45


def test_nothing_is_counted_where_the_rate_is_off():
    rates = Rates(0, 1)
    assert [rates.wait_s("a") for _ in range(9)] == [0] * 9


def test_many_clients_take_little_memory(monkeypatch):
    monkeypatch.setattr("core.limits.MAX_ADDRESSES", 10)
    rates = Rates(60, 1)
    for number in range(1000):
        assert rates.wait_s(str(number)) == 0
    assert len(rates._left) == 10
    assert rates.wait_s("999") == 1


def guarded() -> Guard:
    """An app that answers everything, behind a guard that allows one change a minute."""
    route = Route("/{path:path}", lambda request: Response(), methods=["GET", "POST", "PUT"])
    return Guard(
        Starlette(routes=[route]), hosts=Hosts([], on_loopback=False), headers=Headers(),
        per_minute=1,
    )  # fmt: skip


def test_who_changes_too_much_is_told_when_to_come_again_and_others_are_served():
    app = guarded()
    one, other = (TestClient(app, client=(f"198.51.100.{n}", 1)) for n in (7, 8))
    for _ in range(REQUESTS_AT_ONCE):
        assert one.post("/api/predict").status_code == 200
    told = one.post("/api/predict")
    assert_error(told, 429, "too_many_requests")
    assert 0 < int(told.headers["retry-after"]) <= 60
    assert "content-security-policy" in told.headers
    assert one.get("/api/health").status_code == 200
    assert one.put("/_stcore/upload_file/a/b").status_code == 200  # waits for a place instead
    assert other.post("/api/predict").status_code == 200


def test_an_account_is_counted_wherever_it_comes_from():
    route = Route("/", lambda request: Response(), methods=["POST"])
    client = TestClient(AccountRates(Starlette(routes=[route]), per_minute=1))
    ann, ben = (Actor(name, name, "reader") for name in ("ann", "ben"))
    with acting_as(ann):
        assert {client.post("/").status_code for _ in range(REQUESTS_AT_ONCE)} == {200}
        assert_error(client.post("/"), 429, "too_many_requests")
    with acting_as(ben):
        assert client.post("/").status_code == 200
    with acting_as(NOBODY):
        assert {client.post("/").status_code for _ in range(REQUESTS_AT_ONCE + 1)} == {200}


# Headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_browser_may_do_with_it(path, client):
    for method in ("GET", "OPTIONS", "PATCH"):
        assert_headers(client.request(method, path).headers)


def assert_headers(headers):
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"].replace("wasm-unsafe-eval", "")
    scripts = headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
    assert "unsafe-inline" not in scripts
    assert "access-control-allow-origin" not in headers
    assert "strict-transport-security" not in headers  # no TLS here


def test_answers_of_the_api_are_kept_by_nobody(client):
    assert client.get("/api/health").headers["cache-control"] == "no-store"


def test_data_is_neither_run_nor_framed():
    policy = Headers().of("/api/x", is_https=False)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("sandbox")


def test_only_by_tls_a_browser_is_told_to_come_by_tls():
    assert "Strict-Transport-Security" not in Headers().of("/", is_https=False)
    assert "Strict-Transport-Security" in Headers().of("/", is_https=True)


def test_exactly_the_inline_scripts_of_a_page_are_allowed():
    page = "<script src=x></script><script>a</script><script type=module>b</script>"
    assert script_hashes([page]) == script_hashes(["<script>a</script>", "<script>b</script>"])
    assert script_hashes(["<script>a</script>"]) == (
        "'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='",
    )
    assert script_hashes(["<script>a </script>"]) != script_hashes(["<script>a</script>"])
