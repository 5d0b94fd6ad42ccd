"""``python -m benchmarks.promotion [REQUESTS]``: promotions while many clients are served.

Sixteen clients send crops to a server beside which a shadow runs, in crowds with a pause between
them in which the shadow gets on. Within each crowd another version is put into service. Each mask
is compared, byte for byte, with the one that the version named in the answer gave of that scan
alone. Ends with status 1 if a request failed or a mask was another one.
"""

import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.rounds import write
from core import limits
from core.models.registry import Registry
from core.settings import Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import as_bytes, example, image
from tests.server import running
from tests.shadows import add_again, add_swapped
from tests.waiting import until

_CLIENTS, _CROWDS = 16, 4
_REASON = {"reason": "a benchmark of promotions"}


@dataclass
class Tally:
    """What the clients saw."""

    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    mixed: int = 0
    versions: set[str] = field(default_factory=set)


def scans() -> list[bytes]:
    """Scans whose masks all differ."""
    values, affine = np.asarray(example().dataobj), example().affine
    made = []
    for number in range(_CLIENTS):
        own = affine.copy()
        own[:3, 3] += number  # the mask carries the affine of its own scan
        made.append(as_bytes(image(np.roll(values, number % 8 - 4, axis=1), own)))
    return made


def main() -> int:
    """Print what became of the requests."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    each = -(-requests // (_CLIENTS * _CROWDS))
    sent, tally, promotions = scans(), Tally(), list[float]()
    with (
        tempfile.TemporaryDirectory() as name,
        running(Path(name), queue_size=str(_CLIENTS)) as server,
    ):
        registry = Registry(
            connect(Path(name)), LocalStorage(Path(name) / "storage"), Settings().model_dir
        )
        other, shadow = add_swapped(registry).number, add_again(registry).number
        api = httpx.Client(base_url=f"{server.url}/api", timeout=300)

        def put(number: int) -> None:
            start = time.perf_counter()
            route = f"/admin/versions/{number}/promote"
            api.post(route, json=_REASON).raise_for_status()
            promotions.append(time.perf_counter() - start)

        def masks() -> list[bytes]:
            return [api.post("/predict", files={"image": scan}).content for scan in sent]

        expected = {"1": masks()}
        put(other)
        expected[str(other)] = masks()
        put(1)
        api.post(f"/admin/versions/{shadow}/shadow").raise_for_status()
        state = lambda: api.get(f"/admin/versions/{shadow}/shadow").json()  # noqa: E731
        until(lambda: state()["loaded_mib"] is not None)
        begun = threading.Event()

        def work(client: int) -> None:
            with httpx.Client(base_url=f"{server.url}/api", timeout=300) as own:
                for turn in range(each):
                    start = time.perf_counter()
                    answer = own.post("/predict", files={"image": sent[client]})
                    tally.latencies_s.append(time.perf_counter() - start)
                    if answer.status_code != 200:
                        tally.failed += 1
                        print(answer.status_code, answer.text[:200], flush=True)
                        continue
                    version = answer.headers["x-model-version"]
                    tally.versions.add(version)
                    tally.mixed += answer.content != expected[version][client]
                    if turn >= each // 3:
                        begun.set()

        for crowd in range(_CROWDS):
            begun.clear()
            with ThreadPoolExecutor(_CLIENTS) as pool:
                clients = [pool.submit(work, client) for client in range(_CLIENTS)]
                begun.wait(300)
                put(other if crowd % 2 == 0 else 1)
                for client in clients:
                    client.result()
            compared = state()["this_server"]["compared"]
            until(lambda: state()["this_server"]["compared"] > compared, 120)  # noqa: B023
        counts = state()["this_server"]
        api.close()
    answered = sorted(tally.latencies_s)
    print(f"{len(answered)} requests of {_CLIENTS} clients, {len(promotions)} promotions "
          f"({max(promotions):.1f} s the longest): {tally.failed} failed, {tally.mixed} mixed; "
          f"versions {', '.join(sorted(tally.versions))} answered; p95 "
          f"{answered[int(0.95 * len(answered))]:.2f} s")  # fmt: skip
    print(f"the shadow: {counts}; it begins after {limits.SHADOW_QUIET_S:g} s without a request")
    write("promotion", vars(tally) | {"versions": sorted(tally.versions), "shadow": counts})
    return 1 if tally.failed or tally.mixed or len(tally.versions) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
