"""``python -m benchmarks.drift_scale [CASES]``: drift with many cases, on SQLite.

Rows are written by SQL, as an installation has them after years: a tenth are heads, all since the
last promotion and in their chain. Printed are the seconds of what the Drift page asks for, of its
report, and of one case that is new.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from core.cases.store import Cases
from core.drift.kinds import followed
from core.drift.of_cases import drift_of_cases
from core.drift.watch import DriftWatch
from core.exports.drift_reports import parts_of
from core.measures.features import Values
from core.models.registry import Registry
from core.settings import Settings
from core.state.database import connect, timestamp
from core.state.storage import LocalStorage
from core.state.tables import CASES, DRIFT_CHAINS, DRIFT_STEPS, FEATURES
from tests import tiny

_CASES, _TIMES, _AT_ONCE = 1_000_000, 5, 5000
_HEADS_EVERY = 10


class Place:
    """An installation in a folder."""

    def __init__(self, folder: Path) -> None:
        self.engine = connect(folder)
        storage = LocalStorage(folder / "storage")
        self.storage = storage
        self.cases = Cases(self.engine, storage)
        self.cases.import_from_storage()
        self.registry = Registry(self.engine, storage, Settings().model_dir)
        self.registry.prepare()
        self.watch = DriftWatch(self.engine, self.cases, self.registry, storage)
        trained = self.registry.reference(1)
        self.reference: list[Values] = [c["features"] for c in trained if c["features"]]
        self.rng = np.random.default_rng(0)
        self.report = json.dumps(tiny.analysis(1).as_dict())

    def fill(self, first: int, count: int) -> None:
        """So many further cases."""
        began = datetime.now(UTC) + timedelta(seconds=60 + first)
        for numbers in batched(range(first, first + count), _AT_ONCE):
            rows, features = [], []
            for number in numbers:
                is_head = number % _HEADS_EVERY == 0
                at = (began + timedelta(seconds=number)).isoformat(timespec="milliseconds")
                report = self.report.replace('"head": null', '"head": {"sides": {}}')
                rows.append({
                    "id": f"HV-{number:09}", "name": "x", "created_at": at, "model_version": "1",
                    "anterior_mm3": 1.0, "posterior_mm3": 1.0, "warning_count": 0,
                    "report": report if is_head else self.report,
                })  # fmt: skip
                features.append({
                    "case_id": f"HV-{number:09}", "content": json.dumps(self.values(is_head)),
                })  # fmt: skip
            with self.engine.begin() as connection:
                connection.execute(CASES.insert(), rows)
                connection.execute(FEATURES.insert(), features)

    def values(self, is_head: bool) -> Values:
        """Those of a scan of the reference, moved a little, so that none comes twice."""
        values = dict(self.reference[self.rng.integers(len(self.reference))])
        values["bias"] += float(self.rng.normal(0, 1e-9))
        return values | {"misfit": 1.0} if is_head else values

    def take_in(self) -> None:
        """Have all crops in their chain, without the hours that it took."""
        scores = json.dumps({f.key: [0.1, 0.1] for f in followed("crop")})
        with self.engine.begin() as connection:
            (chain,) = connection.execute(
                select(DRIFT_CHAINS.c.id).where(DRIFT_CHAINS.c.kind == "crop")
            ).scalars()
            connection.execute(DRIFT_STEPS.delete())
            crops = select(CASES.c.id).where(~CASES.c.report.contains('"head": {'))
            ids = connection.scalars(crops)
            rows: Iterator[dict[str, Any]] = (
                {"chain": chain, "number": number, "case_id": case, "at": timestamp(),
                 "scores": scores, "level": 0.1, "severity": "quiet"}
                for number, case in enumerate(ids.all(), 1)
            )  # fmt: skip
            count = 0
            for some in batched(rows, _AT_ONCE):
                connection.execute(DRIFT_STEPS.insert(), some)
                count += len(some)
            connection.execute(DRIFT_CHAINS.update().values(scans=count, severity="quiet"))


def batched(rows: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """So many at a time."""
    each = iter(rows)
    while some := list(islice(each, count)):
        yield some


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the seconds of a block, on the wall and of the processor."""
    began, used = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{what:<40} {wall:8.3f} s, {cpu:8.3f} s of the processor", flush=True)


def main(count: int) -> None:
    """Print the figures."""
    from core.exports.drift_report import report_html

    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name))
        place.fill(0, 20)
        place.watch.look(may_begin=True)
        with timed(f"{count:,} cases written"):
            place.fill(20, count - 20)
            place.take_in()
        with timed("the first look"):
            place.watch.look()
        for _ in range(_TIMES):
            with timed("what the page asks for, newest 200"):
                chains = place.watch.look()
                drift = drift_of_cases(place.cases, place.registry, place.storage, 200, chains)
            with timed("the report (.html)"):
                report_html(parts_of(drift))
            place.fill(count, 1)
            count += 1
            with timed("one new case"):
                place.watch.look()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _CASES)
