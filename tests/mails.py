"""A real SMTP server and a real web server on this machine, as small as they can be."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Smtp(socketserver.StreamRequestHandler):
    """RFC 5321, as far as one client that sends one mail asks for it."""

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            word = line.decode().upper().split(":")[0].split()[0]
            if word == "DATA":
                self._say("354 go on")
                lines = []
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(part)
                self.server.mails.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self._say("221 bye" if word == "QUIT" else "250 well")
            if word == "QUIT":
                return

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


class SmtpServer(socketserver.ThreadingTCPServer):
    """Keeps what is sent in ``mails``."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Smtp)
        self.mails: list[str] = []


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        status = self.server.status  # type: ignore[attr-defined]
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        pass


class HookServer(ThreadingHTTPServer):
    """Keeps what is posted in ``got``: path, headers, body; answers ``status``."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Hook)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """A server on a thread, until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
