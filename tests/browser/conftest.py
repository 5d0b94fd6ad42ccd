"""A real Chromium (Debian's) against the real server."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from core.predictor.predictor import Predictor
from core.settings import ROOT
from tests.browser.house import House
from tests.browser.user import LONG, User
from tests.server import Server, running

# Two cores draw, serve and test: what a user would see at once may take its time here.
expect.set_options(timeout=LONG)

# Software rendering, for the page itself by the shorter way, and none of the browser's own traffic.
_FLAGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",
    "--disable-background-networking", "--disable-quic", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
# What a visit leaves behind, but for the cookies, which belong to all ports.
_LEFT = "local_storage,indexeddb,cache_storage,service_workers,file_systems"


def browser_path() -> str | None:
    """Chromium, best without its own windows, which it draws even when nobody sees them."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        pytest.fail("Chromium is missing: sh scripts/install-chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        # Without Streamlit's animations, which software draws sixty times a second.
        started.new_context = partial(started.new_context, reduced_motion="reduce")
        yield started
        started.close()


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A browser's profile: the pages' scripts are fetched and compiled once for all tests."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def second_profile(browser: Browser) -> Iterator[BrowserContext]:
    """Somebody else's."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    yield opened
    opened.close()


@pytest.fixture
def context(profile: BrowserContext) -> Iterator[BrowserContext]:
    """That profile, without anything that a visit leaves behind but its cache."""
    yield profile
    leave(profile)


@pytest.fixture
def other_context(second_profile: BrowserContext) -> Iterator[BrowserContext]:
    yield second_profile
    leave(second_profile)


def leave(profile: BrowserContext) -> None:
    """Close a profile's pages, and clear what they left."""
    profile.set_offline(False)
    profile.unroute_all()
    profile.clear_cookies()
    profile.clear_permissions()
    origins = {"/".join(page.url.split("/")[:3]) for page in profile.pages}
    for page in profile.pages:
        page.close()
    blank = profile.new_page()
    devtools = profile.new_cdp_session(blank)
    for origin in origins:
        devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": _LEFT})
    blank.close()


@pytest.fixture
def user(context: BrowserContext, server: Server) -> Iterator[User]:
    """A user on the first page.

    A request that leaves this machine, or anything that the page's policy blocks, fails the test.
    """
    person = User(context.new_page(), server.url)
    person.open()
    yield person
    assert person.strangers == []
    assert person.blocked == []


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> Iterator[House]:
    """A server beside the others', whose cases a test adds and looks into."""
    folder = tmp_path_factory.mktemp("house")
    with running(folder) as started:
        yield House(started.url, folder, predictor)


@pytest.fixture
def person(context: BrowserContext, house: House) -> User:
    """Somebody who has opened no page of that server yet."""
    return User(context.new_page(), house.url)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots are kept for people to look at."""
    folder = Path(os.environ.get("HV_ARTIFACTS", ROOT / "artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
