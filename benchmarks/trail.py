"""What the trail costs an act: the same change of a row with and without its line, in turn.

``python -m benchmarks.trail [ROUNDS]``: a transaction that writes one row, and the same with a line
and its checkpoint; then how long verifying takes for each thousand lines.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from core.people.audit import record, recording
from core.people.audit_verify import verify
from core.state.choices import choose
from core.state.database import connect
from core.state.storage import LocalStorage


def bare(engine: Engine) -> None:
    """A row without a line."""
    with engine.begin() as connection:
        choose(connection, "benchmark", {"a": 1})


def lined(engine: Engine) -> None:
    """The same row with its line."""
    with recording(engine) as connection:
        choose(connection, "benchmark", {"a": 1})
        record(connection, "settings", "benchmark")


def ms_of(act: Callable[[Engine], None], engine: Engine) -> float:
    """Milliseconds that an act takes."""
    began = time.perf_counter()
    act(engine)
    return 1000 * (time.perf_counter() - began)


def main(rounds: int) -> None:
    """Print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = connect(folder)
        times: dict[str, list[float]] = {"bare": [], "lined": []}
        for act in (bare, lined):  # what is made once is no part of it
            act(engine)
        for _ in range(rounds):
            for act in (bare, lined):
                times[act.__name__].append(ms_of(act, engine))
        without, with_line = (statistics.median(values) for values in times.values())
        more = with_line - without
        print(f"a row: {without:.2f} ms, with its line: {with_line:.2f} ms (+{more:.2f})")
        began = time.perf_counter()
        found = verify(engine, LocalStorage(folder / "storage"))
        took = time.perf_counter() - began
        print(f"verifying: {1e6 * took / found.lines:.0f} ms for each thousand lines")
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
