"""A tab that was duplicated: it knows the drawing by its name, and so does the one before."""

import contextlib

from playwright.sync_api import expect

from tests.browser.house import drawing, see
from tests.browser.user import User


def test_a_duplicated_tab_and_the_one_before_keep_what_is_drawn_in_each(person, house):
    (case_id,) = house.add("only")
    see(person, case_id)
    drawing(person)
    with person.page.expect_popup() as opened:
        person.page.evaluate("window.open(location.href)")  # sessionStorage is copied as well
    duplicate = User(opened.value, house.url)
    duplicate.kept("Your draft of")
    drawn = []
    for tab, y in ((duplicate, 0.4), (person, 0.6)):
        tab.page.bring_to_front()
        draft = tab.viewer.locator(".kept").inner_text()
        for lower in (0.0, 0.02, 0.04):
            # Of a tab that has just come to the front a busy machine can lose the first stroke.
            tab.draw((0.3, y + lower), (0.6, y + lower))
            with contextlib.suppress(AssertionError):
                expect(tab.viewer.locator(".kept")).not_to_have_text(draft, timeout=15_000)
                break
        tab.kept("Draft kept")
        drawn.append(tab.viewer.locator(".volumes").inner_text())
    assert drawn[0] != drawn[1]
    for tab, volumes in zip((duplicate, person), drawn, strict=True):
        tab.page.bring_to_front()
        tab.page.reload()
        tab.kept("Your draft of")
        expect(tab.viewer.locator(".volumes")).to_have_text(volumes)
