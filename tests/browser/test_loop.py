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
from playwright.sync_api import expect

from core.image.example import example_file
from core.settings import ROOT
from tests.browser.house import begin
from tests.browser.user import LONG, User, hued
from tests.server import Server, running
from tests.waiting import until

pytestmark = pytest.mark.long
TRAINING_S = 1200


def ended(server: Server, number: int) -> str:
    """The state of a training once it has ended."""

    def look() -> str | None:
        job = httpx.get(f"{server.url}/api/admin/jobs/{number}").json()
        return None if job["state"] in ("queued", "running") else str(job["state"])

    return str(until(look, TRAINING_S))


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
    user.page.get_by_role("button", name="Patient of the next files: none given").click()
    field = user.page.get_by_role("combobox", name="Patient (a pseudonym)")
    field.fill(patient)
    field.press("Enter")
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


def promote(user: User, number: int) -> None:
    user.page.get_by_role("button", name=f"Promote version {number}").click()


def test_heads_are_reviewed_trained_on_judged_served_and_rolled_back(
    context, shared_data, tmp_path, pictures
):
    heads = sorted((shared_data / "heads" / "elderly_2mm" / "t1").glob("*.nii.gz"))
    assert len(heads) == 12
    var = tmp_path / "var"
    with running(var, test_heads="6") as server:
        user = User(context.new_page(), server.url)
        user.open()
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

        user.open("/models")
        user.read("Whole heads", "Synthetic heads", "Reviewed heads")
        promote(user, 2)
        dialog = user.page.get_by_role("dialog")
        expect(dialog).to_contain_text("Synthetic heads")
        expect(dialog).to_contain_text("int8 against float32")
        user.page.screenshot(path=pictures / "loop-gate.png")
        user.page.keyboard.press("Escape")

        environment = {**os.environ, "HIPPOVIEW_DATA_DIR": str(var)}
        source = str(shuffled(tmp_path / "shuffled", shared_data))
        subprocess.run(
            [sys.executable, "-m", "core", "data", "prepare", source, "--name", "shuffled"],
            cwd=ROOT, env=environment, check=True, capture_output=True,
        )  # fmt: skip
        asked = {
            "dataset": "shuffled",
            "overrides": ["epochs=2", "iterations=60", "learning_rate=0.01"],
        }
        httpx.post(f"{server.url}/api/admin/jobs", json=asked).raise_for_status()
        assert ended(server, 2) == "succeeded"

        user.open("/models")
        promote(user, 3)
        expect(dialog).to_contain_text("The gate stops it against version 1, in service")
        expect(dialog).to_contain_text(re.compile(r"Whole heads[^.]*failed|failed"))
        user.page.screenshot(path=pictures / "loop-stopped.png")
        reason = dialog.get_by_label("Why all the same?")
        reason.fill("to see that the gate keeps a reason")
        reason.press("Enter")
        expect(user.page.get_by_text("Version 3 is in service.")).to_be_visible(timeout=LONG)
        answer = httpx.post(
            f"{server.url}/api/predict", files={"image": ("a.nii", example_file())}, timeout=120
        )
        assert answer.headers["x-model-version"] == "3"
        user.page.get_by_role("button", name="Roll back to version 1").click()
        expect(user.page.get_by_text("Version 1 is in service again.")).to_be_visible(timeout=LONG)
        history = httpx.get(f"{server.url}/api/admin/history").json()
        assert [(e["version"], e["action"]) for e in history[:2]] == [
            (1, "rolled back"), (3, "promoted"),
        ]  # fmt: skip
        assert history[1]["reason"] == "to see that the gate keeps a reason"
        assert any("heads" in each.lower() for each in history[1]["objections"])
        assert user.strangers == []
