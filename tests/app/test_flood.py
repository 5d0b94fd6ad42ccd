"""More uploads than a server can take: each is answered as documented, and nothing piles up."""

import gzip
import http.client
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from core.limits import MIB
from tests.scans import as_bytes, example, image
from tests.server import Server, running
from tests.waiting import until

SMALL = gzip.compress(as_bytes(example()), mtime=0)
_HEAD = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.nii"\r\n\r\n'
_TAIL = b"\r\n--b--\r\n"
_PART = bytes(MIB)
LARGEST_MIB = 16


@pytest.fixture(scope="module")
def flooded(tmp_path_factory) -> Iterator[Server]:
    with running(
        tmp_path_factory.mktemp("var"), queue_size="2", max_upload_mib=str(LARGEST_MIB)
    ) as started:
        yield started


def answered(server: Server, size_bytes: int, begin: bytes = b"") -> int:
    """The status that a body of this size is answered with; it may come before the body's end."""
    host, port = server.url.removeprefix("http://").split(":")
    left = size_bytes - len(begin)
    with socket.create_connection((host, int(port)), timeout=300) as connection:
        length = size_bytes + len(_HEAD) + len(_TAIL)
        connection.sendall(
            f"POST /api/predict HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            + _HEAD
            + begin
        )
        with suppress(OSError):  # the server has answered and closed
            while left > 0 and not select.select([connection], [], [], 0)[0]:
                connection.sendall(_PART[:left])
                left -= len(_PART)
            if left <= 0:
                connection.sendall(_TAIL)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


def large_scan(mib: int) -> tuple[int, bytes]:
    """Size and begin of a scan of this size whose last voxel is missing: all of it is unpacked."""
    layers = mib * MIB // (2 * 256 * 256) - 1
    header = bytearray(as_bytes(image())[:352])
    header[40:48] = b"".join(n.to_bytes(2, "little") for n in (3, 256, 256, layers))
    header[70:74] = (4).to_bytes(2, "little") + (16).to_bytes(2, "little")
    return 352 + 2 * 256 * 256 * layers - 2, bytes(header)


def held(server: Server) -> tuple[int, int]:
    """Bytes that the server holds in memory, and in files: its private copies and open spools."""
    memory = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096
    disk = 0
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(OSError):
            if str(link.readlink()).endswith("(deleted)"):
                disk += link.stat().st_size
    for file in (server.data_dir / "incoming").rglob("*"):
        with suppress(OSError):
            disk += file.stat().st_size
    return memory, disk


def post_small(server: Server) -> int:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=300)
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        connection.request("POST", "/api/predict", _HEAD + SMALL + _TAIL, kind)
        return connection.getresponse().status
    finally:
        connection.close()


def flood(server: Server, small: int, large: int, mib: int, threads: int) -> Counter[int]:
    """Send them at once; the statuses. The service answers meanwhile and afterwards."""
    size, begin = large_scan(mib)
    assert post_small(server) == 200  # everything is loaded
    memory_before, disk_before = held(server)
    most_disk = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            most_disk[0] = max(most_disk[0], held(server)[1])
            assert httpx.get(f"{server.url}/api/live", timeout=60).status_code == 200

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(threads) as one, ThreadPoolExecutor(max(1, large)) as other:
        big = [other.submit(answered, server, size, begin) for _ in range(large)]
        every = [one.submit(post_small, server) for _ in range(small)]
        statuses = Counter(each.result() for each in (*big, *every))
    over.set()
    watcher.join()
    print(f"statuses {dict(statuses)}, disk at most {most_disk[0] / MIB:.0f} MiB")
    until(lambda: held(server)[1] <= disk_before + MIB, timeout_s=60)
    grown = held(server)[0] - memory_before
    print(f"memory grew by {grown / MIB:.0f} MiB")
    assert grown < 150 * MIB
    # The bodies that are let in (2 GiB), each a second time unpacked.
    assert most_disk[0] < 2 * min(2048, (large + 6) * (mib + 1)) * MIB
    until(lambda: post_small(server) == 200, timeout_s=120, poll_s=2)
    return statuses


def test_a_flood_is_answered_as_documented_and_leaves_nothing(flooded):
    statuses = flood(flooded, small=340, large=8, mib=LARGEST_MIB, threads=16)
    assert set(statuses) <= {200, 422, 429, 503}  # 422: a large one that was let in
    assert statuses[429] + statuses[503] > 100


@pytest.mark.long
def test_ten_thousand_small_uploads_and_fifty_of_the_largest(tmp_path):
    with running(tmp_path) as server:
        statuses = flood(server, small=10_000, large=50, mib=520, threads=32)
        # 413: one that was let in has more voxels than are read, by its header.
        assert set(statuses) <= {200, 413, 429, 503}
        assert statuses[429] + statuses[503] > 5_000
