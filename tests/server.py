"""A real server in a process of its own."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.settings import ROOT

# Coverage is measured in the tests and in the servers that they start, not in trainings and
# command lines, which take twice as long with it.
_COVERAGE = {
    name: os.environ.pop(name) for name in ("COVERAGE_PROCESS_CONFIG",) if name in os.environ
}  # fmt: skip
_START_TIMEOUT_S = 240
_BOUNDARY = "----scan"
_TAIL_LINES = 40


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    data_dir: Path
    log: Path
    pid: int
    # Stop it as a service manager does, and wait for its end.
    stop: Callable[[], int] = lambda: 0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running(
    data_dir: Path,
    *,
    wait_ready: bool = True,
    python: str = sys.executable,
    root: Path = ROOT,
    ca: Path | None = None,
    **settings: str,
) -> Iterator[Server]:
    """Start ``python -m app`` and stop it as a service manager does.

    ``ca``: the authority of its certificate, where it serves by TLS.
    """
    port = free_port()
    environment = {
        **os.environ,
        **_COVERAGE,
        "HIPPOVIEW_DATA_DIR": str(data_dir),
        **{f"HIPPOVIEW_{name.upper()}": value for name, value in settings.items()},
    }
    log = data_dir / "server.log"
    data_dir.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [python, "-m", "app", "--port", str(port)],
            cwd=root, env=environment, stdout=out, stderr=out,
        )  # fmt: skip
    url = f"http{'s' if ca else ''}://127.0.0.1:{port}"
    try:
        wait_for_health(url, process, log, ready=wait_ready, ca=ca)
        yield Server(url, data_dir, log, process.pid, partial(_stop, process))
    except BaseException as error:
        for written in [log, *data_dir.glob("jobs/*/log.txt")]:
            tail = "".join(written.read_text(errors="replace").splitlines(True)[-_TAIL_LINES:])
            error.add_note(f"--- the end of {written.relative_to(data_dir)}:\n{tail}")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def wait_for_health(
    url: str, process: "subprocess.Popen[bytes]", log: Path, *, ready: bool, ca: Path | None = None
) -> dict[str, object]:
    deadline = time.monotonic() + _START_TIMEOUT_S
    context = ssl.create_default_context(cafile=ca) if ca else None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=5, context=context) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            if not ready:
                return dict(json.load(error))
        except OSError:
            pass
        time.sleep(0.2)  # between two looks at a process that starts
    raise AssertionError(f"the server did not become ready:\n{log.read_text()[-3000:]}")


def hang_up(server: Server, scan: bytes) -> http.client.HTTPConnection:
    """Send a whole request and do not wait for its answer."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.nii"\r\n\r\n'
    )
    body = head.encode() + scan + f"\r\n--{_BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    connection.request("POST", "/api/predict", body, {"Content-Type": kind})
    return connection
