"""The administrator's side as one person goes through it, on a server of its own."""

import os
import re
import signal
import threading

import httpx
import psutil
import pytest
from playwright.sync_api import BrowserContext, expect

from core.cases.store import Cases
from core.image.example import example_file
from core.people.acting import SERVER, acting_as
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.browser.user import LONG, User
from tests.datasets import made, packed, real
from tests.server import Server, running
from tests.tiny import analysis
from tests.waiting import until

TRAINING = 8 * LONG
PASSWORD = "a long enough password"


class Stream:
    """Scans sent to the API one after the other, for as long as the flow goes on."""

    def __init__(self, url: str, at_least: int, pause_s: float) -> None:
        self._url, self._at_least, self._pause_s = url, at_least, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.answers: list[tuple[int, str]] = []

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        scan = example_file()
        with httpx.Client(timeout=120) as client:
            while not self._stop.is_set() or len(self.answers) < self._at_least:
                answer = client.post(f"{self._url}/api/predict", files={"image": ("a.nii", scan)})
                version = answer.headers.get("x-model-version", "")
                self.answers.append((answer.status_code, version))
                self._stop.wait(self._pause_s)  # a nurse's pace: the training needs the cores too


def prepare_on_the_page(user: User, archive, name: str) -> None:
    user.read("Add a data set")
    user.upload(archive)
    user.page.get_by_label("Name").fill(name)
    user.page.get_by_label("Name").press("Tab")
    user.settle()
    user.page.get_by_role("button", name="Prepare").click()
    expect(user.page.get_by_role("heading", name="New training")).to_be_visible(timeout=LONG)


def version_of(server: Server) -> str:
    return str(httpx.get(f"{server.url}/api/health").json()["model"]["version"])


# Whole: on thirty crops, with the iterations that the page asks for, tested on all synthetic heads.
@pytest.mark.parametrize("is_whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_retrain_compare_promote_and_roll_back_while_scans_go_on(
    context: BrowserContext, shared_data, tmp_path, pictures, is_whole
):
    crops, tested, scans, pause_s = (30, 4, 100, 1.5) if is_whole else (12, 3, 12, 6.0)
    archive = packed(real(tmp_path / "Task04", shared_data, crops), tmp_path / "crops.tar")
    heads = {} if is_whole else {"test_heads": "1"}
    with (
        running(tmp_path / "var", **heads) as server,
        Stream(server.url, scans, pause_s) as stream,
    ):
        user = User(context.new_page(), server.url)
        user.open("/retrain")
        user.read("There are no accounts")
        prepare_on_the_page(user, archive, "some")
        user.read(
            f"{crops} crops, of {crops} patients", f"{crops - tested} crops; in five folds",
            f"{tested} crops",
        )  # fmt: skip
        user.page.get_by_role("spinbutton", name="Epochs").fill("2")
        user.page.get_by_role("spinbutton", name="Epochs").press("Tab")
        user.read("It will take about")
        user.settle()
        user.page.get_by_role("button", name="Retrain", exact=True).click()
        if not is_whole:
            user.page.get_by_role("button", name="Cancel").click()
            expect(user.page.get_by_text("Cancelled.")).to_be_visible(timeout=LONG)
            short = ["epochs=2", "iterations=2", "validation_iterations=1"]
            asked = {"dataset": "some", "preset": "quick", "overrides": short}
            httpx.post(f"{server.url}/api/admin/jobs", json=asked).raise_for_status()
            user.open("/retrain")
        expect(user.page.get_by_text(re.compile("0 of 2 epochs done"))).to_be_visible(
            timeout=TRAINING
        )
        user.page.close()  # it goes on without a browser

        user = User(context.new_page(), server.url)
        user.open("/retrain")
        expect(user.page.get_by_text(re.compile("After epoch 1: pseudo-Dice"))).to_be_visible(
            timeout=TRAINING
        )
        user.page.screenshot(path=pictures / "retrain-running.png", full_page=True)
        expect(user.page.get_by_text(re.compile("After epoch 2: pseudo-Dice"))).to_be_visible(
            timeout=TRAINING
        )
        expect(user.page.get_by_text("Succeeded.")).to_be_visible(timeout=TRAINING)
        assert version_of(server) == "1"

        user.page.get_by_role("link", name="Compare version 2 on Models").click()
        expect(user.page.get_by_role("heading", name="Compare")).to_be_visible(timeout=LONG)
        user.read("Version 1, seen in training", "Version 2, seen in training",
                  "0.901", "0.882", "HD95 anterior", "Volume error posterior",
                  "Whole heads", "Found / flagged / missed", "times as long as version 1",
        )  # fmt: skip
        user.page.screenshot(path=pictures / "models-compare.png", full_page=True)
        user.page.get_by_role("button", name="Promote version 2").click()
        dialog = user.page.get_by_role("dialog")
        expect(dialog).to_contain_text("Version 1, in service: Dice")
        expect(dialog).to_contain_text("Version 2, candidate: Dice")
        expect(dialog).to_contain_text("The gate stops it against version 1, in service")
        expect(dialog).to_contain_text("of the 10 that are needed")
        reason = dialog.get_by_label("Why all the same?")
        reason.fill("no")
        reason.press("Enter")
        expect(dialog).to_contain_text("Say why in at least 10 characters")
        assert version_of(server) == "1"
        user.page.screenshot(path=pictures / "models-gate.png")
        reason.fill("to see whether it serves")
        reason.press("Enter")
        expect(user.page.get_by_text("Version 2 is in service.")).to_be_visible(timeout=LONG)
        assert version_of(server) == "2"
        user.go("Segment")
        user.try_example()
        user.page.get_by_text("Details: all measures").click()
        user.read("version 2 (some-quick)")
        user.go("Model")
        user.read("seen in training", f"without the frozen test set of {tested} and fold 0 of 5")

        until(lambda: "2" in [version for _, version in stream.answers])
        user.go("Models")
        user.page.get_by_role("button", name="Roll back to version 1").click()
        expect(user.page.get_by_text("Version 1 is in service again.")).to_be_visible(timeout=LONG)
        assert version_of(server) == "1"
        back, forth, _ = httpx.get(f"{server.url}/api/admin/history").json()
        assert (forth["version"], forth["reason"]) == (2, "to see whether it serves")
        assert (forth["by"], back["by"], back["action"]) == (
            "not signed in", "not signed in", "rolled back",
        )  # fmt: skip
        before = len(stream.answers)
        until(lambda: len(stream.answers) >= before + 2)
        assert user.strangers == []
    assert len(stream.answers) >= scans
    assert {status for status, _ in stream.answers} == {200}
    served = [version for _, version in stream.answers]
    assert served[0] == served[-1] == "1"
    assert "2" in served


@pytest.mark.long
def test_a_killed_training_is_lost_and_goes_on_from_its_last_epoch(browser, tmp_path):
    var = tmp_path / "var"
    archive = packed(made(tmp_path / "Task98", 12), tmp_path / "task.tar")
    context = browser.new_context()
    overrides = ["epochs=3", "iterations=4", "validation_iterations=1"]
    with running(var) as server:
        user = User(context.new_page(), server.url)
        user.open("/retrain")
        prepare_on_the_page(user, archive, "small")
        asked = {"dataset": "small", "preset": "quick", "overrides": overrides}
        httpx.post(f"{server.url}/api/admin/jobs", json=asked).raise_for_status()

        def epochs():
            return httpx.get(f"{server.url}/api/admin/jobs/1").json()["epochs"]

        first = until(epochs)[0]
        child = next(
            p for p in psutil.process_iter(["cmdline", "environ"])
            if "core.training" in (p.info["cmdline"] or [])
            and (p.info["environ"] or {}).get("HIPPOVIEW_DATA_DIR") == str(var)
        )  # fmt: skip
        os.killpg(child.pid, signal.SIGKILL)
        os.kill(server.pid, signal.SIGKILL)
    with running(var) as server:
        user = User(context.new_page(), server.url)
        user.open("/retrain")
        expect(user.page.get_by_text("Lost.")).to_be_visible(timeout=LONG)
        user.read("Its process ended without a word")
        user.page.get_by_role("button", name="Resume").click()
        expect(user.page.get_by_text("Succeeded.")).to_be_visible(timeout=TRAINING)
        after = httpx.get(f"{server.url}/api/admin/jobs/1").json()
        assert [epoch["epoch"] for epoch in after["epochs"]] == [0, 1, 2]
        assert after["epochs"][0] == first  # not done again
        assert "Resumed after epoch" in httpx.get(f"{server.url}/api/admin/jobs/1/log").text

        weights = next((var / "storage" / "models" / "2").glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes() + b"\0")
        user.go("Models")
        user.page.get_by_role("button", name="Promote version 2").click()
        dialog = user.page.get_by_role("dialog")
        dialog.get_by_label("Why all the same?").fill("it was killed and resumed")
        dialog.get_by_role("button", name="Put version 2 into service").click()
        user.read("is not the one its card was written for")
        assert version_of(server) == "1"
    context.close()


@pytest.mark.long
def test_twenty_blurred_scans_ask_to_act_until_they_are_the_new_normal(
    browser, windows, tmp_path, pictures
):
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="dark")
    with running(tmp_path / "var") as server:
        user = User(context.new_page(), server.url)
        user.open("/drift")
        user.read("Not enough yet", "Learning the baseline", "0 of 50 accepted heads are there")
        for kind, words in (("plain", "Quiet"), ("blurred", "Act")):
            user.open("/")
            user.upload(*sorted(windows[kind].iterdir()))
            expect(user.page.get_by_role("heading", name="20 files")).to_be_visible(
                timeout=TRAINING
            )
            user.open("/drift")
            expect(user.page.get_by_role("heading", name=words)).to_be_visible(timeout=LONG)
            user.settle()
            user.page.screenshot(path=pictures / f"drift-{kind}.png", full_page=True)
        user.read("Sharpness: the scans are blurred", "What to do", "Typical before it")
        user.settle()
        name, report = user.download("Report (.html)")
        assert name == "hippoview-drift.html"
        saved = tmp_path / name
        saved.write_bytes(report)
        offline = browser.new_context(offline=True).new_page()
        offline.goto(saved.as_uri())
        expect(offline.get_by_text("state: act.")).to_be_visible()
        expect(offline.locator("svg").first).to_be_visible()
        offline.context.close()
        user.page.get_by_role("link", name="Open these 10").click()
        user.read("A worklist of 10 cases")
        tabs = [user, User(context.new_page(), server.url)]
        for tab in tabs:
            tab.open("/drift")
            tab.page.get_by_role("button", name="Accept as the new normal").click()
            tab.page.get_by_label("Why are they as they should be?").fill("the scanner is new")
        for tab, words in zip(
            tabs, ("are the new normal", "The normal was changed meanwhile"), strict=True
        ):
            tab.page.get_by_role("button", name="Accept them").click()
            tab.read(words, "Not enough yet", "the scanner is new")
    context.close()


def test_people_sign_in_and_see_their_groups_cases_alone(context, other_context, tmp_path):
    var = tmp_path / "var"
    with running(var, admin_password=PASSWORD) as server:
        cases = Cases(connect(var), LocalStorage(var / "storage"))
        with acting_as(SERVER):
            own, others = (cases.add(analysis(n), f"scan {n}").id for n in (3, 5))
            cases.set_owners(own, ["memory"])
            cases.set_owners(others, ["ward-3"])
        user = User(context.new_page(), server.url)
        user.page.goto(f"{server.url}/people")
        user.page.get_by_label("Name").fill("administrator")
        user.page.get_by_label("Password").fill("a wrong password")
        user.page.get_by_role("button", name="Sign in").click()
        expect(user.page.get_by_role("alert")).to_contain_text("Name or password is wrong")
        user.page.get_by_label("Name").fill("administrator")
        user.page.get_by_label("Password").fill(PASSWORD)
        user.page.get_by_role("button", name="Sign in").click()
        user.open("/people")
        user.page.get_by_label("Name", exact=True).fill("Rita Berg")
        user.page.get_by_label("Groups", exact=True).first.fill("memory")
        user.page.get_by_role("button", name="Add the account").click()
        user.read("Rita Berg was added")
        code = user.page.locator("code").first.inner_text()

        reader = User(other_context.new_page(), server.url)
        reader.page.goto(f"{server.url}/code")
        reader.page.get_by_label("Name").fill("rita berg")
        reader.page.get_by_label("Code").fill(code)
        reader.page.get_by_label("New password").fill("a sentence of her own")
        reader.page.get_by_label("once more").fill("a sentence of her own")
        reader.page.get_by_role("button", name="Choose the password").click()
        reader.open("/cases")
        reader.read("1 case.", "Start reviewing")  # all of the list is drawn
        elsewhere = "It may belong to another group: you see the cases of memory alone"
        reader.search("scan 5", then=elsewhere)
        reader.read(elsewhere)
        expect(reader.page.get_by_test_id("stSidebar")).to_contain_text("Rita Berg, reader")
        expect(reader.page.get_by_role("link", name="Models")).to_have_count(0)
        reader.open("/models")
        reader.read("This page is for administrators")
        reader.open(f"/cases?case={others}")
        reader.read("There is no such case")
