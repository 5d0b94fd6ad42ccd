"""What accounts and the trail cost: from ``python -m app`` to ready, and one scan, on and off.

``python -m benchmarks.guarded [ROUNDS]``: a server without accounts that writes no line of a scan,
and one with accounts, a service's token, its trail, checkpoint and copies, in turn; medians and
their ratios. The start is seen to 0.2 s.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.rounds import write
from core.image.example import example_file
from core.people.accounts import Accounts
from core.people.acting import SERVER, acting_as
from core.people.sign_ins import SignIns
from core.settings import ROOT
from core.state.database import connect
from tests.server import running

_SCANS = 15
# Stands for Python with ``-m app`` before the other arguments.
_WITHOUT_TRAIL = """#!/bin/sh
shift 2
exec {python} -c "import sys
from core.people import audit
audit.record_alone = lambda *told, **words: None
from app.__main__ import main
sys.exit(main(sys.argv[1:]))" "$@"
"""


def with_accounts(folder: Path) -> dict[str, str]:
    """Make an administrator and a service in a data folder; the headers of the service."""
    engine = connect(folder)
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
        if is_on:
            headers = with_accounts(folder)
        else:
            python = Path(name) / "python"
            python.write_text(_WITHOUT_TRAIL.format(python=sys.executable))
            python.chmod(0o700)
        settings = {"audit_key": "k" * 32} if is_on else {}
        begun = time.perf_counter()
        with running(folder, python=str(python), root=ROOT, **settings) as server:
            ready_s = time.perf_counter() - begun
            seconds = []
            with httpx.Client(base_url=server.url, headers=headers, timeout=300) as client:
                for _ in range(_SCANS):
                    begun = time.perf_counter()
                    client.post("/api/predict", files={"image": scan}).raise_for_status()
                    seconds.append(time.perf_counter() - begun)
    return {"ready_s": ready_s, "scan_s": statistics.median(seconds[1:])}


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
        print(f"{key:8} off {off:7.3f}  on {on:7.3f}  on/off {statistics.median(ratios):.3f} "
              f"({min(ratios):.3f} to {max(ratios):.3f})")  # fmt: skip
    write("guarded", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
