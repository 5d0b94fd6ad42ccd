"""Reviewing: a list, its filters, and the keyboard alone."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from core.cases.store import Cases
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.browser.house import Held
from tests.browser.user import User
from tests.scans import as_bytes, example, image, stream
from tests.server import running

NAMES = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def listed(tmp_path_factory, predictor):
    """A server that has four cases of its own, made before it starts."""
    folder = tmp_path_factory.mktemp("listed")
    cases = Cases(connect(folder), LocalStorage(folder / "storage"))
    for name in NAMES:
        cases.add(analyse(stream(as_bytes(example())), predictor, folder), name)
    with running(folder) as server:
        yield server, cases


@pytest.fixture
def person(context, listed):
    return User(context.new_page(), listed[0].url)


def states(cases) -> dict[str, str]:
    return {row.name: row.review for row in cases.find()}


def see_case(person: User, name: str) -> None:
    expect(person.page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    person.settle()
    expect(person.page.locator(".hv-waits:visible")).to_have_count(0)  # the picture stands


def test_the_keyboard_alone_reviews_three_cases(person, listed, pictures):
    person.open("/cases")
    person.read("0 of 4 reviewed")
    keys = person.page.keyboard
    four = person.page.get_by_role("heading", name="four", exact=True)
    person.press_until("j", then=four)
    see_case(person, "four")
    # A review is signed: the key alone says so.
    keys.press("y")
    person.read("Type your name first")
    person.tab_to("Your name")
    keys.type("Dr Keys")
    keys.press("Enter")
    keys.press("Tab")
    accept = person.page.get_by_role("button", name=re.compile("^Accept Shortcut"))
    expect(accept).to_be_enabled()
    person.settle()
    keys.press("y")
    person.read("Accepted by Dr Keys", "1 of 4 reviewed")
    held = Held(person, "**/scan.nii.gz")
    keys.press("j")
    held.wait()
    expect(person.page.get_by_text("Loading the scan").last).to_be_visible()
    expect(person.page.get_by_text("Waits for the picture")).to_be_visible()
    for key in ("y", "x"):  # nothing is reviewed that nobody has seen
        keys.press(key)
    held.let_go()
    see_case(person, "three")
    assert states(listed[1])["three"] == "new"
    expect(person.page.get_by_role("dialog")).to_have_count(0)
    keys.press("x")
    expect(person.page.get_by_label("What is wrong with it?")).to_be_focused()
    keys.type("The tail is cut off")
    keys.press("Enter")
    person.read("Rejected by Dr Keys", "Reason: The tail is cut off", "2 of 4 reviewed")
    keys.press("j")
    see_case(person, "two")
    keys.press("y")
    person.read("Accepted by Dr Keys", "3 of 4 reviewed")
    person.page.screenshot(path=pictures / "reviewing.png")
    assert states(listed[1]) == {
        "one": "new", "two": "accepted", "three": "rejected", "four": "accepted",
    }  # fmt: skip
    person.page.get_by_role("button", name="Undo the review").click()
    person.read("Not reviewed", "2 of 4 reviewed")
    # What cannot be seen can be rejected, and tried again; not accepted.
    person.page.route("**/scan.nii.gz", lambda route: route.abort())
    keys.press("j")
    person.read("The scan could not be loaded", "it can be rejected, not accepted")
    expect(accept).to_have_css("pointer-events", "none")
    keys.press("y")
    keys.press("x")
    expect(person.page.get_by_label("What is wrong with it?")).to_be_focused()
    keys.press("Escape")
    person.page.unroute("**/scan.nii.gz")
    person.page.get_by_role("button", name="Try again").click()
    see_case(person, "one")
    assert states(listed[1])["one"] == "new"


def test_a_filter_shows_only_its_cases(person, listed):
    ids = {row.name: row.id for row in listed[1].find()}
    for name, state in zip(NAMES, ("new", "new", "rejected", "accepted"), strict=True):
        listed[1].review(ids[name], state, "A", "wrong")
    person.open("/cases")
    person.read("2 of 4 reviewed")
    for kind, words in (
        ("New", "2 cases."), ("Rejected", "1 case."), ("Corrected", "No case is shown"),
    ):  # fmt: skip
        person.choose(kind)
        person.read(words)


def test_a_row_opens_its_case_and_the_key_goes_on_from_there(person, listed):
    person.open("/cases")
    person.pick_row(1, then=person.page.get_by_role("heading", name="three", exact=True))
    case_id = person.page.url.split("case=")[1]
    assert case_id in {row.id for row in listed[1].find() if row.name == "three"}


@pytest.fixture
def doubtful(listed, predictor, tmp_path):
    """An inverted crop at the top of the list, for one test."""
    values = np.asarray(example().dataobj, np.float32)
    scan = image(values.max() - values, example().affine)
    case = listed[1].add(analyse(stream(as_bytes(scan)), predictor, tmp_path), "doubtful")
    yield case
    listed[1].delete(case.id)


@pytest.mark.long
def test_the_keyboard_does_not_accept_an_unreliable_mask_unasked(
    person, listed, doubtful, pictures
):
    def state() -> str:
        return listed[1].get(doubtful.id).review.state

    person.open(f"/cases?case={doubtful.id}")
    see_case(person, "doubtful")
    person.page.get_by_label("Your name").first.fill("Dr Keys")
    person.page.keyboard.press("Enter")
    person.settle()
    person.page.get_by_role("heading", name="doubtful").click()  # out of the field
    question = person.page.get_by_text("Accept it all the same?")
    keys = person.page.keyboard
    keys.down("y")
    expect(question).to_be_visible()
    person.settle()
    for _ in range(5):
        keys.down("y")  # held, it repeats: that is no answer
    keys.up("y")
    person.settle()
    expect(question).to_be_visible()
    person.page.screenshot(path=pictures / "accepting.png")
    keys.press("Escape")
    expect(question).to_be_hidden()
    person.settle()
    assert state() == "new"
    keys.press("y")
    expect(question).to_be_visible()
    person.settle()
    keys.press("Enter")  # of itself it answers nothing
    person.settle()
    assert state() == "new"
    if not question.is_visible():
        keys.press("y")
    person.page.get_by_role("button", name="Accept it all the same").click()
    person.read("Accepted by Dr Keys", "Accepted all the same:")
    assert state() == "accepted"
    person.page.get_by_role("button", name="Undo the review").click()
    person.read("Not reviewed")
    person.settle()
