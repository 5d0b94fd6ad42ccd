"""Bodies are bounded before they are read: a real server, raw sockets, and the bounds alone."""

import asyncio
import gzip
import json
import socket
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from app.http.bodies import Bodies, Pace, SlowBodyError, refuse_repeated
from core import limits, web_limits
from core.errors import BusyError, InputError, StorageError, TooLargeError
from tests.scans import as_bytes, example
from tests.server import running
from tests.waiting import until

SCAN = gzip.compress(as_bytes(example()), mtime=0)
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.nii"\r\n\r\n'
QUEUE = 2
PLACES = QUEUE + web_limits.BODIES_BESIDE_QUEUE


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server with a short queue, and so with few places for bodies."""
    with running(tmp_path_factory.mktemp("var"), queue_size=str(QUEUE)) as started:
        yield started


def opened(server, path: str, length: int, start: bytes, method: str = "POST") -> socket.socket:
    """A request whose body has only begun."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
        + start
    )
    return connection


def answer(connection: socket.socket) -> tuple[int, dict[str, str], dict]:
    reader = connection.makefile("rb")
    status = int(reader.readline().split()[1])
    headers = {}
    while line := reader.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, json.loads(reader.read(int(headers["content-length"])))


def spooled(server) -> int:
    """Files without a name that the server has open: what it has taken in of bodies."""
    found = 0
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(OSError):
            found += str(link.readlink()).endswith("(deleted)")
    return found


def test_forty_eight_uploads_at_once_are_bounded_before_they_are_read(small):
    begun = PART + bytes(2 * 2**20)  # larger than what stays in memory
    length = 20 * 2**20
    before = spooled(small)
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(opened(small, "/api/predict", length, begun))
        until(lambda: spooled(small) == before + PLACES, timeout_s=30, poll_s=0.05)
        for _ in range(48 - PLACES):
            late = stack.enter_context(opened(small, "/api/predict", length, b""))
            status, headers, body = answer(late)  # nothing of its body was sent
            assert status == 503
            assert int(headers["retry-after"]) >= 1
            assert body["error"]["code"] == "busy"
        assert spooled(small) == before + PLACES
    files = {"image": ("a.nii.gz", SCAN)}

    def is_served() -> bool:
        return httpx.post(f"{small.url}/api/predict", files=files, timeout=60).status_code == 200

    until(is_served, timeout_s=30)


@pytest.mark.parametrize(
    ("path", "method"),
    [("/api/admin/jobs", "POST"), ("/api/viewer/cases/HV-1/x/draft", "PUT"),
     ("/api/viewer/cases/HV-1/x/masks", "POST"), ("/api/viewer/cases/HV-1/x/here", "POST"),
     ("/api/predict", "POST")],
)  # fmt: skip
def test_no_route_reads_a_body_that_is_larger_than_what_it_takes(path, method, small):
    with opened(small, path, 3 * 2**30, b"", method) as connection:
        status, _, body = answer(connection)
    assert status == 413
    assert body["error"]["code"] == "too_large"


def test_a_page_takes_no_upload_that_is_too_large(small):
    with opened(small, "/_stcore/upload_file/a/b", 3 * 2**30, b"", "PUT") as connection:
        assert connection.makefile("rb").readline().split()[1] == b"413"


@pytest.mark.parametrize(
    "files",
    [
        [("image", ("a.nii.gz", SCAN)), ("image", ("b.nii.gz", SCAN))],
        [("image", ("a.nii.gz", SCAN)), ("picture", ("b.nii.gz", SCAN))],
        [("image", ("a.nii.gz", SCAN)), ("device", (None, b"cpu"))],
    ],
)
def test_what_would_be_left_out_in_silence_is_refused(files, small):
    reply = httpx.post(f"{small.url}/api/predict", files=files)
    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "bad_request"
    assert "'image'" in reply.text or "not known" in reply.text


@pytest.mark.parametrize("query", ["device=cpu&device=auto", "devise=cpu", "labels=parts&labels=x"])
def test_a_query_that_is_repeated_or_unknown_is_refused(query, small):
    reply = httpx.post(f"{small.url}/api/predict?{query}", files={"image": ("a.nii.gz", SCAN)})
    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "bad_request"


def field(name: bytes, content: bytes = b"x") -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + content + b"\r\n"
    )


HOSTILE = {
    "a huge name": field(b"n" * 2**20) + b"--b--\r\n",
    "a huge value": field(b"n", b"x" * 2**22) + b"--b--\r\n",
    "thousands of fields": b"".join(field(b"f%d" % n) for n in range(5000)) + b"--b--\r\n",
    "thousands of files": b"".join(
        PART.replace(b"image", b"f%d" % n) + b"x\r\n" for n in range(5000)
    )
    + b"--b--\r\n",
    "no end": PART + SCAN,
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    "no header": b"--b\r\n\r\nx\r\n--b--\r\n",
    "a header without end": b"--b\r\n" + b"X" * 2**20,
    "another boundary": PART.replace(b"--b", b"--c") + SCAN + b"\r\n--c--\r\n",
    "only an end": b"--b--\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_form_gets_an_error_in_the_one_shape(name, small):
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = httpx.post(f"{small.url}/api/predict", content=HOSTILE[name], headers=kind, timeout=60)
    assert reply.status_code in (400, 422)
    assert set(reply.json()) == {"error"}
    assert all(reply.json()["error"][key] for key in ("code", "message", "hint"))


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", "", "x" * 5000]
)
def test_a_form_without_a_boundary_gets_an_error_in_the_one_shape(kind, small):
    body = PART + SCAN + b"\r\n--b--\r\n"
    headers = {"Content-Type": kind}
    reply = httpx.post(f"{small.url}/api/predict", content=body, headers=headers, timeout=60)
    assert reply.status_code in (400, 422)
    assert all(reply.json()["error"][key] for key in ("code", "message", "hint"))


def sized(size: int) -> Headers:
    return Headers({"content-length": str(size)})


def test_all_bodies_together_are_bounded_and_one_is_always_let_in():
    bodies = Bodies(10, largest_bytes=100, all_bytes=150)
    with bodies.place(sized(100)):
        with pytest.raises(BusyError), bodies.place(sized(51)):
            pass
        with bodies.place(sized(50)):
            assert bodies.count == 2
        with pytest.raises(BusyError), bodies.place(Headers({})):  # as large as it may become
            pass
    assert bodies.count == 0
    with Bodies(10, largest_bytes=100, all_bytes=50).place(sized(100)):
        pass


def test_what_does_not_fit_on_the_disk_is_not_read(tmp_path, monkeypatch):
    bodies = Bodies(10, 100, 1000, (tmp_path,))
    with bodies.place(sized(100)):
        pass
    monkeypatch.setattr(limits, "KEEP_FREE_MIB", 2**40)
    with pytest.raises(StorageError) as refused, bodies.place(sized(100)):
        pass
    assert refused.value.code == "disk_full"


def parts_then_silence(*parts: bytes):
    waiting = list(parts)

    async def receive():
        if not waiting:
            await asyncio.Event().wait()  # for ever
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    return receive


def in_a_loop(work: Coroutine) -> None:
    """Run it in a thread: a browser in this process has a loop in the main one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def read_all(bodies: Bodies, receive) -> bytes:
    watched = bodies.watched(receive)
    content = b""
    while True:
        message = await watched()
        content += message["body"]
        if not message["more_body"]:
            return content


def test_a_body_that_stops_coming_is_given_up():
    bodies = Bodies(1, 100, 100, pace=Pace(silence_s=0.05))
    with pytest.raises(SlowBodyError):
        in_a_loop(read_all(bodies, parts_then_silence(b"a", b"b")))


def test_a_body_that_drips_is_given_up():
    async def drip():
        return {"type": "http.request", "body": b".", "more_body": True}

    bodies = Bodies(1, 10**9, 10**9, pace=Pace(silence_s=5, grace_s=0, least_bytes_s=10**9))
    with pytest.raises(SlowBodyError):
        in_a_loop(read_all(bodies, drip))


def test_a_body_in_chunks_is_counted_as_it_comes():
    bodies = Bodies(1, 10, 10)
    with pytest.raises(TooLargeError):
        in_a_loop(read_all(bodies, parts_then_silence(b"x" * 6, b"x" * 6)))


def test_a_client_that_waits_for_its_answer_is_not_taken_for_silent():
    async def wait():
        sent = iter([{"type": "http.request", "body": b"all", "more_body": False}])
        gone = asyncio.Event()

        async def receive():
            for message in sent:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        watched = Bodies(1, 10, 10, pace=Pace(silence_s=0.01)).watched(receive)
        assert (await watched())["body"] == b"all"
        later = asyncio.create_task(watched())
        done, _ = await asyncio.wait([later], timeout=0.1)
        assert not done
        gone.set()
        assert (await later)["type"] == "http.disconnect"

    in_a_loop(wait())


def test_names_that_are_given_twice_are_told():
    refuse_repeated([("a", 1), ("b", 2)], ("a", "b"))
    with pytest.raises(InputError, match="2 times"):
        refuse_repeated([("a", 1), ("a", 2)])
    with pytest.raises(InputError, match="only a, b"):
        refuse_repeated([("c", 1)], ("a", "b"))
