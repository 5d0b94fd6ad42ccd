"""Many clients of one server: throughput, latency, refusals, memory; then ten minutes at 80 %.

``python -m benchmarks.load FOLDER [SECONDS [STEADY_SECONDS]]`` takes twenty scans of a folder.
Each answer is compared with the mask that the same scan got at first.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.memory import resident_mib
from benchmarks.rounds import write
from tests.server import Server, running

_CLIENTS = (1, 2, 4, 8, 16)
_CASES = 20
_TIMES = ("per_second", "p50_s", "p95_s", "p99_s")
_COUNTS = ("answered", "refused", "wrong", "memory_mib")


@dataclass
class Tally:
    """What the clients saw."""

    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    wrong: int = 0
    failed: int = 0


def send(
    client: httpx.Client, scan: bytes, expected: bytes | None, tally: Tally
) -> tuple[bytes, float]:
    """One request; the mask, and how long the server asks to stay away."""
    start = time.perf_counter()
    answer = client.post("/predict", files={"image": scan})
    if answer.status_code == 503:
        tally.refused += 1
        return b"", float(answer.headers["retry-after"])
    if answer.status_code != 200:
        tally.failed += 1
        return b"", 0.0
    tally.latencies_s.append(time.perf_counter() - start)
    if expected is not None and answer.content != expected:
        tally.wrong += 1
    return answer.content, 0.0


def closed(
    server: Server, known: list[tuple[bytes, bytes]], clients: int, seconds: float
) -> tuple[Tally, float]:
    """So many clients, each sending the next scan as soon as it has its answer; and how long.

    The last answers come after ``seconds``: with many clients a good part of all.
    """
    tally, start = Tally(), time.monotonic()
    end = start + seconds

    def work(seed: int) -> None:
        chosen = random.Random(seed)  # noqa: S311 - which scan is no secret
        with httpx.Client(base_url=f"{server.url}/api", timeout=300) as client:
            while time.monotonic() < end:
                _, pause_s = send(client, *chosen.choice(known), tally)
                time.sleep(pause_s)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally, time.monotonic() - start


def steady(server: Server, known: list[tuple[bytes, bytes]], rate: float, seconds: float) -> Tally:
    """Scans at a fixed rate, whether or not the last one has been answered."""
    tally, threads = Tally(), []
    start = time.monotonic()
    with httpx.Client(base_url=f"{server.url}/api", timeout=300) as client:
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            chosen = known[number % len(known)]
            threads.append(threading.Thread(target=send, args=(client, *chosen, tally)))
            threads[-1].start()
            if number % max(1, int(rate * 60)) == 0:
                minute = (time.monotonic() - start) / 60
                print(f"  minute {minute:4.1f}: {resident_mib(server.url):6.0f} MiB, "
                      f"{len(tally.latencies_s)} answered", flush=True)  # fmt: skip
        for thread in threads:
            thread.join()
    return tally


def summary(tally: Tally, seconds: float, server: Server) -> dict[str, Any]:
    """The figures of a tally."""
    cut = statistics.quantiles(tally.latencies_s, n=100)
    return {
        "per_second": len(tally.latencies_s) / seconds,
        "p50_s": cut[49], "p95_s": cut[94], "p99_s": cut[98],
        "answered": len(tally.latencies_s), "refused": tally.refused,
        "wrong": tally.wrong, "failed": tally.failed,
        "memory_mib": resident_mib(server.url),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    steady_s = float(sys.argv[3]) if len(sys.argv) > 3 else 600.0
    paths = sorted(Path(sys.argv[1]).glob("[!.]*.nii.gz"))
    paths = paths[:: max(1, len(paths) // _CASES)][:_CASES]
    head = "".join(f"{h:>10}" for h in ("scans/s", "p50 (s)", "p95 (s)", "p99 (s)", "answered",
                                        "refused", "wrong", "MiB"))  # fmt: skip
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
        with httpx.Client(base_url=f"{server.url}/api", timeout=300) as client:
            scans = [path.read_bytes() for path in paths]
            known = [(scan, send(client, scan, None, Tally())[0]) for scan in scans]
        print(f"{'clients':>8}{head}")
        for clients in _CLIENTS:
            found = summary(*closed(server, known, clients, seconds), server)
            figures[str(clients)] = found
            times = "".join(f"{found[k]:10.3f}" for k in _TIMES)
            counts = "".join(f"{found[k]:10.0f}" for k in _COUNTS)
            print(f"{clients:8}{times}{counts}", flush=True)
        rate = 0.8 * max(row["per_second"] for row in figures.values())
        print(f"{steady_s:.0f} s at {rate:.2f} scans a second, 80 % of the most")
        figures["steady"] = summary(steady(server, known, rate, steady_s), steady_s, server)
        print(figures["steady"])
    write("load", figures)


if __name__ == "__main__":
    main()
