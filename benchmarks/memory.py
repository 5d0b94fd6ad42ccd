"""Resident memory of a real server over two hundred requests.

``python -m benchmarks.memory [REQUESTS]`` starts one on a folder of its own, sends the example
again and again, and prints its memory every twenty requests.
"""

import re
import sys
import tempfile
import urllib.request
from pathlib import Path

import httpx

from core.image.example import example_file
from tests.server import running


def resident_mib(url: str) -> float:
    """What the server's own metrics say."""
    with urllib.request.urlopen(f"{url}/api/metrics") as answer:  # noqa: S310
        text = answer.read().decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    return float(found.group(1)) / 2**20 if found else float("nan")


def main() -> None:
    """Print the table."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    scan = example_file()
    print(f"{'requests':>8} {'resident (MiB)':>15}")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        print(f"{0:8} {resident_mib(server.url):15.0f}")
        for number in range(1, requests + 1):
            answer = httpx.post(
                f"{server.url}/api/predict", files={"image": ("a.nii", scan)}, timeout=120
            )
            answer.raise_for_status()
            if number % 20 == 0:
                print(f"{number:8} {resident_mib(server.url):15.0f}", flush=True)


if __name__ == "__main__":
    main()
