"""Drawing on the mask: what is drawn is what is saved, and nothing that was drawn is lost."""

import gzip
import os
import re
import signal

import httpx
import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.user import User, tinted
from tests.scans import all_orientations, as_bytes, example, reoriented
from tests.server import running

# Not on the edge between two voxels, in any of the planes.
LEFT, RIGHT = (0.31, 0.21), (0.61, 0.21)


def labels_of(content: bytes) -> tuple[np.ndarray, nib.Nifti1Image]:
    """Labels in RAS+, and the file itself."""
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    return np.asarray(nib.as_closest_canonical(mask).dataobj), mask


def begin(user: User, view: str = "Coronal") -> None:
    user.choose(view)
    user.viewer.focus()
    user.page.keyboard.press("e")
    expect(user.viewer).to_have_attribute("data-correcting", "true")


def choose_pen(user: User, words: str) -> None:
    user.viewer.get_by_role("combobox", name="Pen").select_option(words)


def pack_of(user: User) -> bytes:
    """The mask as the page gives it."""
    return user.download("Mask (.nii.gz)")[1]


@pytest.mark.parametrize("view", ["Coronal", pytest.param("Sagittal", marks=pytest.mark.long)])
def test_a_known_stroke_changes_exactly_its_voxels(user, server, view):
    scan = gzip.compress(as_bytes(reoriented(example(), all_orientations()[13])))
    user.upload(("stroke.nii.gz", scan))
    user.see_result("stroke")
    answer = httpx.post(f"{server.url}/api/predict", files={"image": scan}, timeout=60)
    before, model = labels_of(answer.content)
    user.choose(view)
    ends = [user.voxel_at(*LEFT), user.voxel_at(*RIGHT)]
    begin(user, view)
    choose_pen(user, "1 mm")
    user.page.keyboard.press("q")  # posterior
    user.draw(LEFT, RIGHT)
    user.kept("Draft kept")
    user.save_version("Dr A")
    user.read("Corrected by Dr A")
    after, own = labels_of(pack_of(user))
    assert np.array_equal(own.affine, model.affine)
    assert own.shape == model.shape
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    expected = before.copy()
    expected[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = 2
    assert (high - low).max() >= 5
    assert np.argwhere(after != expected).tolist() == []


@pytest.mark.parametrize("strokes", [8, pytest.param(35, marks=pytest.mark.long)])
def test_undo_is_byte_identical_and_redo_brings_it_back(user, strokes):
    user.try_example()
    before = pack_of(user)
    begin(user)
    choose_pen(user, "4 mm")
    for step in range(strokes):
        user.draw((0.2 + step / 60, 0.2))
    user.kept("Draft kept")
    for _ in range(strokes):
        user.page.keyboard.press("Control+z")
    expect(user.viewer).to_have_attribute("data-drawn", "false")
    expect(user.viewer.get_by_role("button", name="Undo")).to_be_disabled()
    expect(user.viewer.locator(".kept")).to_have_text("")
    user.page.keyboard.press("Control+y")
    expect(user.viewer).to_have_attribute("data-drawn", "true")
    user.page.keyboard.press("Control+z")
    # One voxel there and back, saved: the file is what it was, to the last byte.
    user.draw((0.2, 0.2))
    user.save_version("Dr A")
    user.read("Of mask version 1")
    user.page.keyboard.press("Control+z")
    user.save_version("Dr A")
    user.read("Of mask version 2")
    assert pack_of(user) == before


@pytest.mark.long
def test_the_tools_do_as_they_say(user):
    user.try_example()
    begin(user)
    volumes = user.viewer.locator(".volumes")
    at_first = volumes.inner_text()
    choose_pen(user, "1 mm")
    user.draw((0.2, 0.1), (0.4, 0.1), (0.4, 0.3), (0.2, 0.3), (0.2, 0.1))
    outline = volumes.inner_text()
    assert outline != at_first
    user.page.keyboard.press("g")
    user.draw((0.3, 0.2))  # inside the outline
    expect(volumes).not_to_have_text(outline)
    filled = volumes.inner_text()
    user.draw((0.8, 0.1))  # outside of it
    user.kept("the area is open")
    assert volumes.inner_text() == filled
    user.page.keyboard.press("k")  # the new piece is smaller than the hippocampus: it goes
    expect(volumes).to_have_text(at_first)
    user.page.keyboard.press("w")
    user.draw((0.5, 0.2))
    expect(volumes).not_to_have_text(at_first)
    user.page.keyboard.press("Control+z")
    user.page.keyboard.press(".")  # as the slice after
    expect(volumes).not_to_have_text(at_first)
    user.page.keyboard.press("Control+z")
    user.page.keyboard.press("x")
    choose_pen(user, "12 mm")
    user.draw((0.4, 0.75), (0.6, 0.75))
    expect(volumes).to_contain_text("(\N{MINUS SIGN}")
    user.viewer.get_by_role("button", name="Discard").click()
    expect(volumes).to_have_text(at_first)


@pytest.mark.long
def test_a_draft_survives_a_reload_and_a_killed_server(browser, tmp_path):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    with running(tmp_path) as server:
        user = User(context.new_page(), server.url)
        user.open()
        user.try_example()
        case_id = user.viewer.get_attribute("data-case")
        user.open(f"/cases?case={case_id}")
        begin(user)
        user.draw(LEFT, RIGHT)
        user.kept("Draft kept")
        drawn = user.viewer.locator(".volumes").inner_text()
        user.page.reload()
        user.kept("Your draft of")
        expect(user.viewer.locator(".volumes")).to_have_text(drawn)
        user.draw((0.3, 0.3), (0.6, 0.3))
        user.kept("Draft kept")
        drawn = user.viewer.locator(".volumes").inner_text()
        os.kill(server.pid, signal.SIGKILL)
        said = user.page.get_by_role("dialog")
        expect(said).to_contain_text("HippoView does not answer")
        expect(said).not_to_contain_text("internet")
    with running(tmp_path) as server:  # at another port: the browser has nothing of its own there
        user = User(context.new_page(), server.url)
        user.open(f"/cases?case={case_id}")
        user.kept("Your draft of")
        expect(user.viewer.locator(".volumes")).to_have_text(drawn)
        user.save_version("Dr A")
        user.read("Of mask version 1")
    context.close()


@pytest.mark.long
def test_what_is_drawn_without_a_connection_is_kept_once_it_is_back(user):
    user.try_example()
    begin(user)
    user.page.route("**/draft*", lambda route: route.abort())
    user.draw(LEFT, RIGHT)
    user.kept("The server does not answer. The draft is kept in this browser")
    user.page.unroute("**/draft*")
    user.kept("Draft kept")


@pytest.mark.long
def test_the_second_of_two_who_correct_a_case_is_told(user, browser, server):
    user.try_example()
    case_id = user.viewer.get_attribute("data-case")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    second = User(context.new_page(), server.url)
    for person in (user, second):
        person.open(f"/cases?case={case_id}")
        begin(person)
    user.draw(LEFT, RIGHT)
    second.draw((0.3, 0.3), (0.6, 0.3))
    for person in (user, second):
        person.kept("Draft kept")
    user.save_version("First")
    user.read("Of mask version 1, drawn by First")
    second.save_version("Second")
    problem = second.viewer.get_by_role("alert")
    expect(problem).to_contain_text("First saved version 1")
    expect(problem).to_contain_text("Nothing was overwritten")
    second.read("Of mask version 1, drawn by First")  # the page has learnt of it
    second.viewer.get_by_role("button", name="Save mine after it").click()
    second.read("Of mask version 2, drawn by Second")
    context.close()


@pytest.mark.long
def test_versions_are_listed_compared_and_restored(user, pictures):
    user.try_example()
    case_id = user.viewer.get_attribute("data-case")
    user.open(f"/cases?case={case_id}")
    before = pack_of(user)
    begin(user)
    user.draw(LEFT, RIGHT)
    user.save_version("Dr A")
    user.read("Of mask version 1, drawn by Dr A", "Mask versions")
    user.pick("Beside it", "The model's mask")
    expect(user.viewer).to_have_attribute("data-beside", f"{case_id} 0")
    user.viewer.focus()
    user.page.keyboard.press("n")
    expect(user.viewer).to_have_attribute("data-finding", re.compile("The masks differ in"))
    voxel = user.viewer.get_attribute("data-voxel")
    other = user.viewer.locator(".stage").nth(1)
    expect(other).to_have_attribute("data-voxel", voxel)  # linked
    user.page.keyboard.press("d")
    user.page.screenshot(path=pictures / "correcting-beside.png")
    user.pick("Beside it", "Nothing")
    expect(user.viewer.locator(".stage")).to_have_count(1)
    user.pick("Mask", "The model's mask")
    expect(user.viewer).to_have_attribute("data-version", "0")
    user.page.get_by_label("Your name").first.fill("Dr B")
    user.page.keyboard.press("Enter")
    user.page.get_by_role("button", name="Make this the newest").click()
    user.read("Of mask version 2, drawn by Dr B", "Back to the model's mask", "Not reviewed")
    assert pack_of(user) == before


@pytest.mark.long
def test_a_finger_draws(browser, server):
    context = browser.new_context(
        viewport={"width": 1024, "height": 1366}, has_touch=True, color_scheme="light"
    )
    user = User(context.new_page(), server.url)
    user.open()
    user.try_example()
    begin(user)
    box = user.canvas.bounding_box()
    user.page.touchscreen.tap(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.2)
    user.kept("Draft kept")
    expect(user.viewer.locator(".volumes")).to_contain_text("(+")
    context.close()


@pytest.mark.long
def test_the_colours_follow_the_pen(user):
    user.try_example()
    begin(user)
    user.page.keyboard.press("q")
    choose_pen(user, "6 mm")
    blue = tinted(user.pixels(), "posterior")
    user.draw(LEFT, RIGHT)
    user.pixels(lambda p: tinted(p, "posterior") > blue + 1000)
