"""Whether people wait longer while a training runs: latencies in turns of one run, as root.

``python -m benchmarks.beside_training [SECONDS [ROUNDS [CLIENTS]]]``: crops, each sent as soon as
the last one is answered, while a real training of the preset ``quick`` stands still (without), runs
as it started itself (as it is), and is held back in other ways. Each way has a turn of so many
seconds in each round. Other ways need root, which alone may give priority back.
"""

import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.rounds import write
from core.state.storage import LocalStorage
from core.training.data.prepare import prepare
from tests.datasets import made
from tests.scans import as_bytes, example
from tests.server import Server, running
from tests.waiting import until

_WITHOUT, _AS_IT_IS = "without", "as it is"
_CASES = 12
_NICEST = 19


def _each_thread(process: psutil.Process, change: Callable[[int], None]) -> None:
    for thread in process.threads():
        with suppress(ProcessLookupError):  # it has ended since
            change(thread.id)


def _nice(more: int) -> Callable[[int], None]:
    """So much more niceness than the server has, which has that of this process."""
    value = os.getpriority(os.PRIO_PROCESS, 0) + more
    return lambda thread: os.setpriority(os.PRIO_PROCESS, thread, min(value, _NICEST))


def _policy(policy: int) -> Callable[[int], None]:
    return lambda thread: os.sched_setscheduler(thread, policy, os.sched_param(0))


def _one_cpu(thread: int) -> None:
    os.sched_setaffinity(thread, {max(os.sched_getaffinity(0))})


# How a training can be held back from outside, a thread at a time.
_WAYS: dict[str, Callable[[int], None]] = {
    "nice +0": _nice(0),
    "nice +5": _nice(5),
    "nice +10": _nice(10),
    "nice +19": _nice(19),
    "SCHED_BATCH": _policy(os.SCHED_BATCH),
    "SCHED_IDLE": _policy(os.SCHED_IDLE),
    "one processor": _one_cpu,
}


@contextmanager
def held_back(process: psutil.Process, way: str) -> Iterator[None]:
    """Let a training run in a way for as long as the block lasts; else it stands still."""
    usual = process.nice()

    def as_it_was(thread: int) -> None:
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(thread, os.sched_getaffinity(0))
        os.setpriority(os.PRIO_PROCESS, thread, usual)

    if way in _WAYS:
        _each_thread(process, _WAYS[way])
    if way != _WITHOUT:
        process.send_signal(signal.SIGCONT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGSTOP)
        if way in _WAYS:
            _each_thread(process, as_it_was)


def block(url: str, scan: bytes, seconds: float, clients: int) -> list[float]:
    """Latencies (s) of scans sent for so long by so many; a failure ends the run."""
    latencies, end = list[float](), time.monotonic() + seconds

    def work() -> None:
        with httpx.Client(base_url=f"{url}/api", timeout=300) as client:
            while time.monotonic() < end:
                start = time.perf_counter()
                client.post("/predict", files={"image": scan}).raise_for_status()
                latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def begun(server: Server) -> psutil.Process:
    """A training that is past its preparations, standing still."""
    api = f"{server.url}/api/admin/jobs"
    asked = {"dataset": "made", "preset": "quick", "overrides": ["epochs=1000"]}
    number = httpx.post(api, json=asked, timeout=60).raise_for_status().json()["id"]
    until(lambda: httpx.get(f"{api}/{number}").json()["phase"].startswith("Training"), 900)
    (process,) = (
        child for child in psutil.Process(server.pid).children()
        if "core.training" in child.cmdline()
    )  # fmt: skip
    time.sleep(20)  # its first iterations compile and allocate
    process.send_signal(signal.SIGSTOP)
    return process


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    clients = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    ways = (_WITHOUT, _AS_IT_IS, *(_WAYS if os.geteuid() == 0 else ()))
    taken: dict[str, list[float]] = {way: [] for way in ways}
    worked: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(made(folder / "source", _CASES), LocalStorage(folder / "var/storage"), "made")
        with running(folder / "var") as server:
            training = begun(server)
            scan = as_bytes(example())
            block(server.url, scan, 5, clients)
            try:
                for turn in range(rounds):
                    for way in (ways, ways[::-1])[turn % 2]:
                        with held_back(training, way):
                            before = training.cpu_times()
                            taken[way] += block(server.url, scan, seconds, clients)
                            after = training.cpu_times()
                        worked[way].append(
                            (after.user + after.system - before.user - before.system) / seconds
                        )
                    print(f"  round {turn + 1} of {rounds}", flush=True)
            finally:
                training.kill()
    figures = table(taken, worked)
    write("beside_training", {"clients": clients, "ways": figures})


def table(
    taken: dict[str, list[float]], worked: dict[str, list[float]]
) -> dict[str, dict[str, Any]]:
    """Print each way's figures, the latencies also as times those without a training."""
    print(f"\n{'training':16}{'requests':>9}{'p50 (s)':>9}{'times':>7}{'p95 (s)':>9}{'times':>7}"
          f"{'CPUs of the training':>22}")  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    for way, latencies in taken.items():
        cut = statistics.quantiles(latencies, n=20)
        rows[way] = row = {"requests": len(latencies), "p50_s": cut[9], "p95_s": cut[18],
                           "cpus": statistics.mean(worked[way])}  # fmt: skip
        base = rows[_WITHOUT]
        print(f"{way:16}{row['requests']:9}{row['p50_s']:9.3f}"
              f"{row['p50_s'] / base['p50_s']:7.2f}{row['p95_s']:9.3f}"
              f"{row['p95_s'] / base['p95_s']:7.2f}{row['cpus']:22.2f}", flush=True)  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
