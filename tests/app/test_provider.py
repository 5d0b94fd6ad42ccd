"""Signing in with a real provider in a process of its own, and all that it or a browser may do."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from app.http.guard import Guard, Hosts
from app.http.headers import Headers
from app.http.visits import COOKIE
from core.errors import ConflictError
from core.people.accounts import Accounts
from core.people.acting import SERVER, acting_as
from core.people.kept import KeptPeople
from core.people.provider.provider import Provider
from core.people.provider.wire import Wire
from core.people.tries import Tries
from core.state.database import connect
from tests.app.signing_in import (
    ANNA,
    FROM_THERE,
    GROUPS,
    WELL_KNOWN,
    Browser,
    account_of,
    last_line,
    said,
    who,
)
from tests.app.walk import PASSWORD, opened
from tests.provider import CALLBACK, CLIENT, SECRET, provider


@pytest.fixture(scope="module")
def there():
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def house(there, tmp_path_factory):
    settings = {
        "oidc_issuer": there.issuer, "oidc_name": "Clinic ID", "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET, "oidc_groups": GROUPS,
    }  # fmt: skip
    with opened(tmp_path_factory.mktemp("var"), **settings) as made:
        hosts = Hosts(("testserver",), on_loopback=True)
        made.app = Guard(made.app, hosts=hosts, headers=Headers(), per_minute=100_000)
        yield made


@pytest.fixture(autouse=True)
def fresh(house, there):
    """Nothing is known of the provider, which does nothing wrong; failed sign-ins are long ago."""
    there.order(claims=ANNA)
    ways = house.shared.provider
    ways.provider = Provider(house.shared.settings, Wire(total_s=60))
    ways.tries = Tries(count(step=61).__next__)


@pytest.fixture
def browser(house):
    return Browser(house)


def test_who_comes_from_the_provider_has_its_role_and_groups_and_goes_on_where_it_was(
    house, browser, there
):
    page = browser.get("/sign-in?next=cases%3Fcase%3DHV-1")
    assert 'href="/sign-in/start?next=cases%3Fcase%3DHV-1">Sign in with Clinic ID<' in page.text
    answer = browser.sign_in("cases?case=HV-1")
    assert answer.status_code == 200
    assert 'content="0; url=/cases?case=HV-1"' in answer.text
    anna = who(house, browser.token)
    assert (anna.name, anna.role, anna.groups) == ("Berg Anna", "reader", {"memory", "ward-3"})
    assert browser.get("/cases").text.startswith("Berg Anna")
    account = account_of(house, "berg anna")
    assert (account.issuer, account.has_password) == (there.issuer, False)
    line = last_line(house, "sign-in")
    assert (line.who, line.note) == (account.id, "with the provider")
    assert last_line(house, "people").note.startswith("added by the sign-in provider: reader")
    # Again, in another browser: the same account, and nothing to write of it.
    added = last_line(house, "people").number
    other = Browser(house)
    other.sign_in()
    assert who(house, other.token).id == anna.id
    assert last_line(house, "people").number == added


def test_cookies_are_no_scripts_and_the_try_is_for_one_browser_and_one_time(house, browser):
    secure = Browser(house)
    sent = secure.get("https://testserver/sign-in/start")
    kept = sent.headers["set-cookie"]
    for word in ("__Host-hippoview_try_", "HttpOnly", "SameSite=lax", "Secure", "Path=/;"):
        assert word.lower() in kept.lower()
    assert "Domain" not in kept
    asked = parse_qs(urlsplit(sent.headers["location"]).query)
    assert asked["redirect_uri"] == [CALLBACK.replace("http", "https")]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["openid profile groups"]
    secret = kept.split("=", 1)[1].split(";")[0].split("~")[0]
    assert secret not in sent.headers["location"]
    browser.cookies.set(COOKIE, "chosen-by-somebody-else")
    session = browser.sign_in().headers.get_list("set-cookie")[0]
    assert session.startswith(COOKIE)
    assert "chosen" not in session
    for word in ("HttpOnly", "SameSite=strict"):
        assert word.lower() in session.lower()
    assert [name for name in browser.cookies if name.startswith("hippoview_try_")] == []


def test_two_tabs_may_sign_in_at_once(house, browser):
    first, second = browser.go("cases"), browser.go("patients")
    assert "url=/cases" in browser.back(first).text
    before = browser.token
    assert "url=/patients" in browser.back(second).text
    assert who(house, before) is None  # one browser, one sign-in
    assert who(house, browser.token)


@pytest.mark.parametrize(
    ("claims", "sign"),
    [
        ({"nonce": "another"}, ""), ({"nonce": None}, ""), ({"nonce": 7}, ""),
        ({"aud": "another"}, ""), ({"aud": None}, ""), ({"aud": [CLIENT, "another"]}, ""),
        ({"azp": "another"}, ""), ({"iss": "https://evil.example"}, ""), ({"iss": None}, ""),
        ({"exp": 1}, ""), ({"exp": None}, ""), ({"exp": "soon"}, ""), ({"exp": 1e400}, ""),
        ({"iat": 4_000_000_000}, ""), ({"iat": None}, ""), ({"nbf": 4_000_000_000}, ""),
        ({"sub": None}, ""), ({"sub": ""}, ""), ({"sub": 7}, ""), ({"sub": "x" * 256}, ""),
        ({"sub": "a\nb"}, ""), ({}, "none"), ({}, "public key"), ({}, "other key"),
    ],
)  # fmt: skip
def test_a_token_that_does_not_hold_lets_nobody_in(house, browser, there, claims, sign):
    there.order(claims=ANNA | claims, sign=sign)
    before = last_line(house, "sign-in").number
    answer = browser.sign_in()
    assert answer.status_code == 403
    assert "does not hold" in said(answer)
    assert browser.token == ""
    assert last_line(house, "sign-in").number == before
    assert last_line(house).note == "not confirmed by the provider"


def test_a_key_that_the_provider_has_since_an_hour_ago_is_asked_for(house, browser, there):
    now = [0.0]
    ways = house.shared.provider
    ways.provider = Provider(house.shared.settings, Wire(), lambda: now[0])
    assert browser.sign_in().status_code == 200
    there.order(claims=ANNA, sign="new key")
    browser.cookies.clear()
    assert browser.sign_in().status_code == 403  # not asked for at every strange token
    now[0] = 61.0
    assert browser.sign_in().status_code == 200


def test_an_answer_that_this_browser_did_not_begin_is_none(house, browser):
    stranger = Browser(house)
    address = stranger.go()
    for answer in (
        browser.back(address),  # nothing was begun here
        browser.back(f"{CALLBACK}?code=x"),
        browser.back(f"{CALLBACK}?code=x&state="),
        browser.back(f"{address}&state=another"),
    ):
        assert answer.status_code == 403
        assert "not begun in this browser" in said(answer)
    browser.go()  # something else was
    assert browser.back(address).status_code == 403
    assert browser.token == ""
    assert stranger.back(address).status_code == 200  # its own is untouched


def test_a_code_is_used_once(house, browser):
    address = browser.go()
    kept = dict(browser.cookies)
    assert browser.back(address).status_code == 200
    assert "not begun in this browser" in said(browser.back(address))
    thief = Browser(house)  # with the cookie of the try, too: then the provider refuses
    thief.cookies.update({name: value for name, value in kept.items() if name != COOKIE})
    assert "did not confirm" in said(thief.back(address))
    assert thief.token == ""


def test_the_code_of_somebody_else_is_no_use_in_ones_own_try(house, browser):
    code = parse_qs(urlsplit(Browser(house).go()).query)["code"][0]
    state = parse_qs(urlsplit(browser.go()).query)["state"][0]
    answer = browser.back(f"{CALLBACK}?{urlencode({'code': code, 'state': state})}")
    assert answer.status_code == 403
    assert browser.token == ""


@pytest.mark.parametrize(
    "follow", ["//evil.example", "https://evil.example", "/\\evil", "cases?case=<b>", "x" * 99]
)
def test_nobody_is_led_elsewhere(house, follow):
    assert 'url=/"' in Browser(house).sign_in(follow).text
    browser = Browser(house)  # as one who writes the cookie of the try anew
    address = browser.go()
    name = next(name for name in browser.cookies if name.startswith("hippoview_try_"))
    secret = browser.cookies[name].split("~")[0]
    browser.cookies.clear()
    browser.cookies.set(name, f"{secret}~{quote(follow)}")
    assert 'url=/"' in browser.back(address).text


def test_another_site_begins_no_sign_in_and_who_has_signed_in_needs_none(house, browser):
    answer = browser.get("/sign-in/start?next=cases", headers=FROM_THERE)
    assert answer.headers["location"] == "/sign-in?next=cases"
    assert "set-cookie" not in answer.headers
    browser.sign_in()
    assert browser.get("/sign-in/start?next=cases").headers["location"] == "/cases"


def test_who_gives_up_there_may_begin_again(house, browser, there):
    there.order(deny=True)
    address = browser.go()
    assert "error=access_denied" in address
    assert said(browser.back(address)) == "Clinic ID did not sign you in. Begin again."
    there.order(claims=ANNA)
    address = browser.go()
    assert "another provider" in said(browser.back(f"{address}&iss=https%3A%2F%2Fevil.example"))
    assert browser.sign_in().status_code == 200


@pytest.mark.parametrize(
    "groups",
    [None, [], ["canteen"], {"radiology": True}, 7, True, "canteen", ["Radiology"], [["radiology"]],
     "radiology, it", ["x" * 90] * 5000],
)  # fmt: skip
def test_who_is_in_no_group_with_a_role_is_refused_in_words(house, browser, there, groups):
    there.order(claims=ANNA | {"sub": "rolf", "name": "Rolf", "groups": groups})
    answer = browser.sign_in()
    assert answer.status_code == 403
    assert "none of your groups there may use HippoView" in said(answer)
    line = last_line(house)
    assert (line.name, line.note) == ("Rolf", "no group of the provider has a role")
    assert browser.token == ""


def test_role_and_groups_are_those_of_now(house, there):
    def signed_in(groups):
        there.order(claims={"sub": "karl", "name": "Karl", "groups": groups})
        browser = Browser(house)
        answer = browser.sign_in()
        return browser.token, answer.status_code

    first, _ = signed_in(["radiology", "x=y"])
    assert who(house, first).groups == {"memory", "ward-3", "z"}
    second, _ = signed_in(["it", "seniors"])
    karl = who(house, first)  # what was begun before changes as well
    assert (karl.role, karl.groups) == ("administrator", frozenset())
    assert last_line(house, "people").note == "changed by the sign-in provider: administrator"
    assert signed_in("seniors")[1] == 200
    assert who(house, second).role == "reviewer"
    assert signed_in(["canteen"]) == ("", 403)
    assert who(house, first) is who(house, second) is None  # let in by what holds no more


def test_a_name_is_nobody_and_an_account_stays_off_where_it_was_switched_off(house, there):
    local = account_of(house, "administrator")
    there.order(claims={"sub": "eve", "name": "AdminiStrator", "groups": "radiology"})
    eve = Browser(house)
    eve.sign_in()
    assert who(house, eve.token).name == "AdminiStrator (2)"
    assert who(house, eve.token).id != local.id
    assert account_of(house, "administrator") == local
    there.order(claims={"sub": "eve-2", "name": "administrator", "groups": "radiology"})
    second = Browser(house)
    second.sign_in()
    assert who(house, second.token).name == "administrator (3)"
    form = {"name": "AdminiStrator (2)", "password": ""}
    for password in ("", PASSWORD):
        assert eve.post("/sign-in", data=form | {"password": password}).status_code == 403
    account = account_of(house, "AdminiStrator (2)")
    with acting_as(SERVER):
        house.shared.accounts.change(account.id, is_active=False)
    assert who(house, eve.token) is None
    there.order(claims={"sub": "eve", "name": "AdminiStrator", "groups": "it"})
    again = Browser(house)
    assert "switched off" in said(again.sign_in())
    assert last_line(house).note == "the account is switched off"
    off = account_of(house, "AdminiStrator (2)")
    assert (off.is_active, off.role) == (False, "reader")


def test_such_an_account_has_no_password_and_no_role_of_ours(house, browser):
    browser.sign_in()
    assert "Change the password" not in browser.get("/sign-in").text
    assert "nothing to do" in browser.get("/password").text
    account = account_of(house, "Berg Anna")
    with acting_as(SERVER):
        for change in ({"role": "administrator"}, {"groups": ["memory"]}):
            with pytest.raises(ConflictError, match="provider"):
                house.shared.accounts.change(account.id, **change)
        with pytest.raises(ConflictError, match="no password"):
            house.shared.accounts.new_code(account.id)
    form = {"name": "Berg Anna", "code": "", "new": PASSWORD}
    assert browser.post("/code", data=form).status_code == 403
    form = {"password": "", "new": PASSWORD}
    assert browser.post("/password", data=form).status_code == 403


def test_the_storage_has_such_accounts_too(house, browser, tmp_path):
    browser.sign_in()
    house.shared.kept_people.tick()
    engine = connect(tmp_path)
    KeptPeople(engine, house.shared.storage).take_in()
    with acting_as(SERVER):
        taken = Accounts(engine).named("Berg Anna")
    assert taken == account_of(house, "Berg Anna")
    assert taken.issuer


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        (WELL_KNOWN, ["500", "slow", "endless", "no json", "nonsense"]),
        ("/token", ["500", "slow", "drip", "endless", "no json", "nonsense"]),
        ("/keys", ["500", "endless", "nonsense"]),
    ],
)
def test_a_provider_that_fails_is_said_so_and_people_of_this_server_sign_in(
    house, browser, there, path, faults
):
    for fault in faults:
        wire = Wire(total_s=0.5) if fault in ("slow", "drip") else Wire(total_s=60)
        house.shared.provider.provider = Provider(house.shared.settings, wire)
        there.order(claims=ANNA)
        fail(house, browser, there, path, fault)


def fail(house, browser, there, path, fault):
    address = None if path == WELL_KNOWN else browser.go()
    there.order(claims=ANNA, fault={path: fault})
    answer = browser.back(address) if address else browser.get("/sign-in/start")
    assert answer.status_code == 503
    assert "does not answer as it should" in said(answer)
    assert "sign in with an account of this server" in said(answer)
    assert browser.token == ""
    form = {"name": "reviewer", "password": PASSWORD}
    assert browser.post("/sign-in", data=form).headers["location"] == "/"
    browser.post("/sign-out")


def test_more_groups_than_anybody_has_are_not_read(browser, there):
    there.order(claims=ANNA | {"groups": ["x" * 90] * 12_000})
    assert browser.sign_in().status_code == 503


def test_who_comes_twice_at_once_for_the_first_time_is_one(house, there):
    there.order(claims={"sub": "twin", "name": "Twin", "groups": "it"})
    browsers = [Browser(house) for _ in range(3)]
    addresses = [browser.go() for browser in browsers]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(Browser.back, browsers, addresses))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({who(house, browser.token).id for browser in browsers}) == 1
    with acting_as(SERVER):
        assert [a.name for a in house.shared.accounts.find() if "Twin" in a.name] == ["Twin"]


@pytest.mark.parametrize(
    "fault",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://192.0.2.1/token"},
     {"token_endpoint": "file:///etc/passwd"}, {"token_endpoint": "http://[/"},
     {WELL_KNOWN: "redirect"}],
)  # fmt: skip
def test_a_provider_that_names_another_or_an_unsafe_address_is_not_followed(browser, there, fault):
    there.order(claims=ANNA, fault=fault)
    assert browser.get("/sign-in/start").status_code == 503


def test_a_provider_that_is_gone_is_said_so(house, browser):
    settings = house.shared.settings
    gone = type(settings)(**{**vars(settings), "oidc_issuer": "http://127.0.0.1:9"})
    house.shared.provider.provider = Provider(gone, Wire())
    assert browser.get("/sign-in/start").status_code == 503
    assert browser.get("/sign-in?out=1").status_code == 200


def test_who_has_signed_out_may_sign_out_there_as_well(house, browser, there):
    browser.sign_in()
    assert browser.post("/sign-out").headers["location"] == "/sign-in?out=1"
    page = browser.get("/sign-in?out=1").text
    assert f'href="{there.issuer}/end?client_id={CLIENT}"' in page
    assert "/end?" not in browser.get("/sign-in").text


def test_who_guesses_codes_waits_and_nobody_is_locked_out(house, browser):
    house.shared.provider.tries = Tries(lambda: 0.0)
    for _ in range(10):
        sent = browser.get("/sign-in/start").headers["location"]
        state = parse_qs(urlsplit(sent).query)["state"][0]
        assert browser.back(f"{CALLBACK}?code=guessed&state={state}").status_code == 403
    answer = browser.sign_in()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    form = {"name": "reviewer", "password": PASSWORD}
    assert browser.post("/sign-in", data=form).headers["location"] == "/"
