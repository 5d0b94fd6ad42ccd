"""Time and memory against the size of the volume, from one patch to 320 voxels along each axis.

``python -m benchmarks.size [EDGE ...]``: each size in a process of its own, without mirroring.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.rounds import write
from core.models.folder import load_model
from core.predictor.engine import ScanRun
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import Settings

_EDGES = (40, 64, 96, 128, 192, 256, 320)


def once(edge: int) -> dict[str, float]:
    """Segment noise of a size."""
    predictor = loaded(
        load_model(Settings().model_dir), InferenceOptions(device="cpu", mirroring="off")
    )
    predictor.warm_up()
    rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shape = (40, 56, 40) if edge == 40 else (edge,) * 3
    noise = np.random.default_rng(0).random(shape, np.float32)
    run = ScanRun()
    start = time.perf_counter()
    predictor.engine.labels(noise, (1.0, 1.0, 1.0), run)
    return {
        "voxels": float(np.prod(shape)),
        "seconds": time.perf_counter() - start,
        "rest_mib": rest,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **run.timings_s,
    }


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(once(int(sys.argv[2]))))
        return
    rows = {}
    print(f"{'edge':>6}{'voxels':>12}{'seconds':>10}{'us a voxel':>12}{'peak (MiB)':>12}")
    for edge in [int(a) for a in sys.argv[1:]] or _EDGES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.size", "--once", str(edge)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        row = rows[str(edge)] = json.loads(done.stdout)
        per_voxel = row["seconds"] / row["voxels"] * 1e6
        print(f"{edge:6}{row['voxels']:12,.0f}{row['seconds']:10.2f}{per_voxel:12.2f}"
              f"{row['peak_mib']:12.0f}", flush=True)  # fmt: skip
    write("size", rows)


if __name__ == "__main__":
    main()
