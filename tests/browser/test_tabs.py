"""A tab that was duplicated: it knows the drawing by its name, and so does the one before."""

import pytest
from playwright.sync_api import expect

from tests.browser.house import drawing, see
from tests.browser.user import User


@pytest.mark.long
def test_a_duplicated_tab_and_the_one_before_keep_what_is_drawn_in_each(person, house):
    (case_id,) = house.add("only")
    see(person, case_id)
    drawing(person)
    with person.page.expect_popup() as opened:
        person.page.evaluate("window.open(location.href)")  # sessionStorage is copied as well
    duplicate = User(opened.value, house.url)
    duplicate.kept("Your draft of")
    drawn = []
    for tab, y, end in ((duplicate, 0.4, 0.6), (person, 0.85, 0.5)):  # beside the label
        tab.page.bring_to_front()
        volumes = tab.viewer.locator(".volumes")
        before = volumes.inner_text()
        tab.draw((0.3, y), (end, y))
        expect(volumes).not_to_have_text(before)
        tab.kept("Draft kept")
        drawn.append(volumes.inner_text())
    assert drawn[0] != drawn[1]
    for tab, words in zip((duplicate, person), drawn, strict=True):
        tab.page.bring_to_front()
        tab.page.reload()
        tab.kept("Your draft of")
        expect(tab.viewer.locator(".volumes")).to_have_text(words)
