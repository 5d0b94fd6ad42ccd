"""What scripts/bare-machine and scripts/image share.

A root with Debian and nothing else, made by ``debootstrap`` and kept; how this machine reaches
the package registries; and one scan that is sent to a server and looked at.
"""

import functools
import gzip
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PROJECT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
CANNOT = 3
MOUNTS = {"proc": "proc", "sysfs": "sys", "tmpfs": "dev/shm"}
# How this machine reaches the package registries: nothing that changes what is installed.
VARIABLES = re.compile(
    r"(?i)((https?|all|no)_proxy"
    r"|pip_(index_url|extra_index_url|cert|client_cert|trusted_host|proxy|default_timeout)"
    r"|uv_(index|default_index|index_url|extra_index_url|native_tls|system_certs|insecure_host"
    r"|http_timeout)"
    r"|npm_config_(registry|cafile|ca|proxy|https_proxy|noproxy|strict_ssl)"
    r"|ssl_cert_file|ssl_cert_dir|node_extra_ca_certs|requests_ca_bundle|curl_ca_bundle"
    r"|git_ssl_cainfo)"
)
FILES = ["/etc/hosts", "/etc/resolv.conf", "/etc/pip.conf", "/etc/xdg/pip", "/etc/uv", "/etc/npmrc",
         "/etc/ssl/certs", "/usr/local/share/ca-certificates"]  # fmt: skip
FILES_OF_USER = [".config/pip", ".pip", ".config/uv", ".npmrc"]
TAIL_LINES = 40

T = TypeVar("T")
say = functools.partial(print, flush=True)


class CannotError(Exception):
    """Such a root cannot be made on this machine."""


class FailedError(Exception):
    """What was to be shown does not hold."""


def ready(folder: Path, **packages: str) -> None:
    """Be root, with the programs, in mount and process namespaces that end with this process.

    ``packages``: by program, Debian's packages that bring it.
    """
    if os.geteuid() != 0:
        raise CannotError("it needs root, to make and enter a root of its own")
    packages = {"debootstrap": "debootstrap debian-archive-keyring", **packages}
    missing = " ".join(packages[name] for name in packages if not shutil.which(name))
    if missing:
        if not shutil.which("apt-get"):
            raise CannotError(f"neither {' and '.join(packages)} nor apt-get are here")
        silent = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in ("update", f"install -y --no-install-recommends {missing}"):
            command = ["apt-get", "-qq", *words.split()]
            if subprocess.run(
                command, env=silent, stdout=subprocess.DEVNULL, check=False
            ).returncode:
                raise CannotError(f"apt-get cannot install {missing}")
    if os.environ.pop("BARE_MACHINE_INSIDE", None) is None:
        alone = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
            raise CannotError("namespaces (unshare --mount --pid) are not allowed here")
        os.environ["BARE_MACHINE_INSIDE"] = "1"
        os.execvp("unshare", [*alone, sys.executable, *sys.argv])  # noqa: S606
    # From here on all mounts and processes end with this one, however it ends.
    folder.mkdir(parents=True, exist_ok=True)


def pristine(folder: Path, packages: str) -> Path:
    """The kept root with these packages, made if it is not there."""
    root, made_of = folder / "root", f"{SUITE} {packages}"
    if (folder / "made-of").is_file() and (folder / "made-of").read_text() == made_of:
        return root
    for old in (folder / "work", root):
        remove(old)
    log = folder / "debootstrap.txt"
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(root)]
    with log.open("w") as out:
        done = subprocess.run([*command, *mirror()], stdout=out, stderr=out, check=False)
    if done.returncode:
        raise FailedError(f"debootstrap failed\n{tail(log)}")
    (folder / "made-of").write_text(made_of)
    return root


def mirror() -> list[str]:
    """Where this machine gets the suite's packages from; none: debootstrap's own."""
    if not shutil.which("apt-get"):
        return []
    ask = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"]
    lines = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line.split()[0] for line in lines if line.endswith(f" {SUITE}")][:1]


def settings() -> dict[str, str]:
    """The variables that say how packages are reached."""
    return {name: value for name, value in os.environ.items() if VARIABLES.fullmatch(name)}


def sent(address: str, scan: bytes, token: str = "") -> bytes:
    """What the API answers to a scan."""
    edge = "----newcomer"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="scan.nii"\r\n\r\n'
    body = head.encode() + scan + f"\r\n--{edge}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return fetched(urllib.request.Request(address, body, headers))


def fetched(request: "str | urllib.request.Request") -> bytes:
    """What this machine's loopback answers, by no proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return bytes(answer.read())


def counts(mask: bytes) -> list[int]:
    """How many voxels of a mask (.nii.gz, uint8) are 0, 1 and 2."""
    content = gzip.decompress(mask)
    kind = struct.unpack_from("<h", content, 70)[0]
    start = int(struct.unpack_from("<f", content, 108)[0])
    found = [content.count(bytes([label]), start) for label in range(3)]
    if kind != 2 or sum(found) != len(content) - start or not all(found):
        raise FailedError(f"not a mask with both labels: type {kind}, voxels {found}")
    return found


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def remove(folder: Path) -> None:
    """Remove a root; nothing that is mounted in it is touched."""
    if folder.exists():
        inside = f"{folder.resolve()}/"
        points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for point in reversed([point for point in points if f"{point}/".startswith(inside)]):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)


def disk_mib(folder: Path) -> float:
    """The room that a folder takes."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 2**20


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def timed(what: str, work: Callable[[], T]) -> T:
    """Do something and say how long it took."""
    start = time.monotonic()
    made = work()
    say(f"{what}: {time.monotonic() - start:.0f} s")
    return made
