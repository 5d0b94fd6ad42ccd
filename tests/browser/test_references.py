"""Reference groups: a person among the curves, and a group made of a table."""

import pytest
from playwright.sync_api import expect

from tests.browser.house import House, see
from tests.references import KNOWN, of_person, people
from tests.scans import template_head

LOOKS = [("dark", 1280), ("light", 1920)]


@pytest.fixture(scope="module")
def head(house: House) -> str:
    analysis = of_person(house.analysis(template_head()), KNOWN)
    return house.cases.add(analysis, "head", "QX-4711").id


@pytest.mark.long
def test_a_head_stands_among_the_curves_of_the_demonstration_group(person, head, pictures):
    for scheme, width in LOOKS:
        person.look(scheme, width, round(0.6 * width))
        see(person, head)
        part = person.page.locator("summary").filter(has_text="Compared with a reference group")
        part.click()
        person.read("Compared with n = 60")
        places = person.page.get_by_role("row").filter(has_text="percentile")
        expect(places).to_have_count(4)
        for measure in ("Left", "Right", "Total", "Asymmetry"):
            expect(places.filter(has_text=measure)).to_have_count(1)
        person.read("No norm")
        chart = person.page.locator(".js-plotly-plot")
        expect(chart.get_by_text("95th")).to_be_visible()
        expect(chart.get_by_text("Left hippocampus (ml)")).to_be_visible()
        part.scroll_into_view_if_needed()
        part.evaluate("part => part.scrollIntoView()")
        person.page.screenshot(path=pictures / f"references-{scheme}-{width}.png")


def test_a_group_is_made_of_a_table_and_deleted(person, pictures):
    person.open("/references")
    rows = [f"{p.age_years:.1f},{p.sex},{p.left_mm3:.0f},{p.right_mm3:.0f}" for p in people(60)]
    header = "age,sex,left_mm3,right_mm3"
    person.page.get_by_label("Name").fill("Elders")
    person.page.get_by_label("Source: who the people are").fill("A study")
    person.page.get_by_text("another protocol").click()
    person.page.get_by_role("textbox", name="Which, if another").fill("FreeSurfer 7.4")
    for table, words in (
        ([header, *rows, "63,F,,2500"], "row 62: left is empty"),
        ([header, *rows], "Elders was made: 60 people"),
    ):
        person.upload(("people.csv", "\n".join(table).encode()))
        expect(person.page.get_by_text("people.csv").first).to_be_visible()
        person.page.get_by_role("button", name="Make the group").click()
        person.read(words)
    person.read("FreeSurfer 7.4: not comparable without conversion")
    person.settle()
    person.page.screenshot(path=pictures / "reference-groups.png")
    person.page.get_by_role("button", name="Delete", exact=True).click()
    person.page.get_by_role("button", name="Delete it").click()
    person.read("Elders was deleted")
    assert person.strangers == []
