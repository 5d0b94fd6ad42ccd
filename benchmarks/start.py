"""From ``python -m app`` to ready, the first scan against the tenth, and memory.

``python -m benchmarks.start [--serve PYTHON] [ROUNDS]``: OpenVINO and PyTorch in turn, and with
``--serve`` an installation of ``requirements-serve.txt`` as well (the path of its Python).
"""

import re
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx

from benchmarks.rounds import write
from core.image.example import example_file
from core.settings import ROOT
from tests.server import running

_SCANS = 20


def memory_mib(url: str, name: str) -> float:
    """One of the server's own gauges of memory."""
    with urllib.request.urlopen(f"{url}/api/metrics") as answer:  # noqa: S310
        text = answer.read().decode()
    found = re.search(rf"^{name} (\S+)", text, re.MULTILINE)
    return float(found.group(1)) / 2**20 if found else float("nan")


def once(python: str, root: Path, **settings: str) -> dict[str, float]:
    """One start."""
    scan = example_file()
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), python=python, root=root, **settings) as server,
    ):
        ready = time.perf_counter() - start
        rest = memory_mib(server.url, "process_resident_memory_bytes")
        seconds = []
        with httpx.Client(base_url=f"{server.url}/api", timeout=120) as client:
            for _ in range(_SCANS):
                begun = time.perf_counter()
                client.post("/predict", files={"image": scan}).raise_for_status()
                seconds.append(time.perf_counter() - begun)
        return {
            "ready_s": ready,
            "first_s": seconds[0],
            "tenth_s": seconds[9],
            "rest_mib": rest,
            "peak_mib": memory_mib(server.url, "hippoview_peak_memory_bytes"),
        }


def main() -> None:
    """Print the table."""
    arguments = sys.argv[1:]
    sides: dict[str, tuple[str, Path, dict[str, str]]] = {
        "OpenVINO": (sys.executable, ROOT, {}),
        "PyTorch": (sys.executable, ROOT, {"backend": "torch-cpu"}),
    }
    if arguments[:1] == ["--serve"]:
        python = Path(arguments[1]).absolute()
        sides["serving install"] = (str(python), python.parents[2], {})
        arguments = arguments[2:]
    rounds = int(arguments[0]) if arguments else 7
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (python_path, root, settings) in sides.items():
            rows[name].append(once(python_path, root, **settings))
    figures: dict[str, Any] = {}
    for name, found in rows.items():
        figures[name] = {}
        print(name)
        for key in found[0]:
            values = sorted(row[key] for row in found)
            median = values[len(values) // 2]
            figures[name][key] = {"median": median, "min": values[0], "max": values[-1]}
            print(f"  {key:10}{median:10.2f}   {values[0]:.2f} to {values[-1]:.2f}")
    write("start", figures)


if __name__ == "__main__":
    main()
