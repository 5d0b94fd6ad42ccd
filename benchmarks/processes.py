"""Two server processes against one: the same clients, one PostgreSQL, a bucket that is far away.

``python -m benchmarks.processes [SECONDS [ROUNDS]]``: for cases that are kept, whose files go to
the bucket, and for scans that are only segmented; the bucket takes its time for each answer.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.rounds import write
from core.image.example import example_file
from tests.buckets import BUCKET, emulator
from tests.postgresql import cluster
from tests.server import Server, running

CLIENTS = 32
FAR_S = 0.15
_SECRET = "k" * 40


@contextmanager
def far(address: str, delay_s: float) -> Iterator[str]:
    """A way to a server whose answers take so much longer (s); its address."""
    host, port = address.removeprefix("http://").split(":")
    addresses: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    is_up, ended = threading.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, forth_writer = await asyncio.open_connection(host, int(port))

        async def forth() -> None:
            while part := await reader.read(65536):
                forth_writer.write(part)
                await forth_writer.drain()
            forth_writer.close()

        async def back() -> None:
            while part := await back_reader.read(65536):
                asyncio.get_running_loop().call_later(delay_s, writer.write, part)
            asyncio.get_running_loop().call_later(delay_s, writer.close)

        with suppress(OSError, asyncio.CancelledError):  # or all ends
            await asyncio.gather(forth(), back())

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
        addresses.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        loops.append(asyncio.get_running_loop())
        is_up.set()
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    is_up.wait()
    try:
        yield addresses[0]
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join()


def per_second(servers: list[Server], seconds: float) -> float:
    """Scans that were answered in a second, by so many clients that each send the next at once."""
    scan, answered = example_file(), [0] * CLIENTS
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        url = servers[number % len(servers)].url
        with httpx.Client(base_url=f"{url}/api", timeout=300) as client:
            while time.monotonic() < end:
                answer = client.post("/predict", files={"image": scan})
                if answer.status_code == 503:
                    time.sleep(min(float(answer.headers["Retry-After"]), 1))
                    continue
                answer.raise_for_status()
                answered[number] += time.monotonic() < end

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / seconds


@contextmanager
def pair(folder: Path, settings: Any) -> Iterator[list[Server]]:
    """Two servers with these settings."""
    with running(folder / "one", **settings) as one, running(folder / "two", **settings) as two:
        yield [one, two]


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    figures: dict[str, Any] = {}
    print(f"{CLIENTS} clients, a bucket {1000 * FAR_S:.0f} ms away, {rounds} rounds of {seconds} s")
    print(f"{'':26}{'one (1/s)':>11}{'two (1/s)':>11}{'times':>8}{'range':>16}")
    with tempfile.TemporaryDirectory() as name, cluster() as database, emulator() as near:
        for kept in ("cases", "nothing"):
            with far(near, FAR_S) as address:
                os.environ["STORAGE_EMULATOR_HOST"] = address
                settings = {
                    "database_url": database.database(), "storage": f"gs://{BUCKET}/{kept}",
                    "audit_key": _SECRET, "origins_key": _SECRET, "keep_api": kept,
                }  # fmt: skip
                with pair(Path(name) / kept, settings) as servers:
                    per_second(servers, 3)
                    measured = [
                        (per_second(servers[:1], seconds), per_second(servers, seconds))
                        for _ in range(rounds)
                    ]
            one, two = (statistics.median(row[k] for row in measured) for k in (0, 1))
            ratios = sorted(b / a for a, b in measured)
            figures[kept] = {"one": one, "two": two, "ratios": ratios}
            print(f"{'kept: ' + kept:26}{one:11.2f}{two:11.2f}{statistics.median(ratios):8.2f}"
                  f"{ratios[0]:10.2f} to {ratios[-1]:.2f}", flush=True)  # fmt: skip
    write("processes", figures)


if __name__ == "__main__":
    main()
