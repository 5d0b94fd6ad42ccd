"""What people, trail and encryption cost: ``python -m app`` to ready, and one scan, on and off.

``python -m benchmarks.guarded [ROUNDS]``: a server without accounts that writes no trail, and
one with accounts, a service's token, its trail, checkpoint and copies, encryption at rest and
TLS, in turn; each scan is kept as a case. Medians and their ratios: by the clock, where the start
is seen to 0.2 s, and of the processor's seconds, which hold on a machine that does other things.
"""

import ssl
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from benchmarks.rounds import write
from core.image.example import example_file
from core.people.accounts import Accounts
from core.people.acting import SERVER, acting_as
from core.people.audit import set_up
from core.people.sign_ins import SignIns
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.encryption import Keyring
from tests.certificates import made_certificate
from tests.server import running

_SCANS = 15
_KEY = "k" * 32
# Stands for Python with ``-m app`` before the other arguments.
_WITHOUT_TRAIL = """#!/bin/sh
shift 2
exec {python} -c "import sys
from core.people import audit
nothing = lambda *told, **words: None
audit.record_alone = audit.record = audit.begin = nothing
audit.recording = lambda engine, needed=True: engine.begin()
from app.__main__ import main
sys.exit(main(sys.argv[1:]))" "$@"
"""


def with_accounts(settings: Settings) -> dict[str, str]:
    """Make an administrator and a service in a data folder; the headers of the service."""
    engine = connect(settings.data_dir, Keyring.of(settings))
    set_up(engine, settings)
    with acting_as(SERVER):
        accounts = Accounts(engine)
        accounts.add("Root", "administrator", (), "correct horse battery")
        service = accounts.add("script", "service")
        token = SignIns(engine).new_token(service.id, ["segment"], 1)
    engine.dispose()
    return {"Authorization": f"Bearer {token}"}


def once(*, is_on: bool) -> dict[str, float]:
    """One start and some scans; seconds until it is ready, and of a scan."""
    scan = example_file()
    with tempfile.TemporaryDirectory() as name:
        folder, python, headers = Path(name) / "data", Path(sys.executable), {}
        settings, ca, trusting = {"keep_api": "cases"}, None, None
        if is_on:
            ca, key = made_certificate(Path(name), "server")
            trusting = ssl.create_default_context(cafile=ca)
            settings |= {"audit_key": _KEY, "encryption_key": _KEY, "tls_certificate": str(ca),
                         "tls_key": str(key)}  # fmt: skip
            headers = with_accounts(Settings(data_dir=folder, audit_key=_KEY, encryption_key=_KEY))
        else:
            python = Path(name) / "python"
            python.write_text(_WITHOUT_TRAIL.format(python=sys.executable))
            python.chmod(0o700)
        begun = time.perf_counter()
        with running(folder, python=str(python), root=ROOT, ca=ca, **settings) as server:
            ready_s, ready_cpu_s = time.perf_counter() - begun, cpu_s(server.pid)
            seconds = []
            options = {"headers": headers, "timeout": 300, "verify": trusting or True}
            with httpx.Client(base_url=server.url, **options) as client:
                for _ in range(_SCANS):
                    begun = time.perf_counter()
                    client.post("/api/predict", files={"image": scan}).raise_for_status()
                    seconds.append(time.perf_counter() - begun)
            scan_cpu_s = (cpu_s(server.pid) - ready_cpu_s) / _SCANS
    return {
        "ready_s": ready_s, "ready_cpu_s": ready_cpu_s, "scan_s": statistics.median(seconds[1:]),
        "scan_cpu_s": scan_cpu_s,
    }  # fmt: skip


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has had."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def main(rounds: int) -> None:
    """Print medians and ratios."""
    found: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    for _ in range(rounds):
        for name, each in found.items():
            each.append(once(is_on=name == "on"))
    figures = {}
    for key in found["off"][0]:
        off, on = (statistics.median(row[key] for row in found[side]) for side in ("off", "on"))
        ratios = [b[key] / a[key] for a, b in zip(found["off"], found["on"], strict=True)]
        figures[key] = {"off": off, "on": on, "ratio": statistics.median(ratios)}
        print(f"{key:11} off {off:7.3f}  on {on:7.3f}  on/off {statistics.median(ratios):.3f} "
              f"({min(ratios):.3f} to {max(ratios):.3f})")  # fmt: skip
    write("guarded", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
