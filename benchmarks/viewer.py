"""The viewer in Chromium, drawn in software, beside niivue-streamlit: bytes, times and memory.

``python -m benchmarks.viewer [SCAN]``, by default the example crop. The peer is installed for it:
``uv pip install niivue-streamlit==0.3.0``.
"""

import gzip
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from benchmarks.rounds import write
from core.image.example import example_file
from tests.browser.conftest import _FLAGS, browser_path
from tests.browser.user import User
from tests.server import free_port, running
from tests.waiting import until

_TIMES, _CHANGES, _WHEELS, _CASES = 5, 10, 60, 20
_SIZE = {"width": 1280, "height": 900}
_QUIET_MS = 1500
_WHEEL = """async (canvas, count) => {
  const gl = canvas.getContext("webgl2");
  const box = canvas.getBoundingClientRect();
  const times = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    canvas.dispatchEvent(new WheelEvent("wheel", {
      deltaY: i % 20 < 10 ? 100 : -100, bubbles: true, cancelable: true,
      clientX: box.x + box.width / 4, clientY: box.y + box.height / 4 }));
    await new Promise(requestAnimationFrame);
    gl.finish();
    times.push(performance.now() - start);
  }
  return times;
}"""


def watched(page: Page) -> list[int]:
    """Sizes of all that goes over the page's sockets from now on."""
    sizes: list[int] = []

    def watch(socket: Any) -> None:
        socket.on("framesent", lambda frame: sizes.append(len(frame)))
        socket.on("framereceived", lambda frame: sizes.append(len(frame)))

    page.on("websocket", watch)
    return sizes


def ours(browser: Browser, folder: Path, scan: Path) -> dict[str, Any]:
    """Of HippoView: from the upload and from the result to the picture, bytes, wheel."""
    with running(folder) as server:
        page = browser.new_context(viewport=_SIZE).new_page()
        sizes = watched(page)
        user = User(page, server.url)
        user.open()
        shown = [_shown(user, scan) for _ in range(_TIMES)]
        user.pixels()
        sizes.clear()
        opacity = user.viewer.get_by_role("slider", name="Opacity")
        for i in range(_CHANGES):
            opacity.press("ArrowRight" if i % 2 else "ArrowLeft")
        page.wait_for_timeout(_QUIET_MS)
        found = {
            "upload_to_picture_s": [from_upload for from_upload, _ in shown],
            "result_to_picture_s": [from_result for _, from_result in shown],
            "ten_changes_bytes": sum(sizes),
            "wheel_all_planes_ms": _wheel(user.canvas),
        }
        user.choose("Coronal")
        user.pixels()
        found["wheel_one_plane_ms"] = _wheel(user.canvas)
        page.context.close()
    return found


def peers(browser: Browser, scan: Path, mask: Path) -> dict[str, Any]:
    """Of niivue-streamlit: from the press of a button to the picture, bytes, wheel."""
    with _peer(scan, mask) as url:
        page = browser.new_context(viewport=_SIZE).new_page()
        sizes = watched(page)
        page.goto(url)
        show = page.get_by_role("button", name="Show")
        canvas = page.frame_locator("iframe").locator("canvas").first
        times = []
        for _ in range(_TIMES):
            before = page.locator("iframe").element_handles()
            began = time.perf_counter()
            show.click()
            for old in before:
                old.wait_for_element_state("hidden")
            _wait_for_picture(page, canvas)
            times.append(time.perf_counter() - began)
        page.wait_for_timeout(_QUIET_MS)
        sizes.clear()
        opacity = page.get_by_role("slider", name="Opacity")
        for i in range(_CHANGES):
            before_it = len(sizes)
            opacity.press("ArrowRight" if i % 2 else "ArrowLeft")
            until(lambda known=before_it: page.wait_for_timeout(100) or len(sizes) > known)
            page.wait_for_timeout(_QUIET_MS)
        found = {
            "result_to_picture_s": times,
            "ten_changes_bytes": sum(sizes),
            "wheel_all_planes_ms": _wheel(canvas),
        }
        page.context.close()
    return found


@contextmanager
def _peer(scan: Path, mask: Path) -> Iterator[str]:
    port = free_port()
    script = Path(__file__).with_name("peer_page.py")
    options = ["--server.port", str(port), "--server.headless", "true",
               "--browser.gatherUsageStats", "false"]  # fmt: skip
    command = [sys.executable, "-m", "streamlit", "run", script, *options, "--", scan, mask]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/_stcore/health").is_success
        except httpx.TransportError:
            return False

    try:
        until(answers, 60)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for_picture(page: Page, canvas: Locator) -> None:
    def seen() -> bool:
        picture = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("L"))
        return bool(picture.std() > 15)

    until(seen, 120, 0.05)


def _shown(user: User, scan: Path) -> tuple[float, float]:
    """Segment a scan once more; seconds from the upload, and from the viewer's start, to slices."""
    states = user.page.locator(".viewer")
    before = states.get_attribute("data-case") if states.count() else None
    began = time.perf_counter()
    user.upload(scan)
    fresh = f':not([data-case="{before}"])' if before else ""
    user.page.locator(f'.viewer[data-state="ready"]{fresh}').wait_for()
    from_upload = time.perf_counter() - began
    user.settle()
    user.page.wait_for_timeout(_QUIET_MS)
    return from_upload, int(user.viewer.get_attribute("data-load-ms") or 0) / 1000


def _wheel(canvas: Locator) -> dict[str, float]:
    times = canvas.evaluate(_WHEEL, _WHEELS)
    return {"median": statistics.median(times), "p95": float(np.percentile(times, 95))}


def memory(browser: Browser, folder: Path, scan: Path) -> dict[str, Any]:
    """MiB of the page after its first, its middle and its last case."""
    with running(folder) as server:
        page = browser.new_context(viewport=_SIZE).new_page()
        user = User(page, server.url)
        user.open()
        session = page.context.new_cdp_session(page)
        found = []
        for _ in range(_CASES):
            _shown(user, scan)
            session.send("HeapProfiler.collectGarbage")
            heap = page.evaluate("performance.memory.usedJSHeapSize")
            found.append((heap / 2**20, _resident_mib()))
        page.context.close()
    chosen = [found[0], found[_CASES // 2], found[-1]]
    return {"heap_mib": [heap for heap, _ in chosen], "renderers_mib": [mib for _, mib in chosen]}


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
        folder = Path(name)
        scan = Path(sys.argv[1]) if sys.argv[1:] else folder / "example.nii.gz"
        if not sys.argv[1:]:
            scan.write_bytes(gzip.compress(example_file()))
        mask = folder / "mask.nii.gz"
        with running(folder / "api") as server:
            asked = []
            for _ in range(_TIMES):
                began = time.perf_counter()
                answer = httpx.post(
                    f"{server.url}/api/predict", files={"image": scan.read_bytes()}, timeout=120
                )
                asked.append(time.perf_counter() - began)
            mask.write_bytes(answer.raise_for_status().content)
        path = browser_path()
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        figures = {
            "api": {"file_to_mask_s": asked},
            "ours": ours(browser, folder / "var", scan),
            "niivue-streamlit": peers(browser, scan, mask),
            "memory": memory(browser, folder / "memory", scan),
        }
        browser.close()
    for whose, found in figures.items():
        print(whose)
        for what, value in found.items():
            print(f"  {what:24}{value}")
    write("viewer", figures)


if __name__ == "__main__":
    main()
