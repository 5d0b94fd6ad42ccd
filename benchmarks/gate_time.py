"""``python -m benchmarks.gate_time FOLDER``: the gate's check of the time, beside busy programs.

For the embedded model against itself, and for a slower one (the same in float32) against it: the
ratio of their times by the median of each, by the shortest of each (what the gate takes) and by the
processor's time, beside none, two and four programs that compute without a pause. FOLDER holds
crops; the first of them are timed, as the gate does after a training.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import limits
from core.image import volume
from core.image.intake import vetted
from core.image.volume import Volume
from core.models.folder import load_model
from core.predictor.predictor import InferenceOptions, Predictor, loaded
from core.settings import Settings
from core.training.evaluation.latency import shortest_in_turn

_BUSY = "import numpy as np\nx = np.ones((400, 400))\nwhile True: x @ x"
_PROGRAMS = (0, 2, 4)
_REPEATED = 3
_MEDIAN_ROUNDS = 3


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs that compute for as long as the block lasts."""
    children = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(programs)]
    time.sleep(1 if programs else 0)
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def medians(first: Predictor, second: Predictor, scans: list[Volume], clock: object) -> float:
    """The ratio of the medians of ``_MEDIAN_ROUNDS`` rounds in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn, scan in enumerate(scans * _MEDIAN_ROUNDS):
        for which in (turn % 2, 1 - turn % 2):
            start = clock()  # type: ignore[operator]
            (first, second)[which].segment(scan)
            taken[which].append(clock() - start)  # type: ignore[operator]
    return statistics.median(taken[0]) / statistics.median(taken[1])


def _read(crop: Path, scratch: Path) -> Volume:
    with crop.open("rb") as stream, vetted(stream, scratch) as file:
        scan = volume.load(file)
        _ = scan.unit  # read before its private copy goes
    return scan


def main() -> None:
    """Print the table."""
    crops = sorted(Path(sys.argv[1]).glob("[!.]*.nii.gz"))[: limits.LATENCY_CASES]
    with tempfile.TemporaryDirectory() as scratch:
        scans = [_read(crop, Path(scratch)) for crop in crops]
    model = load_model(Settings().model_dir)
    serving = loaded(model, InferenceOptions())
    others = {
        "the same": loaded(model, InferenceOptions()),
        "slower": loaded(model, InferenceOptions(precision="float32")),
    }
    for predictor in (serving, *others.values()):
        predictor.warm_up()
    print(f"{len(scans)} crops, {_REPEATED} times each; the gate stops above {limits.GATE_TIMES}")
    print(f"{'':10}{'programs':>10}  {'medians':22}{'shortest':22}{'processor':22}seconds")
    for programs in _PROGRAMS:
        for name, other in others.items():
            rows: list[tuple[float, float, float]] = []
            seconds = 0.0
            with busy(programs):
                for _ in range(_REPEATED):
                    by_median = medians(other, serving, scans, time.perf_counter)
                    by_processor = medians(other, serving, scans, time.process_time)
                    start = time.perf_counter()
                    own_s, other_s = shortest_in_turn(other, serving, scans)
                    seconds = max(seconds, time.perf_counter() - start)
                    rows.append((by_median, own_s / other_s, by_processor))
            columns = "".join(
                f"{' '.join(f'{value:.2f}' for value in column):22}"
                for column in zip(*rows, strict=True)
            )
            print(f"{name:10}{programs:10}  {columns}{seconds:.0f}", flush=True)


if __name__ == "__main__":
    main()
