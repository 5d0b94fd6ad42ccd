"""Delete, Rename and Restore on a slow network: each is about its own case, and none jumps back."""

import re

import pytest
from playwright.sync_api import expect

from core.errors import NotFoundError
from tests.browser.house import House, Line, see
from tests.browser.user import User


def delete(person: User, case_id: str) -> None:
    person.page.get_by_role("button", name="Delete", exact=True).click()


def rename(person: User, case_id: str) -> None:
    person.page.get_by_label("Name", exact=True).fill("renamed")
    person.page.get_by_role("button", name="Save the name").click()


def restore(person: User, case_id: str) -> None:
    person.page.locator(f".st-key-restore-{case_id}").get_by_role("button").click()


def undo(person: User, case_id: str) -> None:
    person.page.get_by_role("button", name="Undo", exact=True).click()


def next_case(person: User) -> None:
    person.page.get_by_role("button", name="Next case").click()


def is_there(house: House, case_id: str) -> bool:
    try:
        house.cases.get(case_id)
    except NotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    "act",
    [delete, *(pytest.param(act, marks=pytest.mark.long) for act in (undo, rename, restore))],
)
def test_an_act_whose_answer_is_late_touches_its_case_and_leaves_the_next_open(act, person, house):
    """The person goes on to the next case before the page has heard what became of the act."""
    third, second, first = house.add("third", "second", "first")
    line = Line(person)
    its_case = first if act in (delete, rename) else third
    if act is restore:
        house.cases.delete(third)
    see(person, third if act is undo else first)
    if act is restore:
        person.page.get_by_text("Deleted cases").click()
    elif act is rename:
        person.page.get_by_role("button", name="Rename").click()
    elif act is undo:
        delete(person, third)
        expect(person.page.get_by_text(f"Case {third} was deleted.")).to_be_visible()
        person.page.get_by_role("button", name="Start reviewing").click()
        expect(person.viewer).to_have_attribute("data-case", first)
    person.settle()
    line.hold()
    with line.runs_a_script():
        act(person, its_case)
    with line.runs_a_script():
        next_case(person)
    line.let_go()
    expect(person.viewer).to_have_attribute("data-case", second)
    person.settle()
    expect(person.page).to_have_url(re.compile(f"case={second}"))
    expect(person.page.get_by_role("heading", name="second", exact=True)).to_be_visible()
    there = {case_id for case_id in (third, second, first) if is_there(house, case_id)}
    assert there == {third, second, first} - ({first} if act is delete else set())
    names = {case_id: house.cases.get(case_id).name for case_id in there - {first}}
    assert names == {third: "third", second: "second"}
    if act is rename:
        assert house.cases.get(first).name == "renamed"
    said = person.page.get_by_text(f"Case {its_case} was deleted.")
    expect(said).to_be_visible() if act is delete else expect(said).to_be_hidden()
