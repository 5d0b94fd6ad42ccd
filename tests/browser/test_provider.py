"""Signing in with a provider in a real browser, which keeps our cookie from other sites."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.user import LONG, User
from tests.provider import CLIENT, SECRET, provider
from tests.server import running

PASSWORD = "a long enough password"
GROUPS = "radiology = reader memory; it = administrator"


@pytest.mark.long
def test_one_signs_in_with_the_provider_and_an_administrator_sees_with_what(
    browser: Browser, tmp_path, pictures
):
    settings = {
        "oidc_name": "Clinic ID", "oidc_client_id": CLIENT, "oidc_client_secret": SECRET,
        "oidc_groups": GROUPS, "admin_password": PASSWORD,
    }  # fmt: skip
    with (
        provider() as there,
        running(tmp_path, wait_ready=False, oidc_issuer=there.issuer, **settings) as server,
    ):
        url = server.url.replace("127.0.0.1", "localhost")  # another site than the provider
        orders = {"redirect_uri": f"{url}/sign-in/callback"}
        there.order(claims={"sub": "a", "name": "Berg, Anna", "groups": ["radiology"]}, **orders)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        user = User(context.new_page(), url)
        menu = user.page.get_by_test_id("stSidebar")
        user.page.goto(f"{url}/patients")
        user.page.screenshot(path=pictures / "sign-in-provider.png")
        user.page.get_by_role("link", name="Sign in with Clinic ID").click()
        user.page.wait_for_url(f"{url}/patients", timeout=LONG)
        expect(menu).to_contain_text("Berg Anna, reader")
        assert {c["name"]: c["sameSite"] for c in context.cookies()}[
            "hippoview_session"
        ] == "Strict"
        user.page.goto(f"{url}/sign-in")
        user.page.get_by_role("button", name="Sign out").click()
        expect(user.page.get_by_role("link", name="sign out there as well")).to_be_visible()
        there.order(claims={"sub": "i", "name": "Ida", "groups": ["it"]}, **orders)
        user.page.get_by_role("link", name="Sign in with Clinic ID").click()
        expect(menu).to_contain_text("Ida, administrator")
        user.go("People")
        user.page.get_by_role("combobox", name="Account").click()
        user.page.get_by_role("option", name="Berg Anna").click()
        user.read("Signs in with Clinic ID, which says role and groups")
        assert user.blocked == []
        user.page.screenshot(path=pictures / "people-provider.png")
        context.close()
