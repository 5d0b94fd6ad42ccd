"""What encryption at rest costs: two installations, one in clear, in turn in one run.

``python -m benchmarks.encryption [SCAN] [ROUNDS]``: a scan is segmented and kept, opened for the
first time (viewer's files made, scan and mask read), and opened again; a list of a thousand cases
is read; a file of 64 MiB is written and read. Medians in milliseconds, and what was added. Give a
whole head as SCAN: the example is a crop of 140 KiB.
"""

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.viewer.files import ViewerFiles
from core.cases.store import Cases
from core.image.example import example_file
from core.models.folder import opened
from core.people import audit
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import Settings
from core.state.database import connect
from core.state.encryption import Keyring
from core.state.storage import open_storage
from core.state.tables import CASES

_MIB = 1024 * 1024
_LARGE = os.urandom(64 * _MIB)
_LISTED = 1000
_KEY = "benchmark-" * 4


class Installation:
    """Cases and viewer's files of one installation."""

    def __init__(self, folder: Path, predictor: Predictor, scan: bytes, key: str) -> None:
        settings = Settings(data_dir=folder, encryption_key=key)
        self.engine = connect(folder, Keyring.of(settings))
        audit.set_up(self.engine, settings)
        self.storage = open_storage(settings)
        self.cases = Cases(self.engine, self.storage)
        self.files = ViewerFiles(self.cases, folder / "viewed", encrypt=bool(key))
        self.folder, self.predictor, self.scan = folder, predictor, scan
        self.case = ""

    def segment(self) -> None:
        """From the file to the kept case."""
        analysis = analyse(io.BytesIO(self.scan), self.predictor, self.folder / "incoming")
        self.case = self.cases.add(analysis, "a benchmark's name").id

    def open_first(self) -> None:
        """What the viewer fetches of a case that nobody has looked at."""
        self.files.prepare(self.case, 0)
        self.open_again()

    def open_again(self) -> None:
        """The same once it is kept."""
        for file in (self.files.scan(self.case), self.files.mask(self.case, 0)):
            with file.file as content:
                content.read()

    def slice(self) -> None:
        """One picture of a slice."""
        self.files.picture(self.case, 0, 1, 10, "radiological", 0.5)

    def fill(self) -> None:
        """A thousand rows, as of cases that lie in the storage."""
        with self.engine.begin() as connection:
            row = dict(connection.execute(CASES.select()).mappings().first() or {})
            for number in range(_LISTED):
                values = row | {"id": f"HV-{number:06}", "name": f"name {number}", "patient": "P-1"}
                connection.execute(CASES.insert().values(**values))

    def list_cases(self) -> None:
        """All rows of the list."""
        self.cases.find()

    def search(self) -> None:
        """The rows with a word in the name."""
        self.cases.find("name 77")

    def write_large(self) -> None:
        """A file of 64 MiB."""
        self.storage.write("cases/large", _LARGE)

    def read_large(self) -> None:
        """The same file."""
        self.storage.read("cases/large")


def ms_of(act: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds that an act takes, and those of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    act()
    return 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)


def main(scan: bytes, rounds: int) -> None:
    """Print the table."""
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 16)
    with tempfile.TemporaryDirectory() as name:
        houses = [
            Installation(Path(name) / kind, predictors.on("auto"), scan, key)
            for kind, key in (("clear", ""), ("encrypted", _KEY))
        ]
        acts = [
            ("segment and keep", "segment"), ("open first", "open_first"),
            ("open again", "open_again"), ("a slice's picture", "slice"),
            (f"list {_LISTED + rounds} cases", "list_cases"), ("search in them", "search"),
            ("write 64 MiB", "write_large"), ("read 64 MiB", "read_large"),
        ]  # fmt: skip
        for house in houses:  # what is made once is no part of it
            house.segment()
            house.open_first()
            house.fill()
        times: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for number in range(rounds):
            for label, act in acts:
                for index in (0, 1) if number % 2 else (1, 0):
                    took = ms_of(getattr(houses[index], act))
                    times.setdefault((label, index), []).append(took)
        print(f"{'':22}{'clear':>10}{'encrypted':>11}{'more':>9}   of the processor")
        for label, _ in acts:
            wall = [statistics.median(t for t, _ in times[label, index]) for index in (0, 1)]
            cpu = [statistics.median(t for _, t in times[label, index]) for index in (0, 1)]
            more = 100 * (wall[1] / wall[0] - 1)
            print(
                f"{label:22}{wall[0]:8.1f}ms{wall[1]:9.1f}ms{more:+8.1f}%"
                f"   {cpu[0]:.1f}ms, {cpu[1]:.1f}ms ({cpu[1] - cpu[0]:+.1f}ms)"
            )
        for house in houses:
            house.engine.dispose()
    predictors.close()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else example_file(),
        int(sys.argv[2]) if len(sys.argv) > 2 else 9,
    )
