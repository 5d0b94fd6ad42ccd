import gzip
import os
import re
import shutil

import pytest
from playwright.sync_api import expect

from core.settings import Settings
from tests.browser.user import LONG, User
from tests.scans import as_bytes, example
from tests.server import running

SCAN = gzip.compress(as_bytes(example()))


def case_id(user: User) -> str:
    name, _ = user.download("Mask (.nii.gz)")
    return name.split("_")[0]


def segmented(user: User, name: str) -> str:
    user.upload((f"{name}.nii.gz", SCAN))
    user.see_result(name)
    return case_id(user)


def test_a_case_is_found_renamed_deleted_and_brought_back(user):
    kept = segmented(user, "visit-kappa")
    user.go("Cases")
    user.search("kappa")
    expect(user.page.get_by_text("1 case.")).to_be_visible()
    # What the list shows leaves by our downloads alone: with a line, and no name as a formula.
    user.page.get_by_test_id("stDataFrame").first.hover()
    tools = user.page.get_by_test_id("stElementToolbar").first
    expect(tools.get_by_role("button", name="Search")).to_be_visible()
    expect(tools.get_by_role("button", name="CSV")).to_have_count(0)
    user.pick_row(0, then=user.page.get_by_role("heading", name="visit-kappa"))
    user.see_result("visit-kappa")
    assert re.search(rf"case={kept}", user.page.url)

    user.page.get_by_role("button", name="Rename").click()
    user.page.get_by_label("Name", exact=True).fill("visit-lambda")
    user.page.get_by_role("button", name="Save the name").click()
    user.see_result("visit-lambda")

    user.page.get_by_role("button", name="Delete", exact=True).click()
    expect(user.page.get_by_text(f"Case {kept} was deleted.")).to_be_visible()
    expect(user.page.get_by_role("heading", name="visit-lambda")).not_to_be_visible()
    user.page.get_by_role("button", name="Undo").click()
    expect(user.page.get_by_text(f"Case {kept} was deleted.")).not_to_be_visible()
    user.open(f"/cases?case={kept}")
    user.see_result("visit-lambda")

    user.page.get_by_role("button", name="Delete", exact=True).click()
    expect(user.page.get_by_text(f"Case {kept} was deleted.")).to_be_visible()
    user.open(f"/cases?case={kept}")
    expect(user.page.get_by_text("There is no such case")).to_be_visible()


@pytest.mark.long
def test_a_case_gets_a_patient_at_upload_and_another_one_later(user):
    field = user.page.get_by_role("textbox", name="Patient (a pseudonym)")
    user.page.get_by_role("button", name="Patient of the next files: none given").click()
    field.fill("QX-4711")  # without Enter
    expect(user.page.get_by_text("Patient of the next files: QX-4711")).to_be_visible()
    user.page.keyboard.press("Escape")
    kept = segmented(user, "visit-xi")
    expect(user.page.get_by_text("Patient of the next files: none given")).to_be_visible()
    user.go("Cases")
    user.search("qx-4711")
    expect(user.page.get_by_text("1 case.")).to_be_visible()

    user.open(f"/cases?case={kept}")
    user.see_result("visit-xi")
    user.page.get_by_role("button", name="Patient", exact=True).click()
    expect(field).to_have_value("QX-4711")
    field.fill("QX-4712")
    user.page.get_by_role("button", name="Save the patient").click()
    user.show_list()
    user.search("qx-4711")
    expect(user.page.get_by_text("No case matches")).to_be_visible()
    user.search("qx-4712")
    expect(user.page.get_by_text("1 case.")).to_be_visible()


@pytest.mark.long
def test_a_case_stands_still_while_the_list_above_it_comes_and_goes(user):
    segmented(user, "visit-mu")
    user.go("Cases")
    user.search("visit-mu")
    expect(user.page.get_by_text("1 case.")).to_be_visible()
    user.pick_row(0, then=user.page.get_by_role("heading", name="visit-mu"))
    user.see_result("visit-mu")
    user.viewer.evaluate("viewer => viewer.dataset.mark = 'the same'")
    user.show_list()

    user.page.get_by_role("button", name="Rename").click()
    user.page.get_by_label("Name", exact=True).fill("visit-nu")
    user.page.get_by_role("button", name="Save the name").click()
    expect(user.page.get_by_text("No case matches")).to_be_visible()
    user.see_result("visit-nu")
    expect(user.page.get_by_label("Name", exact=True)).not_to_be_visible()

    user.search("visit-nu")
    expect(user.page.get_by_text("1 case.")).to_be_visible()
    user.see_result("visit-nu")
    expect(user.viewer).to_have_attribute("data-mark", "the same")


def test_an_unknown_case_and_an_empty_search_say_so(user):
    user.open("/cases?case=HV-NOSUCH")
    expect(user.page.get_by_text("There is no such case")).to_be_visible()
    user.show_list()
    user.search("no such name at all")
    expect(user.page.get_by_text("No case matches")).to_be_visible()


@pytest.mark.long
def test_a_restart_of_the_server_loses_nothing(browser, tmp_path):
    context = browser.new_context()
    with running(tmp_path) as first:
        user = User(context.new_page(), first.url)
        user.open()
        expect(user.page.get_by_text("Nothing here yet")).to_be_visible()
        kept = segmented(user, "before")
        _, mask = user.download("Mask (.nii.gz)")
    with running(tmp_path) as second:
        user = User(context.new_page(), second.url)
        user.open(f"/cases?case={kept}")
        user.see_result("before")
        assert user.download("Mask (.nii.gz)")[1] == mask
    context.close()


@pytest.mark.long
def test_a_page_that_opens_while_the_model_loads_waits_with_words(browser, tmp_path):
    """A file of the model is a pipe: it can be read when the test says so."""
    model = tmp_path / "model"
    shutil.copytree(Settings().model_dir, model)
    real = (model / "dataset.json").rename(tmp_path / "dataset.json")
    os.mkfifo(model / "dataset.json")

    context = browser.new_context()
    with running(tmp_path / "var", wait_ready=False, model_dir=str(model)) as started:
        page = context.new_page()
        page.goto(started.url)
        expect(page.get_by_text("Loading the model")).to_be_visible(timeout=LONG)
        with (model / "dataset.json").open("wb") as pipe:
            content = real.read_bytes()
            real.replace(model / "dataset.json")  # who reads it again finds the file
            pipe.write(content)
        expect(page.get_by_text("Nothing here yet")).to_be_visible(timeout=LONG)
    context.close()
