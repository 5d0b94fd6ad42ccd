"""The result at a glance: on the screen, before the viewer, and the list as it was."""

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.house import Held, House, see
from tests.browser.user import User
from tests.scans import template_head

SIZES = [(1366, 768), (1280, 900), (1920, 1080)]


@pytest.fixture(scope="module")
def head(house: House) -> str:
    return house.cases.add(house.analysis(template_head()), "head", "QX-4711").id


def on_screen(person: User, height: int) -> dict[str, bool]:
    """What stands whole on the screen."""
    parts = {
        "band": person.page.get_by_role("region", name="Result"), "viewer": person.viewer,
        "accept": person.page.get_by_role("button", name="Accept"),
        "reject": person.page.get_by_role("button", name="Reject"),
        "notice": person.page.get_by_text("Not for diagnosis").first,
    }  # fmt: skip
    boxes = {name: part.bounding_box() for name, part in parts.items()}
    return {
        name: box is not None and box["y"] >= 0 and box["y"] + box["height"] <= height
        for name, box in boxes.items()
    }


def test_band_viewer_and_review_stand_on_the_screen(person, head, pictures):
    for width, height in SIZES:
        person.look("dark", width, height)
        see(person, head)
        person.settle()
        person.page.screenshot(path=pictures / f"glance-{width}.png")
        assert on_screen(person, height) == dict.fromkeys(
            ("band", "viewer", "accept", "reject", "notice"), True
        ), (width, height)
        used = person.viewer.bounding_box()["width"]
        assert used > 0.5 * width  # the picture has the room


def test_the_numbers_stand_before_the_viewer_has_loaded(person, head):
    scan = Held(person, "**/scan.nii.gz")
    person.open(f"/cases?case={head}")
    scan.wait()
    band = person.page.get_by_role("region", name="Result")
    expect(band).to_contain_text("Left")
    expect(band).to_contain_text("ml")
    expect(person.viewer).to_have_count(0)
    scan.let_go()
    expect(person.viewer).to_have_count(1)


@pytest.mark.long
def test_closing_the_case_brings_the_list_back_where_it_was(person, house):
    house.add(*(f"list {i}" for i in range(9)))
    person.open("/cases")
    person.search("list")
    table = person.page.get_by_test_id("stDataFrame")
    expect(person.page.get_by_text("9 cases.")).to_be_visible()
    table.hover()
    person.page.mouse.wheel(0, 400)
    person.settle()
    before = table.bounding_box()
    row = person.page.get_by_role("heading", name="list")
    person.pick_row(3, then=row)
    expect(table).to_be_hidden()
    person.settle()
    person.page.get_by_role("button", name="Close the case").click()
    expect(row).to_be_hidden()
    expect(table).to_be_visible()
    assert np.allclose(list(table.bounding_box().values()), list(before.values()), atol=1)
    expect(person.page.get_by_label("Search by name, patient or case id")).to_have_value("list")
    # The same row opens the case again.
    person.pick_row(3, then=row)
