"""The border between the labels, moved in the browser: exactly its voxels change."""

import gzip

import httpx
import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.test_correcting import begin, labels_of, pack_of
from tests.browser.user import User
from tests.scans import (
    all_orientations,
    as_bytes,
    example,
    image,
    reoriented,
    template_head,
)

_SLICES = 3
_MOST_STEPS = 300
# All orders of the axes with all flips; each time one of them.
_ORDERS = [
    pytest.param(number, marks=() if number == 13 else pytest.mark.long)
    for number in range(len(all_orientations()))
]


def drag(user: User, line, to: int) -> None:
    """Drag the line to the front until it is there."""
    box = line.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    user.page.mouse.move(x, y)
    user.page.mouse.down()
    for step in range(_MOST_STEPS):
        if line.get_attribute("aria-valuenow") == str(to):
            break
        user.page.mouse.move(x + 2 * step, y)
    user.page.mouse.up()


@pytest.mark.parametrize("order", _ORDERS)
def test_the_border_moves_by_mouse_and_keys_and_is_undone(user, server, order, pictures):
    scan = gzip.compress(as_bytes(reoriented(example(), all_orientations()[order])))
    user.upload(("border.nii.gz", scan))
    user.see_result("border")
    answer = httpx.post(f"{server.url}/api/predict", files={"image": scan}, timeout=60)
    before, model = labels_of(answer.content)
    begin(user, "Sagittal")
    user.page.keyboard.press("t")
    line = user.viewer.get_by_role("slider", name="Border", exact=True)
    expect(line).to_be_visible()
    first = int(line.get_attribute("aria-valuenow"))
    volumes = user.viewer.locator(".volumes")
    at_first = volumes.inner_text()

    drag(user, line, first + _SLICES)
    expect(line).to_have_attribute("aria-valuenow", str(first + _SLICES))
    expect(volumes).not_to_have_text(at_first)
    moved = volumes.inner_text()
    user.page.screenshot(path=pictures / "border.png")
    user.viewer.focus()
    user.page.keyboard.press("Control+z")
    expect(volumes).to_have_text(at_first)
    expect(user.viewer).to_have_attribute("data-drawn", "false")
    for _ in range(_SLICES):
        user.page.keyboard.press("Shift+ArrowRight")
    expect(line).to_have_attribute("aria-valuenow", str(first + _SLICES))
    expect(volumes).to_have_text(moved)

    user.page.get_by_label("Your name").first.fill("Dr A")
    user.save_version("Dr A")
    user.read("Of mask version 1, drawn by Dr A")
    after, own = labels_of(pack_of(user))
    assert np.array_equal(own.affine, model.affine)
    assert own.shape == model.shape
    expected = before.copy()
    front = np.arange(before.shape[1])[None, :, None] >= first + _SLICES
    expected[before > 0] = (
        np.where(front, 1, 2).repeat(before.shape[0], 0).repeat(before.shape[2], 2)[before > 0]
    )
    assert np.argwhere(after != expected).tolist() == []
    assert (before != after).sum() > 50


@pytest.mark.long
def test_on_a_head_the_other_sides_border_stays(user, server):
    """Of a head with voxels of 2 mm, on its side in the file."""
    head = template_head()
    data, affine = np.asarray(head.dataobj)[::2, ::2, ::2], head.affine @ np.diag([2, 2, 2, 1])
    turned = reoriented(image(data.copy(), affine), all_orientations()[21])
    scan = gzip.compress(as_bytes(turned), 1)
    user.upload(("border head.nii.gz", scan))
    user.see_result("border head")
    answer = httpx.post(f"{server.url}/api/predict", files={"image": scan}, timeout=120)
    before, model = labels_of(answer.content)
    user.choose("Sagittal")
    user.viewer.get_by_role("button", name="Go to left").click()
    begin(user, "Sagittal")
    user.page.keyboard.press("t")
    line = user.viewer.get_by_role("slider", name="Border of the left hippocampus")
    expect(line).to_be_visible()
    first = int(line.get_attribute("aria-valuenow"))
    drag(user, line, first + _SLICES)
    expect(line).to_have_attribute("aria-valuenow", str(first + _SLICES))
    user.page.get_by_label("Your name").first.fill("Dr A")
    user.save_version("Dr A")
    user.read("Of mask version 1, drawn by Dr A")
    after, own = labels_of(pack_of(user))
    assert np.array_equal(own.affine, model.affine)
    expected = before.copy()
    x_mm = nib.affines.apply_affine(
        nib.as_closest_canonical(model).affine, np.moveaxis(np.indices(before.shape), 0, -1)
    )[..., 0]
    is_left = (before > 0) & (x_mm < 0)
    is_front = np.arange(before.shape[1])[None, :, None] >= first + _SLICES
    expected[is_left & is_front], expected[is_left & ~is_front] = 1, 2
    assert np.argwhere(after != expected).tolist() == []
    assert (before != after).sum() > 10
