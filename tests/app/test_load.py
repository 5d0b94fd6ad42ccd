"""Many clients at once on a real server: nothing is lost, swapped or stuck."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from core.pipeline import analyse
from tests.scans import as_bytes, example, image, stream
from tests.server import Server, hang_up, running
from tests.waiting import until

CLIENTS, EACH, QUEUE = 16, 2, 6


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server with a short queue."""
    with running(tmp_path_factory.mktemp("var"), queue_size=str(QUEUE)) as started:
        yield started


def variants() -> list[bytes]:
    """Scans whose masks all differ."""
    scan = example()
    values = np.asarray(scan.dataobj)
    made = []
    for number in range(CLIENTS):
        affine = scan.affine.copy()
        affine[:3, 3] += number  # the mask carries the affine of its own input
        made.append(as_bytes(image(np.roll(values, number % 4 - 2, axis=1), affine)))
    return made


def waiting(server: Server) -> int:
    return int(httpx.get(f"{server.url}/api/health").json()["waiting"])


def test_sixteen_clients_get_the_mask_of_their_own_scan(small, predictor, tmp_path):
    scans = variants()
    expected = [analyse(stream(scan), predictor, tmp_path).mask_file for scan in scans]
    assert len(set(expected)) == CLIENTS
    most = []

    def work(number: int) -> list[httpx.Response]:
        answers = []
        with httpx.Client(timeout=120) as client:
            for _ in range(EACH):
                files = {"image": ("a.nii", scans[number])}
                answers.append(client.post(f"{small.url}/api/predict", files=files))
                most.append(waiting(small))
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(work, range(CLIENTS)))
    assert max(most) <= QUEUE
    served = refused = 0
    for number, own in enumerate(answers):
        for answer in own:
            if answer.status_code == 503:
                refused += 1
                assert answer.json()["error"]["code"] == "busy"
                assert int(answer.headers["retry-after"]) >= 1
            else:
                served += 1
                assert answer.status_code == 200
                assert answer.content == expected[number]
    assert served + refused == CLIENTS * EACH
    assert refused > 0
    assert served > QUEUE
    until(lambda: waiting(small) == 0)


def test_clients_that_go_away_free_their_places(small):
    scan = example()
    # Many patches: each keeps the server busy for a second or more, so the queue fills up.
    wide = as_bytes(image(np.tile(np.asarray(scan.dataobj), (2, 1, 2)), scan.affine))
    connections = []

    def full() -> bool:
        if waiting(small) == QUEUE:
            return True
        connections.append(hang_up(small, wide))
        return False

    until(full, poll_s=0.02)
    for connection in connections:
        connection.close()
    files = {"image": ("a.nii", as_bytes(scan))}
    until(lambda: waiting(small) == 0, poll_s=0.05)
    answer = httpx.post(f"{small.url}/api/predict", files=files, timeout=60)
    assert answer.status_code == 200
    counted = httpx.get(f"{small.url}/api/metrics").text
    gone = [
        float(line.rpartition(" ")[2]) for line in counted.splitlines()
        if "_total" in line and 'outcome="gone"' in line
    ]  # fmt: skip
    assert sum(gone) >= QUEUE


def test_without_memory_a_scan_fails_in_words_and_the_next_is_served(tmp_path):
    """The server's memory is limited: a fine scan does not fit, a plain one does."""
    import resource

    with running(tmp_path / "var") as server:
        plain = as_bytes(example())
        used = int(Path(f"/proc/{server.pid}/statm").read_text().split()[0]) * 4096
        resource.prlimit(server.pid, resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)
        values = np.asarray(example().dataobj).repeat(7, 0).repeat(7, 1).repeat(4, 2)
        fine = image(
            values.astype(np.float32), example().affine @ np.diag([1 / 7, 1 / 7, 1 / 4, 1])
        )
        answers = []

        def send(content: bytes) -> httpx.Response:
            files = {"image": ("a.nii", content)}
            return httpx.post(f"{server.url}/api/predict", files=files, timeout=120)

        thread = threading.Thread(target=lambda: answers.append(send(as_bytes(fine))))
        thread.start()
        thread.join()
        assert answers[0].status_code == 503
        assert answers[0].json()["error"]["code"] == "compute_failed"
        assert answers[0].headers["retry-after"]
        assert send(plain).status_code == 200
