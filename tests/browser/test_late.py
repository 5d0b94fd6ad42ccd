"""A slow network: whatever is late, each mask lands on its case and no drawing is lost."""

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.house import Held, Line, ask_to_save, drawing, listen_until, see
from tests.browser.test_correcting import LEFT, RIGHT, begin
from tests.browser.user import User

HIGH = ((0.3, 0.3), (0.6, 0.3))
BLOCKED = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("", "SecurityError") } })"""
FULL = """Storage.prototype.setItem = () => { throw new DOMException("", "QuotaExceededError") }"""


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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
    # A page that the browser is slow to give up may leave its draft: of the same drawing.
    left = house.draft(context, case_id)
    assert left is None or np.array_equal(left, drawn)


@pytest.mark.long
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
