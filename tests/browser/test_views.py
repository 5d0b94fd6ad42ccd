"""Two scans linked, the earlier moved onto the later; and a head along its hippocampi."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from core.cases.study import Study, type_study
from tests.browser.house import House
from tests.browser.user import hued
from tests.scans import image, template_head


@pytest.fixture(scope="module")
def visits(house: House) -> list[str]:
    """Two scans of one patient with voxels of 2 mm, the later one lying elsewhere."""
    head = template_head()
    affine = head.affine @ np.diag([2, 2, 2, 1])
    data = np.asarray(head.dataobj)[::2, ::2, ::2].copy()
    made = []
    for day, shift in (("2024-05-02", 0), ("2026-05-02", 5)):
        placed = affine.copy()
        placed[1, 3] += shift
        made.append(house.cases.add(house.analysis(image(data, placed)), day, "KN-0042").id)
        type_study(house.cases.acts, made[-1], Study(day, "F", 71))
    return made


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("dark", 1280), pytest.param("light", 1920, marks=pytest.mark.long)],
)
def test_an_earlier_scan_is_laid_onto_the_later_and_a_head_shown_along_its_hippocampi(
    person, visits, pictures, scheme, width
):
    person.look(scheme, width, round(width * 0.6))
    person.open(f"/patients?case={visits[0]}")
    person.page.get_by_text("the earlier scan moved onto the later one").click()
    expect(person.viewer).to_have_attribute("data-beside", f"{visits[0]} 0")
    person.read("Residual 0.", "less than a voxel", "Left, anterior", "By the border (mm³)")
    expect(person.viewer.locator(".legend")).to_contain_text("won")
    # The same place of the same head is shown: the move is 5 mm, two and a half voxels.
    shown = [
        [int(n) for n in str(box.get_attribute("data-voxel")).split(",")]
        for box in (person.viewer, person.viewer.locator(".stage").nth(1))
    ]
    assert shown[0] == shown[1]
    # Both hippocampi are whole in the coronal pane, which is narrow beside another scan.
    pixels = person.pixels()
    pane = pixels[: pixels.shape[0] // 2, : pixels.shape[1] // 2]
    anterior = hued(pane, "anterior")
    assert anterior[:, 8:-8].sum() > 100
    assert not anterior[:, :8].any()
    assert not anterior[:, -8:].any()
    # What each picture shows stands above it: a letter may lie below no other word.
    for pane in person.viewer.locator(".pane").all():
        caption, stage = (pane.locator(f".{name}").bounding_box() for name in ("caption", "stage"))
        assert caption["y"] + caption["height"] <= stage["y"]
    expect(person.viewer.get_by_role("button", name="Correct")).to_be_disabled()
    person.viewer.scroll_into_view_if_needed()
    person.page.screenshot(path=pictures / f"moved-{scheme}-{width}.png")
    assert person.serious_faults() == []

    person.open(f"/cases?case={visits[1]}")
    expect(person.viewer).to_have_attribute("data-case", visits[1])
    person.pick("Slices", "Along the hippocampus")
    expect(person.viewer).to_have_attribute("data-case", f"{visits[1]} long-axis")
    expect(person.viewer.locator(".reduced")).to_contain_text("To correct the mask, show the scan")
    expect(person.viewer.get_by_role("button", name="Correct")).to_be_disabled()
    expect(person.viewer.locator(".reading")).not_to_contain_text("voxel")
    person.page.screenshot(path=pictures / f"long-axis-{scheme}-{width}.png")
    assert person.serious_faults() == []
    person.pick("Slices", "As scanned")
    expect(person.viewer).to_have_attribute("data-case", re.compile(f"^{visits[1]}$"))
    expect(person.viewer.get_by_role("button", name="Correct")).to_be_enabled()
    assert person.strangers == []
