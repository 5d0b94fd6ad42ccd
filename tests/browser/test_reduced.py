"""A scan above the browser's limit: shown reduced, and said; its places are those of the scan."""

import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from core import limits
from core.image.header import parse_header
from core.image.nifti import mask_bytes
from core.image.volume import Volume
from core.image.voxels import Voxels
from core.pipeline import Analysis
from core.wording import minus
from tests.browser.house import House, see
from tests.browser.test_viewer import bright_corner, slide
from tests.browser.user import User
from tests.scans import as_bytes, image

SHAPE = (332, 330, 331)
SPACING_MM = 0.5
AFFINE = nib.affines.from_matvec(np.diag([SPACING_MM] * 3), [-83, -82, -82.5])
SHORTENED = 166  # voxels along the first axis, every second one: the smallest step that is enough
LABELS = (slice(100, 112), slice(200, 210), slice(150, 160))


def large(house: House) -> Analysis:
    """A scan that nobody segmented: grey, black below, bright in the left-anterior-superior corner.

    Almost nothing on the disk; the measures are another's, for the viewer never looks at them.
    """
    data = np.full(SHAPE, 60, np.uint8)
    data[:, :, :20] = 0
    third = [n // 3 for n in SHAPE]
    data[: third[0], -third[1] :, -third[2] :] = 200
    labels = np.zeros(SHAPE, np.uint8)
    labels[LABELS] = 1
    header = parse_header(as_bytes(image(data, AFFINE))[:540])
    volume = Volume(Voxels(data), 0, 200, AFFINE, header, ())
    segmentation = replace(house.crop.segmentation, labels=labels, volume=volume)
    return replace(house.crop, segmentation=segmentation, mask_file=mask_bytes(labels, header))


def spot(user: User) -> tuple[list[float], tuple[int, ...], str]:
    """Where the crosshair is said to be: in mm RAS+, as a voxel, and on which label."""
    words = user.viewer.locator(".reading").inner_text()
    found = re.search(
        r"(x \N{MINUS SIGN}?)([\d.]+) +([PA]) ([\d.]+) +([IS]) ([\d.]+) mm · voxel (\d+), (\d+), "
        r"(\d+) · "
        r"value [\d.]+ · (.+)", words,
    )  # fmt: skip
    if found is None:
        raise AssertionError(f"no place in {words!r}")
    letters, mm = found.groups()[:6:2], found.groups()[1:6:2]
    is_below = [letter in "PI" or letter.endswith(minus("-")) for letter in letters]
    signed = [float(v) * (-1 if below else 1) for below, v in zip(is_below, mm, strict=True)]
    return signed, tuple(int(n) for n in found.groups()[6:9]), found.group(10)


@pytest.fixture
def case_id(house):
    """It takes the server's disk for as long as it is needed."""
    assert np.prod(SHAPE) > limits.MAX_VIEWER_VOXELS
    made = house.cases.add(large(house), "large").id
    yield made
    house.cases.delete(made)


@pytest.mark.long
def test_a_scan_above_the_limit_is_shown_reduced_with_the_places_of_the_scan(
    person, house, case_id
):
    # One plane from the start: software takes seconds to draw millions of voxels in 3-D.
    person.page.add_init_script("localStorage.setItem('hippoview-view', 'Coronal')")
    see(person, case_id)
    shown = " x ".join(str(n) for n in (SHORTENED, *SHAPE[1:]))
    whole = " x ".join(str(n) for n in SHAPE)
    expect(person.viewer.locator(".reduced")).to_contain_text(
        f"Shown with {shown} voxels: the scan has {whole}, "
    )
    expect(person.viewer.get_by_role("button", name="Correct")).to_be_disabled()

    labels = house.labels(case_id)
    said = [spot(person)]  # the viewer opens at the largest section of the labels
    reading = person.viewer.locator(".reading")
    for place in ((0.45, 0.3), (0.55, 0.7)):
        before = reading.inner_text()
        person.voxel_at(*place)
        expect(reading).not_to_have_text(before)  # a busy machine draws it later
        said.append(spot(person))
    for mm, voxel, label in said:
        # Along the first axis two voxels are shown as one, in mm between them.
        off = np.abs(nib.affines.apply_affine(np.linalg.inv(AFFINE), mm) - voxel)
        assert (off <= np.array([0.5, 0, 0]) + 0.1 / SPACING_MM).all()
        assert label == ("anterior" if labels[voxel] else "no label")
    assert [label == "anterior" for _, _, label in said] == [True, False, False]

    where = person.viewer.locator(".where")
    person.viewer.focus()
    _, (_, slice_before, _), _ = said[-1]
    expect(where).to_contain_text(f"Coronal slice {slice_before + 1} of {SHAPE[1]}")
    person.page.keyboard.press("ArrowUp")
    expect(where).to_contain_text(f"Coronal slice {slice_before + 2} of {SHAPE[1]}")
    slide(person, "Sagittal", "Home")
    expect(where).to_have_text(
        re.compile(rf"Sagittal slice 2 of {SHAPE[0]}, x {minus('-')}82\.[78] mm")
    )
    person.page.keyboard.press("End")
    expect(where).to_have_text(
        re.compile(rf"Sagittal slice {SHAPE[0]} of {SHAPE[0]}, x 82\.[23] mm")
    )
    for convention, left_is_right in (("Radiological", True), ("Neurological", False)):
        person.choose(convention)
        slide(person, "Coronal", "End")
        assert bright_corner(person) == (left_is_right, True)
