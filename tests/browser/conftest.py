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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing: sh scripts/install-chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        # Without Streamlit's animations, which software draws sixty times a second.
        started.new_context = partial(started.new_context, reduced_motion="reduce")
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    yield opened
    opened.close()


@pytest.fixture
def user(context: BrowserContext, server: Server) -> Iterator[User]:
    """A user on the first page. Any request that leaves this machine fails the test."""
    person = User(context.new_page(), server.url)
    person.open()
    yield person
    assert person.strangers == []


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> Iterator[House]:
    """A server beside the others', whose cases a test adds and looks into."""
    folder = tmp_path_factory.mktemp("house")
    with running(folder) as started:
        yield House(started.url, folder, predictor)


@pytest.fixture
def person(browser: Browser, house: House) -> Iterator[User]:
    """Somebody who has opened no page of that server yet."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    yield User(opened.new_page(), house.url)
    opened.close()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots are kept for people to look at."""
    folder = Path(os.environ.get("HV_ARTIFACTS", ROOT / "artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
