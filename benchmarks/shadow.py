"""Whether people wait longer while a shadow runs: latencies with and without, in turns of one run.

``python -m benchmarks.shadow [SECONDS]``: crops, then heads, each sent at random moments after the
last answer, so that many come while the shadow is at work. Each mask is compared with the first.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.rounds import write
from core.models.registry import Registry
from core.settings import Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import as_bytes, example, template_head
from tests.server import running
from tests.shadows import add_swapped
from tests.waiting import until

_TURNS = 4
_LONGEST_PAUSE_S = 2.5


def block(client: httpx.Client, scan: bytes, seconds: float, random_: random.Random) -> list[float]:
    """Latencies (s) of scans sent for so long; a failure or another mask ends the run."""
    latencies, first, end = list[float](), b"", time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random_.uniform(0.8, _LONGEST_PAUSE_S))
        start = time.perf_counter()
        answer = client.post("/predict", files={"image": scan})
        latencies.append(time.perf_counter() - start)
        answer.raise_for_status()
        first = first or answer.content
        if answer.content != first or answer.headers["x-model-version"] != "1":
            raise AssertionError("another mask was delivered")
    return latencies


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    figures: dict[str, Any] = {}
    chosen = random.Random(0)  # noqa: S311 - moments are no secret
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
        registry = Registry(
            connect(Path(name)), LocalStorage(Path(name) / "storage"), Settings().model_dir
        )
        route = f"/admin/versions/{add_swapped(registry).number}/shadow"
        with httpx.Client(base_url=f"{server.url}/api", timeout=300) as client:
            for kind, scan in (("crops", example()), ("heads", template_head())):
                sent = as_bytes(scan)
                client.post("/predict", files={"image": sent})
                taken: dict[bool, list[float]] = {False: [], True: []}
                compared = 0
                for turn in range(_TURNS):
                    with_shadow = turn % 2 == 1
                    if with_shadow:
                        client.post(route)
                        until(lambda: client.get(route).json()["loaded_mib"] is not None)
                    taken[with_shadow] += block(client, sent, seconds, chosen)
                    if with_shadow:
                        told = client.get(route).json()["this_server"]
                        compared += told["compared"]
                        print(f"  {told}", flush=True)
                        client.delete(route)
                for with_shadow, values in taken.items():
                    key = f"{kind}, {'with' if with_shadow else 'without'} a shadow"
                    cut = statistics.quantiles(values, n=20)
                    figures[key] = {"requests": len(values), "p50_s": cut[9], "p95_s": cut[18]}
                    print(f"{key:28}{len(values):5} requests, p50 {cut[9]:.3f} s, p95 "
                          f"{cut[18]:.3f} s", flush=True)  # fmt: skip
                print(f"{compared} compared", flush=True)
    write("shadow", figures)


if __name__ == "__main__":
    main()
