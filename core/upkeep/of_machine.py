"""Checks of what a server stands on: versions, device, viewer, disk, port, TLS, proxies."""

import errno
import http.client
import importlib.metadata
import os
import shutil
import socket
import ssl
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from core import limits
from core.errors import HippoViewError
from core.predictor.networks import backend_for
from core.settings import ROOT, Settings, listed, nearest_setting, unknown_variables, variable_of
from core.upkeep.certificates import SOON, check_pair, left
from core.upkeep.checked import Checked, or_ok, wrong

_OLDEST, _NEWEST = (3, 11), (3, 14)
_FEW = 5
# Lie in a fresh virtual environment of some Python versions; nothing that serves needs them.
_OF_VENV = ("pip", "setuptools", "wheel")
_PATIENCE_S = 3
_LOW_DISK = 10 * limits.KEEP_FREE_MIB * limits.MIB


def variables() -> Iterator[Checked]:
    """Names of settings that nothing reads."""
    for name in unknown_variables(os.environ):
        nearest = nearest_setting(name)
        hint = f"It is ignored. Did you mean {nearest}?" if nearest else "It is ignored: unset it."
        yield Checked("settings", "warning", f"{name} is not a setting of HippoView", hint)


def versions() -> Iterator[Checked]:
    """Python, and each installed package against the pins."""
    python = ".".join(map(str, sys.version_info[:3]))
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        yield Checked(
            "versions", "wrong" if sys.version_info[:2] < _OLDEST else "warning",
            f"Python {python}: HippoView is tested with 3.11 to 3.14",
            "Make .venv anew with one of them.",
        )  # fmt: skip
    pins = ROOT / "constraints.txt"
    if not pins.is_file():
        yield Checked("versions", "warning", "constraints.txt is missing: nothing says which "
                      "packages it was tested with", "Take it from the release.")  # fmt: skip
        return
    others, missing = _unlike_pins(pins.read_text().splitlines())
    if missing:
        yield Checked(
            "versions", "wrong", f"Packages are missing: {_few(missing)}",
            "Install again: rm .venv/installed*; make serve (or make run).",
        )  # fmt: skip
    if others:
        yield Checked(
            "versions", "wrong", f"Packages of other versions than the pins: {_few(others)}",
            "Install again: rm .venv/installed*; make serve (or make run).",
        )  # fmt: skip


def _unlike_pins(lines: list[str]) -> tuple[list[str], list[str]]:
    """Packages that are of another version than pinned, and those that are missing."""
    from packaging.requirements import InvalidRequirement, Requirement

    installed = {
        _plain(str(each.metadata["Name"])): each.version
        for each in reversed(list(importlib.metadata.distributions()))  # the first of a name holds
    }
    serving = (ROOT / "requirements-serve.txt").read_text().splitlines()
    needed = {_plain(line.partition("==")[0]) for line in serving if "==" in line}
    others, missing = [], []
    for line in lines:
        if line.startswith((" ", "#", "-")) or "==" not in line:
            continue
        try:
            pin = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:
            continue
        if pin.marker and not pin.marker.evaluate():
            continue
        have = installed.get(_plain(pin.name))
        if have is None:
            missing += [pin.name] if _plain(pin.name) in needed else []
        elif pin.name not in _OF_VENV and not pin.specifier.contains(
            have.partition("+")[0], prereleases=True
        ):
            others.append(f"{pin.name} {have} ({pin.specifier})")
    return others, missing


def device(settings: Settings) -> Iterator[Checked]:
    """Whether the device and the backend of the settings are there."""
    try:
        backend = backend_for(settings.device, settings.backend)
    except HippoViewError as error:
        yield wrong("device", error)
    else:
        yield Checked("device", "ok", f"{settings.device} is served by {backend}")


def viewer() -> Iterator[Checked]:
    """Whether the viewer's script was built."""
    if not list((ROOT / "app" / "viewer" / "built").glob("viewer-*.js")):
        yield Checked("viewer", "wrong", "The viewer's script was not built: no slices are drawn",
                      "sh scripts/with-node -m app.viewer.build")  # fmt: skip


def disk(settings: Settings) -> Iterator[Checked]:
    """Room for what is written, and who may read it."""
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Checked("disk", "wrong", "The data folder cannot be written or made",
                      "Grant the server's user access, or set HIPPOVIEW_DATA_DIR.")  # fmt: skip
        return
    if settings.data_dir.is_dir() and settings.data_dir.stat().st_mode & 0o077:
        yield Checked("disk", "warning", "Others than the server's user may look into the data "
                      "folder", "chmod 700 it.")  # fmt: skip
    free = shutil.disk_usage(folder).free
    words = f"{free / limits.MIB / 1024:,.1f} GiB are free on the disk of the data folder"
    hint = "Make room: old backups, folders of trainings (jobs) and viewed are the first to go."
    if free < limits.KEEP_FREE_MIB * limits.MIB:
        yield Checked("disk", "wrong", f"{words}: nothing is taken in any more", hint)
    elif free < _LOW_DISK:
        yield Checked("disk", "warning", words, hint)


def port(settings: Settings) -> Iterator[Checked]:
    """Whether a server can listen where the settings say, or does."""
    where = f"Port {settings.port} of {settings.address}"
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.address, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                if _is_ours(settings):
                    yield Checked("port", "ok", f"{where}: a HippoView answers")
                else:
                    yield Checked("port", "wrong", f"{where} is taken by another program",
                                  "End it, or set HIPPOVIEW_PORT to another one.")  # fmt: skip
            elif error.errno == errno.EACCES:
                yield Checked("port", "wrong", f"{where} may not be opened by this user",
                              "Set HIPPOVIEW_PORT to 1024 or more, behind a proxy.")  # fmt: skip
            else:
                yield Checked("port", "wrong", f"{where} cannot be opened: {error.strerror}",
                              "Set HIPPOVIEW_ADDRESS to an address of this machine.")  # fmt: skip
        else:
            yield Checked("port", "ok", f"{where} is free")


def _is_ours(settings: Settings) -> bool:
    address = "127.0.0.1" if settings.address in ("0.0.0.0", "::") else settings.address  # noqa: S104
    # Only whether something of ours is there: who it says it is does not matter.
    kinds = (
        http.client.HTTPSConnection(
            address, settings.port, timeout=_PATIENCE_S,
            context=ssl._create_unverified_context(),  # noqa: S323
        )
        if settings.tls_certificate
        else http.client.HTTPConnection(address, settings.port, timeout=_PATIENCE_S)
    )  # fmt: skip
    try:
        kinds.request("GET", "/api/live")
        answer = kinds.getresponse()
        return answer.status == 200 and b'"alive"' in answer.read(200)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        kinds.close()


def certificates(settings: Settings) -> Iterator[Checked]:
    """Certificates: each with its key, and not about to end."""
    for names in (("tls_certificate", "tls_key"), ("receiver_certificate", "receiver_key")):
        files = [getattr(settings, name) for name in names]
        if all(files):
            try:
                check_pair(files[0], files[1], names)
            except HippoViewError as error:
                yield wrong("certificates", error)
    for name in ("tls_certificate", "receiver_certificate", "pacs_ca", "oidc_ca", "receiver_ca"):
        if not getattr(settings, name):
            continue
        try:
            remaining = left(getattr(settings, name))
        except (OSError, ValueError, IndexError):
            yield Checked("certificates", "wrong", f"{variable_of(name)} holds no certificate",
                          "Name a file of certificates (PEM).")  # fmt: skip
            continue
        if remaining.total_seconds() < 0:
            yield Checked("certificates", "wrong", f"{variable_of(name)} ended "
                          f"{-remaining.days:,} days ago", "Renew it.")  # fmt: skip
        elif remaining < SOON:
            yield Checked("certificates", "warning", f"{variable_of(name)} ends in "
                          f"{remaining.days} days", "Renew it.")  # fmt: skip


def proxies(settings: Settings) -> Iterator[Checked]:
    """Settings of proxies, before the server and out of it."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        value = os.environ.get(name.upper()) or os.environ.get(name)
        if value and urlsplit(value).scheme not in ("http", "https", "socks5", "socks5h"):
            # Not with its value: it may hold a password.
            yield Checked("proxies", "wrong", f"{name.upper()} is no address of a proxy",
                          "Write it as http://HOST:PORT.")  # fmt: skip
    if listed(settings.trusted_proxies) and not settings.hosts:
        yield Checked("proxies", "warning", "HIPPOVIEW_TRUSTED_PROXIES is set without "
                      "HIPPOVIEW_HOSTS: any name that leads here is answered",
                      "Set the names by which browsers open it.")  # fmt: skip
    if os.environ.get("FORWARDED_ALLOW_IPS"):
        yield Checked("proxies", "warning", "FORWARDED_ALLOW_IPS is not read",
                      "Set HIPPOVIEW_TRUSTED_PROXIES.")  # fmt: skip


def of_machine(settings: Settings) -> Iterator[Checked]:
    """All of them."""
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    yield from or_ok("versions", versions(), f"{python} and all packages are as pinned")
    yield from device(settings)
    yield from or_ok("viewer", viewer(), "built")
    yield from or_ok("disk", disk(settings), "there is room on the disk of the data folder")
    yield from port(settings)
    yield from or_ok("certificates", certificates(settings), "none, or all are valid")
    yield from or_ok("proxies", proxies(settings), "nothing speaks against them")


def _few(words: list[str]) -> str:
    more = f" and {len(words) - _FEW} more" if len(words) > _FEW else ""
    return ", ".join(words[:_FEW]) + more


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")
