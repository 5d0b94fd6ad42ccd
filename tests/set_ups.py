"""The ways to run HippoView, each begun by its one command and ended with all of its processes.

A laptop is ``python -m app``; a clinic and the emulated cloud are ``python -m scripts.set_up``.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from core.settings import ROOT
from scripts.set_up import proxy_command
from tests.postgresql import programs
from tests.server import free_port, running

_STOP_S = 180


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
def parts(kind: str, folder: Path, *more: str, **settings: str) -> Iterator[SetUp]:
    """``python -m scripts.set_up KIND``: it says where the page is, and ends all at SIGTERM."""
    if programs() is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    _nginx_or_skip()
    # Not below pytest's folders, which PostgreSQL, as nobody, may not enter.
    place, port = Path(tempfile.mkdtemp(prefix="set-up-")), free_port()
    environment = {f"HIPPOVIEW_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "scripts.set_up", kind, "--folder", str(place),
               "--port", str(port), *more]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )
    try:
        told = process.stdout.readline()
        assert told.startswith(f"Open https://localhost:{port} ")
        yield SetUp(f"https://localhost:{port}", (place / "secrets/admin_password").read_text())
        assert process.poll() is None, "a part has ended by itself"
        process.send_signal(signal.SIGTERM)
        assert process.wait(_STOP_S) == 0
    except BaseException as error:
        for log in place.glob("*.log"):
            error.add_note(f"--- the end of {log.name}:\n{log.read_text()[-3000:]}")
        raise
    finally:
        process.terminate()
        process.wait(_STOP_S)
        process.stdout.close()
        shutil.rmtree(place)


SET_UPS: dict[str, Callable[..., "contextmanager[SetUp]"]] = {
    "laptop": laptop, "clinic": partial(parts, "clinic"), "cloud": partial(parts, "cloud"),
}  # fmt: skip


def _nginx_or_skip() -> None:
    if shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
        pytest.skip("nginx is missing: apt-get install nginx-light")


@contextmanager
def nginx(folder: Path, ports: list[int], plain: int, secure: int) -> Iterator[None]:
    """The clinic's proxy in front of two servers, with its files in a folder."""
    _nginx_or_skip()
    process = subprocess.Popen(proxy_command(folder, ports, plain, secure))
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
