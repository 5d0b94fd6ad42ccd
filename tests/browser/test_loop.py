"""Whole heads through the loop: reviewed, trained on, judged, served, rolled back."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from core.image.example import example_file
from core.settings import ROOT
from tests.browser.house import begin
from tests.browser.user import LONG, User, hued
from tests.server import Server, running
from tests.waiting import until

pytestmark = pytest.mark.long
TRAINING_S = 3600  # on a machine that others use as well
REASON = "to see that the gate keeps a reason"


def ended(server: Server, number: int) -> str:
    """The state of a training once it has ended."""

    def look() -> str | None:
        job = httpx.get(f"{server.url}/api/admin/jobs/{number}").json()
        return None if job["state"] in ("queued", "running") else str(job["state"])

    return str(until(look, TRAINING_S, poll_s=2))


def shuffled(folder: Path, shared_data: Path) -> Path:
    """Crops with the labels of other persons' crops."""
    source = shared_data / "Task04_Hippocampus"
    images = sorted((source / "imagesTr").glob("hippocampus_*"))[:40]
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for image, other in zip(images, images[7:] + images[:7], strict=True):
        scan = nib.load(image)
        (folder / "imagesTr" / image.name).write_bytes(image.read_bytes())
        wrong = nib.load(source / "labelsTr" / other.name).get_fdata().astype("uint8")
        label = nib.Nifti1Image(fitted(wrong, scan.shape), scan.affine)
        nib.save(label, folder / "labelsTr" / image.name)
    return folder


def fitted(labels, shape):
    """Turned upside down and cut or padded: nowhere near the hippocampus of another crop."""
    out = np.zeros(shape, np.uint8)
    part = tuple(slice(0, min(a, b)) for a, b in zip(shape, labels.shape, strict=True))
    out[part] = labels[::-1, ::-1, ::-1][part]
    return out


def choose_patient(user: User, patient: str) -> None:
    """Typed and left: no Enter."""
    user.page.get_by_role("button", name="Patient of the next files: none given").click()
    user.page.get_by_role("textbox", name="Patient (a pseudonym)").fill(patient)
    expect(user.page.get_by_text(f"Patient of the next files: {patient}")).to_be_visible()
    user.page.keyboard.press("Escape")
    user.settle()


def short_stroke(user: User) -> list[tuple[float, float]]:
    """A few voxels on the border of what is drawn, as one who corrects draws."""
    pixels = user.pixels(lambda pixels: hued(pixels, "anterior").any())
    height, width = pixels.shape[:2]
    rows, columns = np.nonzero(hued(pixels, "anterior"))
    x, y = columns.max() / width, rows[columns.argmax()] / height
    return [(x, y), (x + 0.004, y)]


def review(user: User, heads: list[Path]) -> None:
    """Upload heads, each of a patient; correct the first, accept the others."""
    for number, head in enumerate(heads):
        choose_patient(user, f"P-{number:02}")
        user.upload(head)
        user.see_result(head.name.removesuffix(".nii.gz"))
        if number == 0:
            user.page.get_by_label("Your name").first.fill("Dr Loop")
            user.page.keyboard.press("Enter")
            user.settle()
            begin(user)
            user.draw(*short_stroke(user))
            user.kept("Draft kept")
            user.save_version("Dr Loop")
            user.read("Of mask version 1, drawn by Dr Loop", "Corrected by Dr Loop")
        else:
            user.page.get_by_role("button", name="Accept").click()
            user.settle()
            dialog = user.page.get_by_role("button", name="Accept it all the same")
            if dialog.is_visible():
                dialog.click()
            user.read("Accepted by Dr Loop")


def retrain(user: User, server: Server) -> None:
    """A quick training on the reviewed heads, from the page."""
    user.go("Retrain")
    user.read("12 accepted or corrected")
    user.page.get_by_role("button", name="Use the reviewed cases").click()
    expect(user.page.get_by_role("heading", name="New training")).to_be_visible(timeout=LONG)
    user.read("of 12 patients", "cut from 12 heads", "by patient")
    user.page.get_by_role("spinbutton", name="Epochs").fill("1")
    user.page.get_by_role("spinbutton", name="Epochs").press("Tab")
    user.settle()
    user.page.get_by_role("button", name="Retrain", exact=True).click()
    user.read("0 of 1 epochs done")
    assert ended(server, 1) == "succeeded"


def open_gate(user: User, number: int) -> Locator:
    """The dialog about a version; its button is in sight without scrolling."""
    user.page.get_by_role("button", name=f"Promote version {number}").click()
    dialog = user.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Synthetic heads")
    expect(dialog).to_contain_text("int8 against float32")
    button = dialog.get_by_role("button", name=f"Put version {number} into service")
    expect(button).to_be_in_viewport(ratio=1)
    return dialog


def train_on_shuffled(server: Server, folder: Path, shared_data: Path) -> None:
    """The bad version: on labels that are nowhere near the hippocampus."""
    environment = {**os.environ, "HIPPOVIEW_DATA_DIR": str(server.data_dir)}
    source = str(shuffled(folder, shared_data))
    subprocess.run(
        [sys.executable, "-m", "core", "data", "prepare", source, "--name", "shuffled"],
        cwd=ROOT, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    overrides = ["epochs=1", "iterations=80", "learning_rate=0.01"]
    asked = {"dataset": "shuffled", "overrides": overrides}
    httpx.post(f"{server.url}/api/admin/jobs", json=asked).raise_for_status()
    assert ended(server, 2) == "succeeded"


def promote_the_bad_one_and_roll_back(user: User, server: Server, pictures: Path) -> None:
    """The gate stops it, a reason puts it into service, and it goes again."""
    user.open("/models")
    dialog = open_gate(user, 3)
    expect(dialog).to_contain_text("The gate stops it against version 1, in service")
    expect(dialog).to_contain_text(re.compile(r"Whole heads[^.]*failed|failed"))
    user.page.screenshot(path=pictures / "loop-stopped.png")
    reason = dialog.get_by_label("Why all the same?")
    reason.fill(REASON)
    reason.press("Enter")
    expect(user.page.get_by_text("Version 3 is in service.")).to_be_visible(timeout=LONG)
    answer = httpx.post(
        f"{server.url}/api/predict", files={"image": ("a.nii", example_file())}, timeout=120
    )
    assert answer.headers["x-model-version"] == "3"
    user.page.get_by_role("button", name="Roll back to version 1").click()
    expect(user.page.get_by_text("Version 1 is in service again.")).to_be_visible(timeout=LONG)
    history = httpx.get(f"{server.url}/api/admin/history").json()
    assert [(entry["version"], entry["action"]) for entry in history[:2]] == [
        (1, "rolled back"), (3, "promoted"),
    ]  # fmt: skip
    assert history[1]["reason"] == REASON
    assert any("heads" in line.lower() for line in history[1]["objections"])


def test_heads_are_reviewed_trained_on_judged_served_and_rolled_back(
    context, shared_data, tmp_path, pictures
):
    heads = sorted((shared_data / "heads" / "elderly_2mm" / "t1").glob("*.nii.gz"))
    assert len(heads) == 12
    with running(tmp_path / "var", test_heads="6") as server:
        user = User(context.new_page(), server.url)
        user.open()
        review(user, heads)
        retrain(user, server)
        user.open("/models")
        user.read("Whole heads", "Synthetic heads", "Reviewed heads")
        open_gate(user, 2)
        user.page.screenshot(path=pictures / "loop-gate.png")
        train_on_shuffled(server, tmp_path / "shuffled", shared_data)
        promote_the_bad_one_and_roll_back(user, server, pictures)
        assert user.strangers == []
