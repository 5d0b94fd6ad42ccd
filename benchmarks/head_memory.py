"""Resident memory of a real server while six pages segment heads at once.

``python -m benchmarks.head_memory FOLDER [ROUNDS] [--root ROOT]``: six pages of one Chromium are
given three heads of FOLDER (``.nii.gz``) each, eighteen a round, as one batch a page; then each
opens its result and fetches what the viewer shows, the scan and the mask. The browser draws with
WebGL off, so that the server draws the slices as well. ROOT is another checkout to compare with.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.rounds import write
from benchmarks.start import memory_mib
from core.settings import ROOT
from tests.browser.conftest import _FLAGS, browser_path
from tests.browser.user import User
from tests.server import running

_PAGES, _EACH = 6, 3
_REST_S = 5
_WAIT_MS = 900_000


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path)
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    parser.add_argument("--root", type=Path, default=ROOT)
    options = parser.parse_args()
    heads = itertools.cycle(sorted(options.heads.glob("*.nii.gz")))
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), root=options.root) as server,
        sync_playwright() as playwright,
    ):

        def tell(count: int) -> None:
            row = {
                "heads": count,
                "resident_mib": memory_mib(server.url, "process_resident_memory_bytes"),
                "peak_mib": memory_mib(server.url, "hippoview_peak_memory_bytes"),
            }
            rows.append(row)
            print(f"{row['heads']:6}{row['resident_mib']:16.0f}{row['peak_mib']:12.0f}", flush=True)

        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=[*_FLAGS, "--disable-3d-apis"]
        )
        users = [User(browser.new_context().new_page(), server.url) for _ in range(_PAGES)]
        for user in users:
            user.page.set_default_timeout(_WAIT_MS)
            user.open()
        print(f"{'heads':>6}{'resident (MiB)':>16}{'peak (MiB)':>12}")
        tell(0)
        for number in range(1, options.rounds + 1):
            for user in users:
                user.upload(*(next(heads) for _ in range(_EACH)))
            for user in users:
                files = user.page.get_by_role("heading", name=f"{_EACH * number} files")
                files.wait_for(timeout=_WAIT_MS)
                user.settle()
                picture = user.page.locator(".viewer img[src]")
                picture.wait_for()
                link = str(picture.get_attribute("src")).partition("/slices/")[0]
                for name in ("scan", "masks/0"):
                    answer = user.page.request.get(f"{server.url}{link.removeprefix(server.url)}"
                                                   f"/{name}.nii.gz")  # fmt: skip
                    if not answer.ok:
                        raise RuntimeError(f"{name}: {answer.status}")
            time.sleep(_REST_S)  # what a server gives back it gives back when idle
            tell(_PAGES * _EACH * number)
        browser.close()
    write("head_memory", {"root": str(options.root), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
