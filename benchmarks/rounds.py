"""Several sides measured in turn, round by round, in one run: a table, ratios and JSON."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cpus import usable_cpus

OUT = Path("artifacts/benchmarks")
Times = dict[str, list[float]]


def alternate(sides: dict[str, Callable[[], int]], rounds: int) -> Times:
    """Seconds of one unit of work of each side, round by round.

    Parameters
    ----------
    sides
        Each does its work once and returns how many units that was.
    """
    for work in sides.values():
        work()  # not counted
    times: Times = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            start = time.perf_counter()
            units = work()
            times[name].append((time.perf_counter() - start) / units)
    return times


def table(title: str, times: Times, against: str) -> dict[str, Any]:
    """Print medians, ranges and how many times faster than one of the sides; return them."""
    print(f"\n{title}\n{'':44}{'median (s)':>11}{'range':>20}{'times faster':>14}")
    base = statistics.median(times[against])
    rows = {}
    for name, own in times.items():
        median = statistics.median(own)
        pairs = [b / o for b, o in zip(times[against], own, strict=True)]
        rows[name] = {"median_s": median, "min_s": min(own), "max_s": max(own),
                      "ratio": base / median, "ratio_min": min(pairs), "ratio_max": max(pairs),
                      "rounds": len(own)}  # fmt: skip
        span = f"{min(own):.3f} to {max(own):.3f}"
        print(f"{name:44}{median:11.3f}{span:>20}{base / median:14.1f}", flush=True)
    return rows


def machine() -> dict[str, Any]:
    """The machine in words."""
    model = platform.processor()
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
        flags = next((x for x in lines if x.startswith("flags")), "")
    known = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16")
    return {
        "cpu": model,
        "cores": usable_cpus(),
        "has": [name for name in known if name in flags.split()],
        "python": platform.python_version(),
    }


def write(name: str, content: dict[str, Any]) -> None:
    """Write the figures as JSON."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1))
    print(f"\n{machine()}\nWritten to {path}")
