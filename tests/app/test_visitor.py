import httpx

from app.http.visitor import COOKIE, may_see, token_of

SECRET, OTHER = b"s" * 32, b"t" * 32
HTML = {"Accept": "text/html"}


def test_a_link_is_for_one_visitor_one_case_and_one_server():
    token = token_of(SECRET, "ann", "HV-1")
    assert may_see(SECRET, "ann", "HV-1", token)
    assert not may_see(SECRET, "ben", "HV-1", token)
    assert not may_see(SECRET, "ann", "HV-2", token)
    assert not may_see(OTHER, "ann", "HV-1", token)
    assert not may_see(SECRET, None, "HV-1", token)
    assert not may_see(SECRET, "", "HV-1", token_of(SECRET, "", "HV-1"))
    assert not may_see(SECRET, "ann", "HV-1", "é")


def test_a_browser_gets_its_number_once_and_programs_get_none(server):
    with httpx.Client(base_url=server.url) as client:
        answer = client.get("/", headers=HTML)
        crumb = answer.headers["set-cookie"]
        assert crumb.startswith(f"{COOKIE}=")
        assert "HttpOnly" in crumb
        assert "SameSite=lax" in crumb  # in any case of letters: RFC 6265, 5.2
        assert "set-cookie" not in client.get("/", headers=HTML).headers
    with httpx.Client(base_url=server.url) as client:
        assert COOKIE not in client.get("/api/health").headers.get("set-cookie", "")
        # No proxy is trusted here, so that this is what anyone may say.
        plain = client.get("/sign-in", headers=HTML | {"X-Forwarded-Proto": "https"})
        assert "Secure" not in plain.headers["set-cookie"]


def test_a_made_up_link_is_not_found(server):
    answer = httpx.get(
        f"{server.url}/api/viewer/cases/HV-ABCDEF/0000/scan.nii.gz", cookies={COOKIE: "ann"}
    )
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert httpx.get(f"{server.url}/api/viewer/other.js").status_code == 404
