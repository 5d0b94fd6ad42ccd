"""``python -m benchmarks.worklist``: fifty cases in the list, in Chromium drawn in software."""

import io
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.rounds import write
from core.cases.store import Cases
from core.image.example import example_file
from core.models.folder import opened
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.browser.conftest import _FLAGS, browser_path
from tests.browser.user import User
from tests.server import running

_CASES, _TIMES = 50, 10


def fill(data_dir: Path) -> None:
    """Fifty cases of the example in a data folder."""
    data_dir.mkdir()
    predictors = Predictors(lambda: opened(Settings().model_dir), InferenceOptions(), 1)
    cases = Cases(connect(data_dir), LocalStorage(data_dir / "storage"))
    for number in range(_CASES):
        analysis = analyse(io.BytesIO(example_file()), predictors.on("auto"), data_dir)
        cases.add(analysis, f"Case {number}")
    predictors.close()


def main() -> None:
    """Print the figures."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        fill(data_dir := Path(name) / "var")
        browser = playwright.chromium.launch(executable_path=browser_path(), args=_FLAGS)
        with running(data_dir) as server:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            user = User(page, server.url)
            user.open()
            opens, filters, following = [], [], []
            for _ in range(_TIMES):
                user.go("Segment")
                began = time.perf_counter()
                user.go("Cases")
                user.read(f"0 of {_CASES} reviewed")
                opens.append(time.perf_counter() - began)
                for kind, words in (("New", f"{_CASES} cases"), ("All", f"{_CASES} cases")):
                    began = time.perf_counter()
                    user.choose(kind)
                    user.read(words)
                    filters.append(time.perf_counter() - began)
            user.press_until("j", user.viewer)
            for _ in range(_TIMES):
                before = user.viewer.get_attribute("data-case")
                user.settle()
                began = time.perf_counter()
                page.get_by_role("button", name="Next case").first.click()
                page.locator(f'.viewer[data-state="ready"]:not([data-case="{before}"])').wait_for()
                following.append(time.perf_counter() - began)
        browser.close()
    figures = {
        "list_s": statistics.median(opens),
        "filter_s": statistics.median(filters),
        "next_case_to_picture_s": statistics.median(following),
    }
    for what, value in figures.items():
        print(f"{what:24}{value:.2f}")
    write("worklist", figures)


if __name__ == "__main__":
    main()
