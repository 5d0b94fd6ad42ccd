"""The viewer: where things are drawn, what the crosshair says, what it costs."""

import gzip
import re

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.user import User, tinted
from tests.scans import all_orientations, as_bytes, example, image, reoriented
from tests.waiting import until

_BRIGHT = 200


def marked() -> nib.Nifti1Image:
    """The example with a bright block in the patient's left-anterior-superior corner."""
    scan = nib.as_closest_canonical(example())
    data = np.asarray(scan.dataobj, np.float32) * 0.3
    n = [size // 3 for size in data.shape]
    data[: n[0], -n[1] :, -n[2] :] = data.max() * 4
    return image(data, scan.affine)


def tilted() -> nib.Nifti1Image:
    scan = marked()
    a, b = np.radians(12), np.radians(9)
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_r = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = scan.affine.copy()
    affine[:3, :3] = about_s @ about_r @ affine[:3, :3]
    return image(np.asarray(scan.dataobj), affine)


def orientations():
    """The example in every order of its axes; most of them are long."""
    for number, order in enumerate(all_orientations()):
        marks = () if number == 29 else pytest.mark.long
        yield pytest.param(reoriented(marked(), order), id=f"order {number}", marks=marks)
    yield pytest.param(tilted(), id="oblique", marks=pytest.mark.long)


def slide(user: User, plane: str, key: str) -> None:
    """To the first slice (Home) or the last one (End) of a plane."""
    user.choose(plane)
    expect(user.viewer.locator(".where")).to_contain_text(f"{plane} slice")
    user.viewer.get_by_role("slider", name="Slice").press(key)


def bright_corner(user: User) -> tuple[bool, bool]:
    """Where the one bright corner of the picture is: (on its right, at its top)."""
    where: list[tuple[bool, bool]] = []

    def found(pixels) -> bool:
        bright = pixels.min(axis=-1) > _BRIGHT
        # The scan is grey, the letters beside it are not; the page behind its corners is dark.
        drawn = np.argwhere((pixels.max(axis=-1) > 40) & (np.ptp(pixels, axis=-1) < 8))
        (top, left), (bottom, right) = drawn.min(axis=0), drawn.max(axis=0)
        inner = bright[top : bottom + 1, left : right + 1]
        h, w = inner.shape
        shares = {
            (x, y): inner[(h // 5 if y else 4 * h // 5), (4 * w // 5 if x else w // 5)]
            for x in (False, True) for y in (False, True)
        }  # fmt: skip
        where[:] = [corner for corner, is_bright in shares.items() if is_bright]
        return len(where) == 1

    user.pixels(found)
    return where[0]


@pytest.mark.parametrize("scan", list(orientations()))
def test_a_marker_appears_on_its_side_whatever_the_files_axes(user, scan):
    user.upload(("marked.nii", as_bytes(scan)))
    user.see_result("marked")
    for convention, left_is_right in (("Radiological", True), ("Neurological", False)):
        user.choose(convention)
        slide(user, "Coronal", "End")  # the most anterior
        assert bright_corner(user) == (left_is_right, True)
        slide(user, "Axial", "End")  # the most superior; anterior is up
        assert bright_corner(user) == (left_is_right, True)
        slide(user, "Sagittal", "Home")  # the most left; anterior is right in both conventions
        assert bright_corner(user) == (True, True)


@pytest.mark.parametrize("points", [14, pytest.param(25, marks=pytest.mark.long)])
def test_the_crosshair_names_the_masks_label_wherever_it_is(user, server, points):
    turned = reoriented(example(), all_orientations()[13])
    scan = gzip.compress(as_bytes(turned))
    user.upload(("points.nii.gz", scan))
    user.see_result("points")
    answer = httpx.post(f"{server.url}/api/predict", files={"image": scan}, timeout=60)
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    ras = np.asarray(nib.as_closest_canonical(mask).dataobj)
    affine = nib.as_closest_canonical(mask).affine
    words, random = {0: "no label", 1: "anterior", 2: "posterior"}, np.random.default_rng(11)
    seen = set()
    for view in ("Coronal", "Sagittal"):
        user.choose(view)
        user.viewer.focus()
        user.page.keyboard.press("n")  # to the largest section of the other label
        expect(user.viewer.locator(".where")).to_contain_text(f"{view} slice")
        box = user.canvas.bounding_box()
        side = min(box["width"], box["height"])
        for _ in range(points):
            x, y = (random.random(2) - 0.5) * side * 0.5
            user.canvas.click(position={"x": box["width"] / 2 + x, "y": box["height"] / 2 + y})
            voxel = tuple(int(n) for n in user.viewer.get_attribute("data-voxel").split(","))
            said = user.viewer.locator(".reading").inner_text()
            label = words[int(ras[voxel])]
            assert said.endswith(label)
            mm = nib.affines.apply_affine(affine, voxel)
            for letters, value in zip(("LR", "PA", "IS"), mm, strict=True):
                assert f"{letters[int(value >= 0)]} {abs(value):.1f}" in said
            seen.add(label)
    assert seen == set(words.values())


def test_controls_load_nothing_and_leave_the_crosshair(user):
    frames = []

    def watch(socket):
        socket.on("framesent", lambda frame: frames.append(frame))
        socket.on("framereceived", lambda frame: frames.append(frame))

    user.page.on("websocket", watch)
    user.open("/")  # with a socket that is watched
    user.try_example()
    user.choose("Coronal")
    user.viewer.focus()
    for _ in range(4):
        user.page.keyboard.press("ArrowUp")
    expect(user.viewer.locator(".where")).to_contain_text("slice 39 of 50")
    voxel = user.viewer.get_attribute("data-voxel")
    user.page.wait_for_load_state("networkidle")  # the page below the viewer has come, too
    loaded = user.page.evaluate("performance.getEntriesByType('resource').length")
    scans = (
        "performance.getEntriesByType('resource').filter(r => r.name.endsWith('scan.nii.gz'))"
        ".map(r => r.transferSize >= r.encodedBodySize)"
    )
    assert user.page.evaluate(scans) == [True]  # asked for once, and sent
    assert frames
    frames.clear()
    for _ in range(2):
        user.switch("Anterior")
        user.choose("Sagittal")
        user.switch("Posterior")
        user.choose("3-D")
        user.choose("Coronal")
    assert frames == []  # niivue-streamlit sent the whole volume each time
    assert user.viewer.get_attribute("data-voxel") == voxel
    assert user.page.evaluate("performance.getEntriesByType('resource').length") == loaded


def test_the_keyboard_scrolls_jumps_outlines_and_explains(user):
    user.try_example()
    user.choose("Coronal")
    user.viewer.focus()
    where = user.viewer.locator(".where")
    expect(where).to_have_text("Coronal slice 35 of 50, P 13.3 mm")
    user.page.keyboard.press("ArrowUp")
    expect(where).to_have_text("Coronal slice 36 of 50, P 12.3 mm")
    user.page.keyboard.press("PageDown")
    expect(where).to_have_text("Coronal slice 31 of 50, P 17.3 mm")
    user.page.keyboard.press("n")
    expect(user.viewer).to_have_attribute("data-finding", "Largest section of posterior")
    expect(user.viewer).to_have_attribute("data-label", "posterior")
    filled = user.pixels()
    user.page.keyboard.press("o")
    user.pixels(lambda p: (filled != p).any(axis=-1).mean() > 0.01)
    user.page.keyboard.press("?")
    expect(user.viewer.get_by_text("labels as outline or filled")).to_be_visible()
    user.page.keyboard.press("?")
    expect(user.viewer.get_by_text("labels as outline or filled")).not_to_be_visible()


@pytest.mark.long
def test_zoom_ruler_and_play_do_as_they_say_and_leave_no_trace(user):
    user.try_example()
    user.choose("Coronal")
    user.viewer.focus()
    at_first = user.pixels()

    def differs(pixels) -> bool:
        return bool((pixels != at_first).any(axis=-1).mean() > 0.005)

    def as_at_first(pixels) -> bool:
        return not differs(pixels)

    user.page.keyboard.press("+")
    user.pixels(differs)
    user.page.keyboard.press("r")
    user.pixels(as_at_first)

    user.page.keyboard.press("m")
    box = user.canvas.bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    user.page.mouse.move(x, y)
    user.page.mouse.down()
    user.page.mouse.move(x + box["width"] / 2, y, steps=5)
    user.page.mouse.up()
    user.pixels(differs)
    user.page.keyboard.press("m")
    user.pixels(as_at_first)

    where = user.viewer.locator(".where")
    before = where.inner_text()
    user.page.keyboard.press("p")
    expect(where).not_to_have_text(before)
    user.page.keyboard.press("p")
    expect(user.viewer.get_by_role("button", name="Play")).to_be_visible()


@pytest.mark.long
def test_in_space_the_scan_is_cut_open_and_the_labels_stand(user):
    user.try_example()
    user.choose("3-D")
    expect(user.viewer.locator(".where")).to_have_text("Slide to cut the scan open")
    whole = tinted(user.pixels(), "anterior") + tinted(user.pixels(), "posterior")
    user.viewer.get_by_role("slider", name="Slice").fill("60")
    expect(user.viewer.locator(".where")).to_contain_text("cut open from the left, 60 %")
    # Nothing lies in front of the labels any more: their colours are stronger.
    user.pixels(lambda p: tinted(p, "anterior") + tinted(p, "posterior") > 1.2 * whole)
    user.choose("Coronal")
    expect(user.viewer.locator(".where")).to_contain_text("Coronal slice 35 of 50")


def test_a_picture_carries_the_case_the_sides_and_the_notice(user, pictures):
    user.try_example()
    user.choose("Coronal")
    user.pixels()
    with user.page.expect_download() as begun:
        user.viewer.get_by_role("button", name="Picture").click()
    name = begun.value.suggested_filename
    assert name.startswith("HV-")
    begun.value.save_as(pictures / "viewer-picture.png")
    picture = np.asarray(Image.open(pictures / "viewer-picture.png").convert("L"))
    width, height = user.canvas.evaluate("canvas => [canvas.width, canvas.height]")
    assert picture.shape == (height + 34, width)
    assert picture[:height].std() > 20
    assert picture[height:].max() == 255


def test_without_webgl_the_server_draws_the_slices(context, server, pictures):
    page = context.new_page()
    page.add_init_script(
        "const whole = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind.startsWith('webgl') ? null : whole.call(this, kind, ...rest) }"
    )
    user = User(page, server.url)
    user.open()
    user.try_example()
    user.read("This browser has no WebGL 2")
    picture = user.viewer.locator("img")
    where = user.viewer.locator(".where")
    expect(where).to_have_text("Coronal slice 35 of 50, P 13.3 mm")
    expect(picture).to_have_attribute("alt", re.compile("Coronal slice 35.*right is on the left"))
    user.viewer.focus()
    user.page.keyboard.press("ArrowUp")
    expect(where).to_have_text("Coronal slice 36 of 50, P 12.3 mm")
    user.choose("Sagittal")
    expect(where).to_contain_text("Sagittal slice 17 of 35")
    slider = user.viewer.get_by_role("slider", name="Slice")
    slider.press("End")
    expect(where).to_contain_text("Sagittal slice 35 of 35")
    user.choose("Neurological")
    expect(picture).to_have_attribute("alt", re.compile("left is on the left"))
    until(lambda: picture.evaluate("image => image.complete && image.naturalWidth > 0"))
    user.page.screenshot(path=pictures / "viewer-without-webgl.png")


@pytest.mark.long
def test_a_click_on_a_picture_that_is_half_in_sight_does_not_move_the_page(user):
    user.try_example()
    user.choose("Coronal")
    user.page.set_viewport_size({"width": 1280, "height": 500})
    main = user.page.get_by_test_id("stMain")
    main.evaluate("(main) => main.scrollTo(0, 0)")
    top = main.evaluate(
        "(main, canvas) => { const y = canvas.getBoundingClientRect().top;"
        " main.scrollBy(0, y - 200); return main.scrollTop }",
        user.canvas.element_handle(),
    )
    box = user.canvas.bounding_box()
    assert box["y"] < 500 < box["y"] + box["height"]
    before = user.viewer.get_attribute("data-voxel")
    user.page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.3 * box["height"])
    expect(user.viewer).not_to_have_attribute("data-voxel", before)
    assert main.evaluate("(main) => main.scrollTop") == top
    assert user.canvas.bounding_box() == box


def test_another_case_takes_the_place_of_the_first(user):
    user.upload(("one.nii", as_bytes(example())))
    user.see_result("one")
    first = user.viewer.get_attribute("data-case")
    reading = user.viewer.locator(".reading").inner_text()
    user.upload(("two.nii", as_bytes(marked())))
    user.see_result("two")
    expect(user.viewer).not_to_have_attribute("data-case", first)
    expect(user.viewer.locator(".reading")).not_to_have_text(reading)
    user.show_list()
    user.pick_row(0, then=user.page.get_by_role("heading", name="one"))
    expect(user.viewer).to_have_attribute("data-case", first)
    expect(user.viewer.locator(".reading")).to_have_text(reading)
    user.settle()
    expect(user.page.locator("canvas[role=img]")).to_have_count(1)


def ruler_pixels(pixels) -> int:
    return int((pixels == (255, 0, 0)).all(axis=-1).sum())


@pytest.mark.long
def test_a_measurement_and_a_zoom_belong_to_their_case(user):
    scan = as_bytes(example())
    user.upload(("one.nii", scan), ("two.nii", scan))
    user.see_result("two")
    first = user.viewer.get_attribute("data-case")
    user.choose("Coronal")
    at_first = user.pixels()
    user.viewer.focus()
    user.page.keyboard.press("m")
    box = user.canvas.bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    user.page.mouse.move(x, y)
    user.page.mouse.down()
    user.page.mouse.move(x + box["width"] / 2, y, steps=5)
    user.page.mouse.up()
    user.pixels(lambda p: ruler_pixels(p) > 100)
    user.page.keyboard.press("+")
    # The other one opens on the very same slice.
    user.show_list()
    user.pick_row(0, then=user.page.get_by_role("heading", name="one"))
    expect(user.viewer).not_to_have_attribute("data-case", first)
    expect(user.viewer.locator(".where")).to_have_text("Coronal slice 35 of 50, P 13.3 mm")
    now = user.pixels(lambda p: ruler_pixels(p) == 0)
    same = tuple(min(a, b) for a, b in zip(now.shape, at_first.shape, strict=True))
    a, b = (picture[: same[0], : same[1]] for picture in (now, at_first))
    assert np.abs(a - b).mean() < 5


@pytest.mark.long
def test_the_pane_in_3d_follows_the_labels_and_not_the_crosshair(user):
    user.try_example()
    user.choose("All")
    # Without a graphics card it waits: the slices are not held up by it.
    wake = user.viewer.get_by_role("button", name="Show in 3-D")
    dark = user.pixels()
    place, canvas = wake.bounding_box(), user.canvas.bounding_box()
    assert place["width"] > 100
    assert place["x"] + place["width"] <= canvas["x"] + canvas["width"] + 1
    wake.click()
    expect(wake).to_be_hidden()
    user.pixels(lambda p: bool((p != dark).any()))
    still, canvas = user.viewer.locator("canvas.still").bounding_box(), user.canvas.bounding_box()
    left, top = round(still["x"] - canvas["x"]), round(still["y"] - canvas["y"])
    pane = np.s_[top : top + round(still["height"]), left : left + round(still["width"])]
    first = user.pixels()
    assert tinted(first[pane], "anterior") > 100
    user.viewer.focus()
    user.page.keyboard.press("ArrowUp")
    before = user.pixels(lambda p: bool((p != first).any()))
    for _ in range(3):
        user.page.keyboard.press("ArrowUp")
    after = user.pixels(lambda p: bool((p != before).any()))
    assert np.array_equal(after[pane], before[pane])
    user.page.keyboard.press("1")
    user.pixels(lambda p: tinted(p[pane], "anterior") < tinted(before[pane], "anterior") / 10)
