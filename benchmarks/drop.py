"""From the drop of a file to its picture in Chromium, drawn in software: parts, side by side.

``python -m benchmarks.drop SCAN [ROUNDS] [--against ROOT]``: each checkout has a server and a page
of its own, and the scan is dropped on each in turn; the first drop on each is not counted. A
checkout needs its built viewer. Moments are seconds after the drop, in the page's own clock, shares
are of the whole. Where the machine has other work, the seconds of the processor say more: of the
server, of the browser's page and of its drawing.
"""

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, sync_playwright

from benchmarks.rounds import write
from core.settings import ROOT
from tests.browser.conftest import _FLAGS, browser_path
from tests.browser.user import User
from tests.server import Server, running

_SIZE = {"width": 1280, "height": 900}
_QUIET_MS = 1500
# Looks every few milliseconds for the band (older pages have none) and the viewer of a case that
# was not there before.
_WATCH = """() => {
  performance.clearResourceTimings()
  performance.setResourceTimingBufferSize(2000)
  const viewer = () => {
    for (const host of document.querySelectorAll("*")) {
      const found = (host.shadowRoot ?? host).querySelector?.(".viewer")
      if (found && host.shadowRoot) return found
    }
    return document.querySelector(".viewer")
  }
  const bandOf = () => document.querySelector(".hv-band")?.textContent.match(/HV-\\w{6}/)?.[0]
  const old = bandOf()
  const oldCase = viewer()?.dataset.case
  let shown = null
  window.marks = { dropped: performance.now() }
  const timer = setInterval(() => {
    const { marks } = window
    if (!marks.band && bandOf() && bandOf() !== old) marks.band = performance.now()
    shown = shown?.isConnected ? shown : viewer()
    if (shown?.dataset.state !== "ready" || shown.dataset.case === oldCase) return
    if (bandOf() && shown.dataset.case !== bandOf()) return
    marks.picture = performance.now()
    marks.case = shown.dataset.case
    clearInterval(timer)
    marks.done = true
  }, 10)
}"""
_FETCHED = """() => performance.getEntriesByType("resource").map(
  ({ name, startTime, responseEnd }) => [name, startTime, responseEnd])"""


class Side:
    """A checkout's server with a page open on it."""

    def __init__(self, server: Server, browser: Browser) -> None:
        self.server = server
        # Playwright's own waiting is an eval, which the pages' policy refuses.
        self.page = browser.new_context(
            viewport=_SIZE, reduced_motion="reduce", bypass_csp=True
        ).new_page()
        self.user = User(self.page, server.url)
        self.user.open()

    def drop(self, scan: Path) -> dict[str, float]:
        """Moments of one drop, seconds after it."""
        page = self.page
        before = self._processor_s()
        page.evaluate(_WATCH)
        self.user.upload(scan)
        page.wait_for_function("window.marks.done", polling=20)
        spent = self._processor_s()
        marks = page.evaluate("window.marks")
        fetched = page.evaluate(_FETCHED)
        begun = marks["dropped"]
        moments = {name: marks[name] - begun for name in ("band", "picture") if name in marks}
        for what, words in {"upload": "/upload_file/", "about": "/about/", "scan": "/scan.nii.gz",
                            "mask": "/masks/"}.items():  # fmt: skip
            times = [(start, end) for name, start, end in fetched if words in name]
            if times:
                moments[f"{what} asked for"] = min(start for start, _ in times) - begun
                moments[f"{what} there"] = max(end for _, end in times) - begun
        record = next(self.server.data_dir.rglob(f"{marks['case']}/record.json"))
        report = json.loads(record.read_text())["report"]
        report = json.loads(report) if isinstance(report, str) else report
        found = {name: ms / 1000 for name, ms in moments.items()}
        found["segmented (length)"] = report["timings_s"]["total"]
        found |= {f"processor: {who}": spent[who] - before[who] for who in spent}
        self.user.settle()
        page.wait_for_timeout(_QUIET_MS)
        return found

    def _processor_s(self) -> dict[str, float]:
        """Seconds of the processor until now, by who has used them."""
        spent = {"server": _seconds(psutil.Process(self.server.pid)), "page": 0.0, "drawing": 0.0}
        for process in psutil.Process().children(recursive=True):
            words = " ".join(process.cmdline())
            for kind, who in {"renderer": "page", "gpu-process": "drawing"}.items():
                if f"--type={kind}" in words:
                    spent[who] += _seconds(process)
        return spent


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("rounds", type=int, nargs="?", default=5)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    roots = [ROOT, *([options.against.resolve()] if options.against else [])]
    found: dict[Path, list[dict[str, float]]] = {root: [] for root in roots}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=browser_path(), args=_FLAGS)
        stack.callback(browser.close)
        sides = {
            root: Side(stack.enter_context(running(folder / str(n), root=root)), browser)
            for n, root in enumerate(roots)
        }
        for _ in range(options.rounds + 1):
            for root, side in sides.items():
                found[root].append(side.drop(options.scan))
    figures = {str(root): _table(root, rows[1:]) for root, rows in found.items()}
    if options.against:
        ours, theirs = (figures[str(root)]["picture"]["median_s"] for root in roots)
        print(f"\nDrop to picture: {ours / theirs:.2f} of {roots[1]}'s")
    write("drop", figures)
    return 0


def _table(root: Path, rows: list[dict[str, float]]) -> dict[str, Any]:
    names = sorted(rows[0], key=lambda name: statistics.median(row[name] for row in rows))
    whole = statistics.median(row["picture"] for row in rows)
    print(f"\n{root}\n{'':24}{'median (s)':>11}{'range':>18}{'share':>8}")
    figures = {}
    for name in names:
        times = [row[name] for row in rows]
        median = statistics.median(times)
        span = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:24}{median:11.2f}{span:>18}{median / whole:8.0%}")
        figures[name] = {"median_s": median, "min_s": min(times), "max_s": max(times)}
    return figures


if __name__ == "__main__":
    sys.exit(main())
