"""The three ways to run HippoView, each begun as plain processes and ended with all of them.

A laptop is one process. A clinic is what deploy/compose starts: two app processes and a worker on
one PostgreSQL and one volume, behind its own proxy with TLS, with accounts. The emulated cloud is
what deploy/cloudrun.yaml starts, with a bucket of fake-gcs-server, and a data folder each.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.settings import ROOT
from tests.buckets import BUCKET, emulator
from tests.postgresql import cluster, programs
from tests.server import free_port, running

COMPOSE = ROOT / "deploy" / "compose"
PASSWORD = "a long enough password"
_SECRET = "k" * 40
_ACCOUNTS = {
    "admin_password": PASSWORD, "audit_key": _SECRET, "origins_key": _SECRET, "engine": "workers",
    "trusted_proxies": "127.0.0.1", "hosts": "localhost",
}  # fmt: skip


@dataclass(frozen=True)
class SetUp:
    """Where its page is, and who signs in there; nobody on a laptop."""

    url: str
    password: str = ""


@contextmanager
def laptop(folder: Path, **settings: str) -> Iterator[SetUp]:
    """``python -m app``."""
    with running(folder / "var", **settings) as server:
        yield SetUp(server.url)


@contextmanager
def clinic(folder: Path, **settings: str) -> Iterator[SetUp]:
    """``docker compose up``, without Docker."""
    with _postgresql() as url:
        one = folder / "var"
        shared = _ACCOUNTS | {"database_url": url} | settings
        with _behind_proxy(folder, {"one": one, "two": one, "worker": one}, shared) as site:
            yield site


@contextmanager
def cloud(folder: Path, **settings: str) -> Iterator[SetUp]:
    """Two instances and a worker, each with a disk of its own, on one database and one bucket."""
    with (
        _postgresql() as url, emulator() as address, pytest.MonkeyPatch.context() as patch
    ):  # fmt: skip
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        places = {name: folder / name for name in ("one", "two", "worker")}
        shared = _ACCOUNTS | {"database_url": url, "storage": f"gs://{BUCKET}/cloud"} | settings
        with _behind_proxy(folder, places, shared) as site:
            yield site


SET_UPS: dict[str, Callable[..., "contextmanager[SetUp]"]] = {
    "laptop": laptop, "clinic": clinic, "cloud": cloud,
}  # fmt: skip


@contextmanager
def _postgresql() -> Iterator[str]:
    if programs() is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    with cluster() as started:
        yield started.database()


@contextmanager
def _behind_proxy(
    folder: Path, places: dict[str, Path], settings: dict[str, str]
) -> Iterator[SetUp]:
    """Two servers and a worker with these data folders, and the clinic's proxy before them."""
    shutil.copy(COMPOSE / "prepare", folder)
    subprocess.run([folder / "prepare", "localhost"], check=True, capture_output=True)
    plain, secure = free_port(), free_port()
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(places[name], **settings)) for name in ("one", "two")
        ]
        stack.enter_context(_worker(places["worker"], settings))
        ports = [int(server.url.rpartition(":")[2]) for server in servers]
        stack.enter_context(nginx(folder, ports, plain, secure))
        yield SetUp(f"https://localhost:{secure}", PASSWORD)


@contextmanager
def _worker(place: Path, settings: dict[str, str]) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    environment = {f"HIPPOVIEW_{name.upper()}": value for name, value in settings.items()}
    with (place / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "core", "worker"], cwd=ROOT, stdout=log, stderr=log,
            env=os.environ | environment | {"HIPPOVIEW_DATA_DIR": str(place)},
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def nginx(folder: Path, ports: list[int], plain: int, secure: int) -> Iterator[None]:
    """The clinic's proxy in front of two servers, with its files in a folder."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is missing: apt-get install nginx-light")
    text = (COMPOSE / "nginx.conf").read_text()
    for old, new in [
        ("app-1:8501", f"127.0.0.1:{ports[0]}"), ("app-2:8501", f"127.0.0.1:{ports[1]}"),
        ("listen 8080", f"listen 127.0.0.1:{plain}"),
        ("listen 8443", f"listen 127.0.0.1:{secure}"),
        ("/run/secrets/certificate_key", f"{folder}/secrets/certificate.key"),
        ("/run/secrets/certificate;", f"{folder}/secrets/certificate.pem;"),
        (" /tmp/", f" {folder}/"), ("/dev/stdout", f"{folder}/access.log"),
        ("/dev/stderr", f"{folder}/error.log"),
    ]:  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    started = ["-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen([program, *started])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
