"""A slow network: whatever is late, each mask lands on its case and no drawing is lost."""

import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from app.visitor import COOKIE
from core.cases import Cases
from core.corrections import Corrections
from core.database import connect
from core.pipeline import analyse
from core.storage import LocalStorage
from tests.browser.test_correcting import LEFT, RIGHT, begin
from tests.browser.user import LONG, User
from tests.scans import as_bytes, example, stream
from tests.server import running

HIGH = ((0.3, 0.3), (0.6, 0.3))
BLOCKED = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("", "SecurityError") } })"""
FULL = """Storage.prototype.setItem = () => { throw new DOMException("", "QuotaExceededError") }"""


class House:
    """A running server, and what it keeps."""

    def __init__(self, url: str, cases: Cases, corrections: Corrections, analysis) -> None:
        self.url, self.cases, self.corrections, self._analysis = url, cases, corrections, analysis

    def add(self, *names: str) -> list[str]:
        return [self.cases.add(self._analysis, name).id for name in names]

    def labels(self, case_id: str, version: int | None = None) -> np.ndarray:
        return self.cases.images(case_id, version).labels

    def versions(self, case_id: str) -> int:
        return self.cases.get(case_id).mask_version

    def draft(self, context: BrowserContext, case_id: str) -> np.ndarray | None:
        """What the server keeps of what this browser drew, in RAS+."""
        cookie = next(c["value"] for c in context.cookies() if c["name"] == COOKIE)
        who = hashlib.sha256(cookie.encode()).hexdigest()
        draft = self.corrections.draft(case_id, who)
        return None if draft is None else unpacked(draft.labels, self.labels(case_id).shape)


@pytest.fixture(scope="module")
def house(tmp_path_factory, predictor):
    folder = tmp_path_factory.mktemp("late")
    engine, storage = connect(folder), LocalStorage(folder / "storage")
    cases = Cases(engine, storage)
    analysis = analyse(stream(as_bytes(example())), predictor, folder)
    with running(folder) as server:
        yield House(server.url, cases, Corrections(engine, storage, cases), analysis)


@pytest.fixture
def person(browser, house):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    yield User(context.new_page(), house.url)
    context.close()


def listen_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Go on taking in what the browser reports until something has been reported."""
    deadline = time.monotonic() + LONG / 1000
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError("the browser never reported it")
        page.evaluate("0")


class Held:
    """Requests that wait on their way until the test lets them go."""

    def __init__(self, person: User, pattern: str, method: str = "GET") -> None:
        self.routes: list[Route] = []
        self._page, self._method, self._is_open = person.page, method, False
        person.page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        if self._is_open or route.request.method != self._method:
            route.continue_()
        else:
            self.routes.append(route)

    def wait(self) -> None:
        listen_until(self._page, lambda: bool(self.routes))

    def let_go(self) -> None:
        self._is_open = True
        for route in self.routes:
            route.continue_()


def unpacked(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(gzip.decompress(packed), np.uint8).reshape(shape, order="F")


def see(person: User, case_id: str) -> None:
    person.open(f"/cases?case={case_id}")
    expect(person.viewer).to_have_attribute("data-case", case_id)


def ask_to_save(person: User, author: str) -> None:
    person.viewer.focus()
    person.page.keyboard.press("Control+s")
    person.viewer.locator("form").get_by_label("Your name").fill(author)
    person.page.keyboard.press("Enter")


def drawing(person: User) -> None:
    begin(person)
    person.draw(LEFT, RIGHT)
    person.kept("Draft kept")


def test_a_save_that_is_late_stays_with_its_case(person, house):
    second, first = house.add("second", "first")
    before = house.labels(first)
    untouched = house.cases.mask_file(second)
    see(person, first)
    drawing(person)
    held = Held(person, "**/masks", "POST")
    ask_to_save(person, "Dr A")
    held.wait()
    mask = house.draft(person.page.context, first)
    person.page.get_by_role("button", name="Next case").click()
    expect(person.viewer).to_have_attribute("data-case", second)
    expect(person.viewer).to_have_attribute("data-drawn", "false")
    held.let_go()
    expect(person.viewer.get_by_role("alert").first).to_contain_text(
        f"{first} was saved as version 1"
    )
    expect(person.viewer).to_have_attribute("data-drawn", "false")
    assert not np.array_equal(mask, before)
    assert np.array_equal(house.labels(first, 1), mask)
    assert (house.versions(first), house.versions(second)) == (1, 0)
    assert house.cases.mask_file(second) == untouched
    assert house.draft(person.page.context, second) is None


def test_a_case_that_is_still_loading_gets_nothing_of_the_one_before(person, house):
    second, first = house.add("second", "first")
    see(person, first)
    begin(person)
    held = Held(person, f"**/cases/{second}/*/scan.nii.gz")
    person.draw(LEFT, RIGHT)  # and at once, before the draft is sent
    person.page.get_by_role("button", name="Next case").click()
    held.wait()
    box = person.page.locator(".viewer")
    expect(box).to_have_attribute("data-state", "loading")
    box.focus()
    person.page.keyboard.press("Control+s")
    held.let_go()
    expect(person.viewer).to_have_attribute("data-case", second)
    expect(person.viewer).to_have_attribute("data-drawn", "false")
    expect(person.viewer.locator("form")).to_be_hidden()
    see(person, first)
    person.kept("Your draft of")
    assert not np.array_equal(house.draft(person.page.context, first), house.labels(first))
    assert house.draft(person.page.context, second) is None
    assert (house.versions(first), house.versions(second)) == (0, 0)


def test_what_is_drawn_while_a_mask_is_saved_is_kept_and_not_called_saved(person, house):
    (case_id,) = house.add("only")
    see(person, case_id)
    drawing(person)
    held = Held(person, "**/masks", "POST")
    ask_to_save(person, "Dr A")
    held.wait()
    mask = house.draft(person.page.context, case_id)
    person.page.keyboard.press("Escape")  # the form lies over the picture
    person.draw(*HIGH)
    held.let_go()
    person.read("Of mask version 1, drawn by Dr A")
    expect(person.viewer).to_have_attribute("data-drawn", "true")
    person.kept("Draft kept")
    assert np.array_equal(house.labels(case_id, 1), mask)
    whole = house.draft(person.page.context, case_id)
    assert whole is not None
    assert ((mask > 0) <= (whole > 0)).all()
    assert (whole != mask).sum() > 5
    ask_to_save(person, "Dr A")
    person.read("Of mask version 2")
    assert np.array_equal(house.labels(case_id, 2), whole)


def test_a_save_that_fails_keeps_the_drawing_and_can_be_tried_again(person, house):
    (case_id,) = house.add("only")
    see(person, case_id)
    drawing(person)
    person.page.route("**/masks", lambda route: route.abort())
    ask_to_save(person, "Dr A")
    problem = person.viewer.locator("form").get_by_role("alert")
    expect(problem).to_contain_text("The server does not answer. The drawing is kept. Try again")
    person.page.unroute("**/masks")
    drawn = house.draft(person.page.context, case_id)
    person.viewer.get_by_role("button", name="Save", exact=True).click()
    person.read("Of mask version 1, drawn by Dr A")
    assert np.array_equal(house.labels(case_id, 1), drawn)


def test_a_page_that_is_closed_at_once_keeps_what_was_drawn(person, house):
    """Without the browser's own storage: what the page sends in its last moment is what counts."""
    (case_id,) = house.add("only")
    context = person.page.context
    context.add_init_script(BLOCKED)
    see(person, case_id)
    begin(person)
    person.draw(LEFT, RIGHT)
    volumes = person.viewer.locator(".volumes").inner_text()
    person.page.reload()
    person.kept("Your draft of")
    expect(person.viewer.locator(".volumes")).to_have_text(volumes)
    person.draw(*HIGH)
    volumes = person.viewer.locator(".volumes").inner_text()
    person.page.close()
    again = User(context.new_page(), house.url)
    see(again, case_id)
    again.kept("Your draft of")
    expect(again.viewer.locator(".volumes")).to_have_text(volumes)


@pytest.mark.parametrize("fault", [FULL, BLOCKED], ids=["full", "blocked"])
def test_a_storage_that_is_full_or_blocked_is_said_and_stops_nothing(fault, person, house):
    (case_id,) = house.add("only")
    person.page.add_init_script(fault)
    see(person, case_id)
    begin(person)
    person.draw(LEFT, RIGHT)
    person.kept("This browser's own storage is full or blocked: only the server has it")
    drawn = house.draft(person.page.context, case_id)
    assert not np.array_equal(drawn, house.labels(case_id))
    ask_to_save(person, "Dr A")
    person.read("Of mask version 1, drawn by Dr A")
    assert np.array_equal(house.labels(case_id, 1), drawn)


def test_two_tabs_on_one_case_take_nothing_from_each_other(person, house):
    (case_id,) = house.add("only")
    context = person.page.context
    other = User(context.new_page(), house.url)
    for tab in (person, other):
        see(tab, case_id)
        begin(tab)
    person.draw(LEFT, RIGHT)
    person.kept("Draft kept")
    other.draw(*HIGH)
    other.kept("Draft kept")
    drawn = house.draft(context, case_id)  # the newest: the other's
    ask_to_save(person, "One")
    person.read("Of mask version 1, drawn by One")
    assert not np.array_equal(house.labels(case_id, 1), drawn)
    other.page.reload()
    other.kept("Your draft of")
    ask_to_save(other, "Two")
    expect(other.viewer.locator("form").get_by_role("alert")).to_contain_text("One saved version 1")
    other.viewer.get_by_role("button", name="Save mine after it").click()
    other.read("Of mask version 2, drawn by Two")
    assert np.array_equal(house.labels(case_id, 2), drawn)
    assert house.draft(context, case_id) is None


class Line:
    """The page's line to Streamlit: what the server says can be held back."""

    def __init__(self, person: User) -> None:
        self._held: list[bytes | str] | None = None
        self._page = person.page
        self.scripts = 0  # that the server has run to their end
        person.page.route_web_socket("**/_stcore/stream", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        self._socket = socket
        socket.on_message(server.send)
        server.on_message(self._from_server)

    def _from_server(self, message: bytes | str) -> None:
        self.scripts += ForwardMsg.FromString(message).WhichOneof("type") == "script_finished"
        if self._held is None:
            self._socket.send(message)
        else:
            self._held.append(message)

    @contextmanager
    def runs_a_script(self) -> Iterator[None]:
        """Wait until what is done within has run the page to its end, seen or not."""
        before = self.scripts
        yield
        listen_until(self._page, lambda: self.scripts > before)

    def hold(self) -> None:
        self._held = []

    def let_go(self) -> None:
        held, self._held = self._held or [], None
        for message in held:
            self._socket.send(message)


@pytest.mark.parametrize("key", ["y", "x"])
def test_a_key_is_about_the_case_that_was_seen(key, person, house):
    """The server has opened the next case, the screen not yet, when a key is pressed."""
    second, first = house.add("second", "first")
    line = Line(person)
    see(person, first)
    with line.runs_a_script():
        person.page.get_by_label("Your name").first.fill("Dr A")
        person.page.keyboard.press("Enter")
    person.settle()
    line.hold()
    with line.runs_a_script():
        person.page.get_by_role("button", name="Next case").click()
    expect(person.page.get_by_role("heading", name="first", exact=True)).to_be_visible()
    person.viewer.focus()
    person.page.keyboard.press(key)
    line.let_go()  # which case the page shows now is the browser's to say: it sends its address
    if key == "x":
        dialog = person.page.get_by_role("dialog")
        expect(dialog).to_contain_text(first)
        dialog.get_by_label("What is wrong with it?").fill("cut off")
        person.page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
    expected = {"y": "accepted", "x": "rejected"}[key]
    listen_until(person.page, lambda: house.cases.get(first).review.state == expected)
    person.settle()
    assert house.cases.get(second).review.state == "new"
