"""Where the time of a head goes, step by step, side by side with another checkout.

``python -m benchmarks.head_speed SCAN [ROUNDS] [--against ROOT]``: each checkout in a process of
its own, in turn, the first scan of each not counted. Seconds, and seconds of the processor, which
say more where the machine has other work.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.rounds import write
from core.settings import ROOT

_CHILD = """
import json, sys, tempfile, time
from pathlib import Path
from core.models.folder import load_model
from core.pipeline import analyse
from core.predictor import predictor as module
from core.settings import Settings
# Another checkout may be older: until issue 16 the options were called Way.
options = getattr(module, "InferenceOptions", None) or module.Way
predictor = module.loaded(load_model(Settings().model_dir), options())
predictor.warm_up()
with tempfile.TemporaryDirectory() as folder:
    for line in sys.stdin:
        begun = time.process_time()
        with open(line.strip(), "rb") as file:
            analysis = analyse(file, predictor, Path(folder))
        steps = analysis.timings_s | {"processor": time.process_time() - begun}
        print(json.dumps(steps), flush=True)
predictor.close()
"""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("rounds", type=int, nargs="?", default=10)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    roots = [ROOT, *([options.against] if options.against else [])]
    sides = {
        root: subprocess.Popen(
            [sys.executable, "-c", _CHILD], cwd=root, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for root in roots
    }  # fmt: skip
    rows: dict[Path, list[dict[str, float]]] = {root: [] for root in roots}
    for _ in range(options.rounds + 1):
        for root, process in sides.items():
            rows[root].append(_once(process, options.scan.resolve()))
    for process in sides.values():
        process.communicate()
    medians = {
        root: {step: statistics.median(row[step] for row in found[1:]) for step in found[1]}
        for root, found in rows.items()
    }
    print(f"{'':24}" + "".join(f"{root.name:>12}" for root in roots))
    for step in medians[ROOT]:
        print(f"{step:24}" + "".join(f"{medians[root].get(step, 0):12.3f}" for root in roots))
    write("head_speed", {str(root): found for root, found in medians.items()})
    return 0


def _once(process: Any, scan: Path) -> dict[str, float]:
    process.stdin.write(f"{scan}\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))


if __name__ == "__main__":
    sys.exit(main())
