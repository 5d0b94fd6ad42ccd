"""The same day on a laptop, in a clinic and in the emulated cloud."""

import gzip
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.test_correcting import LEFT, RIGHT, begin, labels_of
from tests.browser.user import LONG, User
from tests.datasets import made, packed
from tests.scans import as_bytes, example
from tests.set_ups import SET_UPS

TRAINING = 8 * LONG
SHORT = ["epochs=1", "iterations=2", "validation_iterations=1"]


@pytest.mark.long
@pytest.mark.parametrize("name", SET_UPS)
def test_sign_in_segment_correct_download_retrain_gate_and_drift(name, browser, tmp_path, pictures):
    archive = packed(made(tmp_path / "Task04", 12), tmp_path / "crops.tar")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, ignore_https_errors=True)
    with SET_UPS[name](tmp_path, test_heads="1") as site:
        user = User(context.new_page(), site.url)
        if site.password:
            user.page.goto(f"{site.url}/cases")
            user.page.get_by_label("Name").fill("administrator")
            user.page.get_by_label("Password").fill(site.password)
            user.page.get_by_role("button", name="Sign in").click()
        user.open("/")
        user.upload(("morning.nii.gz", gzip.compress(as_bytes(example()))))
        user.see_result("morning")
        before, _ = labels_of(user.download("Mask (.nii.gz)")[1])

        begin(user)
        user.page.keyboard.press("q")
        user.draw(LEFT, RIGHT)
        user.kept("Draft kept")
        user.save_version("" if site.password else "Dr A")
        user.read(f"Corrected by {'administrator' if site.password else 'Dr A'}")
        after, _ = labels_of(user.download("Mask (.nii.gz)")[1])
        assert {*np.unique(after[after != before])} == {2}
        user.open("/cases")
        user.read("1 case.")

        user.open("/retrain")
        user.upload(archive)
        user.page.get_by_label("Name").fill("some")
        user.page.get_by_label("Name").press("Tab")
        user.settle()
        user.page.get_by_role("button", name="Prepare").click()
        expect(user.page.get_by_role("heading", name="New training")).to_be_visible(timeout=LONG)
        asked = user.page.request.post(
            f"{site.url}/api/admin/jobs", headers={"Origin": site.url},
            data={"dataset": "some", "preset": "quick", "overrides": SHORT},
        )  # fmt: skip
        assert asked.ok, asked.text()
        user.open("/retrain")
        expect(user.page.get_by_text("Succeeded.")).to_be_visible(timeout=TRAINING)

        user.page.get_by_role("link", name="Compare version 2 on Models").click()
        expect(user.page.get_by_role("heading", name="Compare")).to_be_visible(timeout=LONG)
        user.page.get_by_role("button", name="Promote version 2").click()
        dialog = user.page.get_by_role("dialog")
        expect(dialog).to_contain_text("The gate stops it against version 1, in service")
        reason = dialog.get_by_label("Why all the same?")
        reason.fill("to see whether it serves")
        reason.press("Enter")
        expect(user.page.get_by_text("Version 2 is in service.")).to_be_visible(timeout=LONG)
        user.open("/")
        user.upload(("evening.nii.gz", gzip.compress(as_bytes(example()))))
        user.see_result("evening")
        user.page.get_by_text("Details: all measures").click()
        user.read("version 2 (some-quick)")

        user.open("/drift")
        expect(user.page.get_by_role("heading", name=re.compile("Not enough yet"))).to_be_visible(
            timeout=LONG
        )
        user.page.screenshot(path=pictures / f"set-up-{name}.png", full_page=True)
        assert user.strangers == []
    context.close()
