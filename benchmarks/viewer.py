"""The viewer in Chromium, drawn in software, on the example: bytes, times and memory.

``python -m benchmarks.viewer [HEAD]``; with HEAD, a whole head instead of the example.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Browser, sync_playwright

from benchmarks.rounds import write
from tests.browser.conftest import _FLAGS
from tests.browser.user import User
from tests.server import running

_CHANGES, _WHEELS, _CASES = 10, 60, 20
_WHEEL = """async (canvas, count) => {
  const gl = canvas.getContext("webgl2");
  const box = canvas.getBoundingClientRect();
  const times = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    canvas.dispatchEvent(new WheelEvent("wheel", {
      deltaY: i % 20 < 10 ? 100 : -100, bubbles: true, cancelable: true,
      clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 }));
    await new Promise(requestAnimationFrame);
    gl.finish();
    times.push(performance.now() - start);
  }
  return times;
}"""


def watched(page: Any) -> list[int]:
    """Sizes of all that goes over the page's sockets from now on."""
    sizes: list[int] = []

    def watch(socket: Any) -> None:
        socket.on("framesent", lambda frame: sizes.append(len(frame)))
        socket.on("framereceived", lambda frame: sizes.append(len(frame)))

    page.on("websocket", watch)
    return sizes


def ours(browser: Browser, folder: Path) -> dict[str, Any]:
    """Bytes, times and memory of HippoView's viewer."""
    with running(folder) as server:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        sizes = watched(page)
        user = User(page, server.url)
        user.open()
        to_picture = [next_case(user) for _ in range(7)]
        user.choose("Coronal")
        user.pixels()
        sizes.clear()
        for i in range(_CHANGES):
            opacity = user.viewer.get_by_role("slider", name="Opacity")
            opacity.press("ArrowRight" if i % 2 else "ArrowLeft")
        page.wait_for_timeout(1000)
        changes = sum(sizes)
        wheels = user.canvas.evaluate(_WHEEL, _WHEELS)
        memory = []
        session = page.context.new_cdp_session(page)
        for _ in range(_CASES):
            next_case(user)
            session.send("HeapProfiler.collectGarbage")
            heap = page.evaluate("performance.memory.usedJSHeapSize")
            memory.append((heap / 2**20, _resident_mib()))
        page.context.close()
    return {
        "result_to_picture_s": statistics.median(to_picture),
        "ten_changes_bytes": changes,
        "wheel_ms": statistics.median(wheels),
        "wheel_p95_ms": float(np.percentile(wheels, 95)),
        "heap_mib": [memory[0][0], memory[_CASES // 2][0], memory[-1][0]],
        "renderers_mib": [memory[0][1], memory[_CASES // 2][1], memory[-1][1]],
    }


def of_a_head(browser: Browser, folder: Path, path: Path) -> dict[str, Any]:
    """From upload to picture, five times, and what the controls cost on a whole head."""
    with running(folder) as server:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        sizes = watched(page)
        user = User(page, server.url)
        user.open()
        to_picture, from_upload = [], []
        for _ in range(5):
            states = page.locator(".viewer")
            before = states.get_attribute("data-case") if states.count() else None
            fresh = f':not([data-case="{before}"])' if before else ""
            began = time.perf_counter()
            user.upload(path)
            page.locator(f'.viewer[data-state="ready"]{fresh}').wait_for()
            from_upload.append(time.perf_counter() - began)
            user.settle()
            to_picture.append(int(user.viewer.get_attribute("data-load-ms") or 0) / 1000)
        user.choose("Coronal")
        user.pixels()
        sizes.clear()
        for i in range(_CHANGES):
            opacity = user.viewer.get_by_role("slider", name="Opacity")
            opacity.press("ArrowRight" if i % 2 else "ArrowLeft")
        page.wait_for_timeout(1000)
        changes = sum(sizes)
        wheels = user.canvas.evaluate(_WHEEL, _WHEELS)
        page.context.close()
    return {
        "head_upload_to_picture_s": statistics.median(from_upload),
        "head_result_to_picture_s": statistics.median(to_picture),
        "head_ten_changes_bytes": changes,
        "head_wheel_ms": statistics.median(wheels),
        "head_wheel_p95_ms": float(np.percentile(wheels, 95)),
    }


def next_case(user: User) -> float:
    """Segment the example once more; seconds from the result on the page to its slices."""
    states = user.page.locator(".viewer")
    before = states.get_attribute("data-case") if states.count() else None
    user.page.get_by_role("button", name="Try an example").click()
    fresh = f':not([data-case="{before}"])' if before else ""
    user.page.locator(f'.viewer[data-state="ready"]{fresh}').wait_for()
    user.settle()
    return int(user.viewer.get_attribute("data-load-ms") or 0) / 1000


def _resident_mib() -> float:
    """Of Chromium's processes that draw pages."""
    total = 0
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        if "--type=renderer" in (process.info["cmdline"] or []):
            total += process.info["memory_info"].rss
    return total / 2**20


def main() -> None:
    """Print the figures."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        if sys.argv[1:]:
            figures = of_a_head(browser, Path(name) / "var", Path(sys.argv[1]))
        else:
            figures = ours(browser, Path(name) / "var")
        browser.close()
    for what, value in figures.items():
        print(f"{what:24}{value}")
    write("viewer", figures)


if __name__ == "__main__":
    main()
