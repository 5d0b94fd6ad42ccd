"""*Segment here* in Chromium: one side of a head changes, on the case that was pointed at."""

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.house import Held, House, see
from tests.browser.test_correcting import begin
from tests.browser.user import User
from tests.scans import template_head

# In a coronal slice by radiological convention the patient's right is on the picture's left.
ON_THE_RIGHT = ((0.36, 0.30), (0.42, 0.30))


@pytest.fixture(scope="module")
def head(house):
    """A head's analysis, computed once."""
    return house.analysis(template_head())


def sides(house: House, case_id: str, version: int) -> dict[str, np.ndarray]:
    """A version's labels by side: the template's middle is its grid's, and R grows to the right."""
    labels = house.labels(case_id, version)
    middle = labels.shape[0] // 2
    return {"left": labels[:middle], "right": labels[middle + 1 :]}


def open_signed(person: User, case_id: str) -> None:
    """Open a case as somebody who has typed a name: a version is signed."""
    see(person, case_id)
    person.page.get_by_label("Your name").first.fill("Dr A")
    person.page.keyboard.press("Enter")
    person.settle()


def segment_left_here(person: User) -> None:
    """A little beside the left hippocampus."""
    person.viewer.get_by_role("button", name="Go to left").click()
    person.viewer.focus()
    for _ in range(2):
        person.page.keyboard.press("ArrowUp")
    person.viewer.get_by_role("button", name="Segment left here").click()


@pytest.mark.long
def test_segmenting_one_side_leaves_what_was_drawn_on_the_other(person, house, head):
    case_id = house.cases.add(head, "head").id
    open_signed(person, case_id)
    begin(person)
    person.draw(*ON_THE_RIGHT)
    person.kept("Draft kept")
    drawn = house.draft(person.page.context, case_id)
    segment_left_here(person)
    expect(person.viewer.locator(".told")).to_have_text("Save or discard what you have drawn first")
    person.save_version("Dr A")
    person.read("Of mask version 1, drawn by Dr A")
    assert np.array_equal(house.labels(case_id, 1), drawn)
    segment_left_here(person)
    person.read("Of mask version 2")
    expect(person.viewer).to_have_attribute("data-version", "2")
    model, before, after = (sides(house, case_id, version) for version in (0, 1, 2))
    assert not np.array_equal(before["right"], model["right"])
    assert np.array_equal(after["right"], before["right"])
    assert not np.array_equal(after["left"], before["left"])


@pytest.mark.long
def test_a_late_segmentation_lands_on_the_case_that_was_pointed_at(person, house, head):
    (second,) = house.add("second")
    first = house.cases.add(head, "head").id
    open_signed(person, first)
    person.choose("Coronal")
    held = Held(person, "**/here", "POST")
    segment_left_here(person)
    held.wait()
    person.page.get_by_role("button", name="Next case").click()
    expect(person.viewer).to_have_attribute("data-case", second)
    begin(person)
    person.draw((0.31, 0.21), (0.61, 0.21))
    person.kept("Draft kept")
    drawn = house.draft(person.page.context, second)
    held.let_go()
    note = person.viewer.get_by_role("alert").first
    expect(note).to_contain_text(f"{first}, left side: Saved as version 1")
    person.settle()
    expect(person.viewer).to_have_attribute("data-case", second)
    expect(person.viewer).to_have_attribute("data-drawn", "true")
    assert (house.versions(first), house.versions(second)) == (1, 0)
    assert np.array_equal(house.draft(person.page.context, second), drawn)
    before, after = (sides(house, first, version) for version in (0, 1))
    assert np.array_equal(after["right"], before["right"])
    assert not np.array_equal(after["left"], before["left"])
