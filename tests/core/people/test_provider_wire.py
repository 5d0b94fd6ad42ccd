"""A provider that never comes to the end of its headers holds a thread, and no more."""

import contextlib
import socket
import threading
import time

import pytest

from core.errors import ProviderError
from core.people import limits
from core.people.provider.wire import Wire


@pytest.fixture
def dripping():
    """An address whose answers begin, and go on with one header after the other."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError), server.accept()[0] as line:
                line.recv(4096)
                line.sendall(b"HTTP/1.1 200 OK\r\n")
                while not ended.wait(0.05):
                    line.sendall(b"X-More: 1\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        thread.join()


def test_who_asks_is_told_in_time_and_the_next_at_once(dripping, monkeypatch):
    monkeypatch.setattr(limits, "PROVIDER_CALLS_AT_ONCE", 1)
    wire = Wire(total_s=0.4)
    took = []
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(ProviderError):
            wire.get(dripping)
        took.append(time.monotonic() - began)
    assert took[0] >= 0.4
    assert took[1] < 0.3  # it does not wait behind the first, which still hangs
