"""A whole head on the page: both sides, their boxes, and the way out where the search failed."""

import gzip
import re

import nibabel as nib
import numpy as np
from playwright.sync_api import expect

from tests.browser.user import User
from tests.scans import as_bytes, template_head


def at(user: User) -> tuple[int, ...]:
    return tuple(int(n) for n in str(user.viewer.get_attribute("data-voxel")).split(","))


def test_the_whole_path_of_a_head(user, pictures):
    scan = template_head()
    user.upload(("head.nii.gz", gzip.compress(as_bytes(scan), 1)))
    user.see_result("head")
    user.read("Confidence high", "Left, total", "Right, total", "Asymmetry index")
    user.choose("Coronal")
    user.viewer.get_by_role("button", name="Go to left").click()
    left = at(user)
    user.viewer.get_by_role("button", name="Go to right").click()
    right = at(user)
    x_mm = [nib.affines.apply_affine(scan.affine, voxel)[0] for voxel in (left, right)]
    assert x_mm[0] < -15
    assert x_mm[1] > 15
    without = user.pixels()
    user.viewer.get_by_role("button", name="Boxes").click()
    user.pixels(lambda p: (p != without).any(axis=-1).mean() > 0.001)
    user.page.screenshot(path=pictures / "head.png")
    user.choose("3-D")
    user.pixels()
    user.page.screenshot(path=pictures / "head-3d.png")
    user.choose("Coronal")

    name, parts = user.download("Mask (.nii.gz)")
    assert name.endswith("_mask.nii.gz")
    _, sides = user.download("Mask by side (.nii.gz)")
    values = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(sides)).dataobj)
    mask = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(parts)).dataobj)
    assert set(np.unique(values)) == {0, 1, 2, 3, 4}
    assert np.array_equal(np.where(values > 2, values - 2, values), mask)
    for label in ("Names for FreeView, Slicer", "Names for ITK-SNAP"):
        assert b"Right-Hippocampus-Posterior" in user.download(label)[1]

    # A person points a little beside it: the left side is segmented there.
    user.page.get_by_label("Your name").first.fill("Dr A")
    user.page.keyboard.press("Enter")
    user.settle()
    user.viewer.get_by_role("button", name="Go to left").click()
    user.viewer.focus()
    for _ in range(2):
        user.page.keyboard.press("ArrowUp")
    user.viewer.get_by_role("button", name="Segment left here").click()
    user.read("Of mask version 1, drawn by Dr A")
    expect(user.viewer).to_have_attribute("data-version", re.compile("1"))
    _, moved = user.download("Mask (.nii.gz)")
    again = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(moved)).dataobj)
    both = 2 * ((again > 0) & (mask > 0)).sum() / ((again > 0).sum() + (mask > 0).sum())
    assert 0.8 < both < 1
