import csv
import gzip
import io
import json
import re
import zipfile

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from app.viewer.files import LETTER_RGB
from tests.browser.user import LONG, User, tinted
from tests.scans import all_orientations, as_bytes, example, image, reoriented

TURNED = reoriented(example(), all_orientations()[21])
SCAN = gzip.compress(as_bytes(TURNED), mtime=0)


def test_the_first_visit_says_what_to_do_and_the_example_works(user):
    user.read("Try an example")
    user.read("Not for diagnosis", "up to 520 MiB each")
    expect(user.page.get_by_text("per file")).to_be_hidden()  # Streamlit rounds it to 1GB
    user.try_example()
    user.read("Side unknown on a crop", "mm³")
    user.pixels(lambda p: tinted(p, "anterior") > 300 and tinted(p, "posterior") > 300)


def test_a_scan_is_drawn_scrolled_and_shown_as_asked(user):
    frames = []
    user.page.on("websocket", lambda ws: ws.on("framesent", lambda frame: frames.append(frame)))
    user.open("/")  # with a socket that is watched
    user.upload(("first.nii.gz", SCAN))
    user.see_result("first")
    assert frames
    multiplanar = user.pixels()
    user.choose("Coronal")
    at_rest = user.pixels(lambda p: (multiplanar != p).any(axis=-1).mean() > 0.3)

    frames.clear()
    sent = user.page.evaluate("performance.getEntriesByType('resource').length")
    box = user.canvas.bounding_box()
    user.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(5):
        user.page.mouse.wheel(0, 100)
    user.pixels(lambda p: (at_rest != p).any(axis=-1).mean() > 0.05)
    assert frames == []
    assert user.page.evaluate("performance.getEntriesByType('resource').length") == sent

    user.choose("Sagittal")
    user.pixels(lambda p: tinted(p, "anterior") > 300 and tinted(p, "posterior") > 300)
    user.switch("Anterior")
    user.pixels(lambda p: tinted(p, "anterior") < 30 and tinted(p, "posterior") > 300)
    user.switch("Anterior")
    user.switch("Posterior")
    user.pixels(lambda p: tinted(p, "anterior") > 300 and tinted(p, "posterior") < 30)


def test_the_sides_turn_with_the_convention_and_the_page_says_which(user):
    user.upload(("sides.nii.gz", SCAN))
    user.see_result("sides")
    user.choose("Coronal")
    radiological = user.pixels()
    user.read("the patient's right is on the left of the picture")
    user.choose("Neurological")
    neurological = user.pixels(lambda p: (radiological != p).any(axis=-1).mean() > 0.3)
    user.read("the patient's left is on the left of the picture")
    grey_a, grey_b = radiological.mean(axis=-1), neurological.mean(axis=-1)
    same = np.abs(grey_a - grey_b).mean()
    mirrored = np.abs(grey_a - grey_b[:, ::-1]).mean()
    assert mirrored < same / 2
    # Letters on all four sides of the picture, in a colour that nothing else has.
    letters = np.abs(radiological - LETTER_RGB).max(axis=-1) < 30
    drawn = np.argwhere(radiological.max(axis=-1) > 0)
    (top, left), (bottom, right) = drawn.min(axis=0), drawn.max(axis=0)
    for edge in (
        letters[:, left : left + 40], letters[:, right - 40 : right + 1],
        letters[top : top + 40], letters[bottom - 40 : bottom + 1],
    ):  # fmt: skip
        assert edge.sum() > 20
    inner = letters[top + 4 : bottom - 3, left + 4 : right - 3]
    assert inner.sum() == letters.sum()  # none on the picture's very edge


def test_every_export_opens_with_what_it_is_made_for(user, server):
    user.upload(("DOE_JANE.nii.gz", SCAN))
    user.see_result("DOE_JANE")

    name, mask = user.download("Mask (.nii.gz)")
    case_id = name.removesuffix("_mask.nii.gz")
    assert case_id.startswith("HV-")
    loaded = nib.Nifti1Image.from_bytes(gzip.decompress(mask))
    assert np.array_equal(loaded.affine, TURNED.affine)
    assert loaded.shape == TURNED.shape
    labels = np.asarray(loaded.dataobj)
    assert set(np.unique(labels)) == {0, 1, 2}
    api = httpx.post(f"{server.url}/api/predict", files={"image": SCAN}, timeout=60)
    assert mask == api.content  # byte for byte

    name, content = user.download("Measures (.json)")
    record = json.loads(content)
    assert name == f"{case_id}_measures.json"
    assert record["measures"]["anterior"]["voxels"] == (labels == 1).sum()
    assert record["model"]["sha256"]

    name, content = user.download("Measures (.csv)")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert name == f"{case_id}_measures.csv"
    total = next(r for r in rows if (r["quantity"], r["label"]) == ("volume", "total"))
    assert float(total["value"]) == (labels > 0).sum()
    assert total["unit"] == "mm3"

    name, content = user.download("Surfaces (.ply)")
    assert name == f"{case_id}_surfaces.ply"
    assert content.startswith(b"ply\nformat binary_little_endian")

    name, content = user.download("Report (.pdf)")
    assert name == f"{case_id}_report.pdf"
    assert content.startswith(b"%PDF-")

    name, content = user.download("Slice strip (.png)")
    assert name == f"{case_id}_slices.png"
    assert Image.open(io.BytesIO(content)).size[0] >= 1200
    for export in (mask, content, json.dumps(record).encode()):
        assert b"DOE" not in export


def test_a_bad_file_gets_a_reason_and_the_page_stays_usable(user):
    for name, content, words in (
        ("text.nii.gz", b"Dear doctor" * 100, "not a NIfTI image"),
        ("truncated.nii.gz", SCAN[:3000], "ends too early"),
        ("empty.nii.gz", b"", "empty"),
    ):
        user.upload((name, content))
        alert = user.page.get_by_role("alert").filter(has_text=name).filter(has_text=words)
        expect(alert).to_be_visible(timeout=LONG)
        user.settle()
        assert "Traceback" not in user.text()
    user.try_example()


def test_five_files_with_one_bad_make_five_rows_and_one_archive(user):
    good = [(f"scan{i}.nii.gz", SCAN) for i in range(4)]
    user.upload(*good[:2], ("broken.nii", b"nothing here"), *good[2:])
    expect(user.page.get_by_role("heading", name="5 files")).to_be_visible(timeout=LONG)
    user.see_result("scan3")
    # Told of beside the good one that stays open.
    reason = user.page.get_by_role("alert").filter(has_text="broken.nii")
    expect(reason).to_contain_text("not a NIfTI image")

    user.show_list()
    _, content = user.download("Download all (.zip)")
    zipped = zipfile.ZipFile(io.BytesIO(content))
    names = zipped.namelist()
    assert sum(n.endswith("_mask.nii.gz") for n in names) == 4
    rows = list(csv.DictReader(io.StringIO(zipped.read("summary.csv").decode())))
    assert [r["state"] for r in rows] == ["segmented"] * 2 + ["refused"] + ["segmented"] * 2
    assert "not a NIfTI" in rows[2]["error"]
    assert "name" not in rows[0]

    user.switch("My file names and patients in the summary")
    _, content = user.download("Download all with names (.zip)")
    summary = zipfile.ZipFile(io.BytesIO(content)).read("summary.csv").decode()
    assert "broken.nii" in summary

    user.pick_row(2, then=user.page.get_by_text("Shown: broken.nii"))
    expect(reason).to_contain_text("not a NIfTI image")
    expect(user.page.get_by_role("heading", name="scan3")).to_be_hidden()

    user.page.get_by_role("button", name="Clear the list").click()
    expect(user.page.get_by_text("Nothing here yet")).to_be_visible()
    expect(user.page.get_by_alt_text("A result")).to_be_visible()
    user.page.get_by_role("button", name="Undo").click()
    expect(user.page.get_by_role("heading", name="5 files")).to_be_visible()


@pytest.mark.long
def test_a_click_while_a_batch_runs_neither_stops_nor_repeats_it(user):
    # Enough of them that it still runs when the first is seen to be done.
    user.upload(*[(f"scan{i}.nii.gz", SCAN) for i in range(24)])
    expect(user.page.get_by_text(re.compile(r"[1-9]\d* of 24 done"))).to_be_visible(timeout=LONG)
    user.page.get_by_role("button", name="Try an example").click()
    expect(user.page.get_by_role("heading", name="25 files")).to_be_visible(timeout=LONG)
    user.show_list()
    _, content = user.download("Download all (.zip)")
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert sum(n.endswith("_mask.nii.gz") for n in names) == 25


def test_a_files_name_is_shown_as_it_is_and_loads_nothing(user):
    name = "![x](http://192.0.2.1/x.png) **b** $a$ :red[c]"
    user.upload((f"{name}.nii.gz", SCAN))
    user.see_result(name)


def test_two_visitors_at_once_never_see_each_other(context, other_context, server):
    """Different scans at the same time: uploads, results and viewers stay apart."""
    other = image(np.asarray(example().dataobj)[:, :, 6:], example().affine)
    contents = {"alpha": SCAN, "beta": gzip.compress(as_bytes(other))}
    contexts = zip(contents, (context, other_context), strict=True)
    users = {name: User(profile.new_page(), server.url) for name, profile in contexts}
    for person in users.values():
        person.open()
    for name, person in users.items():  # both are under way before either is awaited
        person.upload((f"{name}.nii.gz", contents[name]))
    masks = {}
    for name, person in users.items():
        person.see_result(name)
        foreign = "beta" if name == "alpha" else "alpha"
        assert foreign not in person.text()
        masks[name] = person.download("Mask (.nii.gz)")[1]
    for name, content in contents.items():
        api = httpx.post(f"{server.url}/api/predict", files={"image": content}, timeout=60)
        assert masks[name] == api.content
    views = {name: person.pixels() for name, person in users.items()}
    assert views["alpha"].shape != views["beta"].shape or (views["alpha"] != views["beta"]).any()
