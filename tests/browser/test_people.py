"""Patients: found, their scans in time, one click to a case, and what has changed."""

import numpy as np
import pytest
from playwright.sync_api import expect

from core.cases.study import Study, type_study
from tests.browser.house import House
from tests.scans import image, template_head


@pytest.fixture(scope="module")
def visits(house: House) -> list[str]:
    """Two scans of one patient, two years apart, with voxels of 2 mm; and one of another."""
    head = template_head()
    affine = head.affine @ np.diag([2, 2, 2, 1])
    analysis = house.analysis(image(np.asarray(head.dataobj)[::2, ::2, ::2].copy(), affine))
    later = house.cases.add(analysis, "visit-b", "KN-4711").id
    earlier = house.cases.add(analysis, "visit-a", "KN-4711").id
    house.cases.add(analysis, "visit-c", "KN-0815")
    type_study(house.cases.acts, earlier, Study("2024-05-02", "F", 71))
    type_study(house.cases.acts, later, Study("2026-05-02", "F", 73))
    return [earlier, later]


def test_a_patient_is_found_and_a_scan_opened_by_the_keyboard(person, visits):
    person.open("/patients")
    person.page.get_by_label("Search by patient, name or case id").fill("kn-4711")
    expect(person.page.get_by_role("heading", name="KN-4711")).to_be_visible()
    person.settle()
    rows = person.page.get_by_role("table").first.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("2024-05-02")
    expect(rows.nth(2)).to_contain_text("2026-05-02")
    person.page.get_by_role("link", name=f"Open {visits[0]}").focus()
    person.page.keyboard.press("Enter")
    expect(person.page.get_by_role("heading", name="visit-a")).to_be_visible()
    person.read("Patient KN-4711, female, 71 years", f"{visits[0]}, scanned 2024-05-02")


@pytest.mark.long
def test_what_is_typed_on_a_case_stands_in_its_band(person, visits):
    person.open(f"/cases?case={visits[1]}")
    person.read("female, 73 years")
    person.page.get_by_role("button", name="Patient", exact=True).click()
    age = person.page.get_by_role("spinbutton", name="Age (years)")
    age.fill("74")
    age.press("Tab")
    person.page.get_by_role("button", name="Save the patient").click()
    person.read("female, 74 years")


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("dark", 1280), pytest.param("light", 1920, marks=pytest.mark.long)],
)
def test_an_unchanged_head_lies_within_what_the_method_varies_by(
    person, visits, pictures, scheme, width
):
    person.look(scheme, width, round(width * 0.7))
    person.open(f"/patients?case={visits[0]}")
    person.read("What the method varies by", "2.0 years lie between the scans")
    left = person.page.get_by_role("row").filter(has_text="Left, total")
    expect(left).to_contain_text("within what the method varies by")
    expect(person.page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    person.settle()
    person.page.screenshot(path=pictures / f"patients-{scheme}-{width}.png")
    person.page.get_by_role("heading", name="Change").scroll_into_view_if_needed()
    person.page.screenshot(path=pictures / f"change-{scheme}-{width}.png", full_page=True)
    assert person.strangers == []
