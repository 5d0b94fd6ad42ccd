"""What mirroring, int8 and bfloat16 cost and gain: Dice against the experts, and seconds.

``python -m benchmarks.mirroring FOLDER [EVERY]``: a data set in the Decathlon's layout. The
embedded model saw its cases in training: the differences count, not the figures. bfloat16 is left
out where the CPU has none.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.rounds import write
from core.anatomy import LABELS
from core.models.folder import load_model
from core.predictor.calibrate import read_labelled
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import MIRRORINGS, Settings


def main() -> None:
    """Print the table."""
    folder, every = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as scratch:
        cases = [
            read_labelled(path, folder / "labelsTr" / path.name, Path(scratch))
            for path in sorted((folder / "imagesTr").glob("[!.]*.nii.gz"))[::every]
        ]
    sides = {}
    for precision in ("float32", "int8", "bfloat16"):
        for mirroring in MIRRORINGS:
            options = InferenceOptions(device="cpu", precision=precision, mirroring=mirroring)
            predictor = loaded(load_model(Settings().model_dir), options)
            if predictor.network.precision == precision:
                sides[f"{precision}, {mirroring}"] = predictor
    dice: dict[str, list[list[float]]] = {name: [] for name in sides}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    same: dict[str, list[float]] = {name: [] for name in sides}
    for case in cases:
        masks = {}
        for name, predictor in sides.items():
            start = time.perf_counter()
            masks[name] = predictor.segment(case.scan).labels
            seconds[name].append(time.perf_counter() - start)
        for name, mask in masks.items():
            dice[name].append([
                2 * float(((mask == v) & (case.truth == v)).sum())
                / float((mask == v).sum() + (case.truth == v).sum()) for v in LABELS.values()
            ])  # fmt: skip
            same[name].append(float((mask == masks["float32, full"]).mean()))
    print(f"{len(cases)} cases, differences to float32 with full mirroring")
    print(f"{'':20}{'anterior':>10}{'posterior':>11}{'change':>20}{'agreement':>11}{'seconds':>9}")
    rows = {}
    base = np.array(dice["float32, full"])
    for name, own in dice.items():
        change = (np.array(own) - base).mean(0)
        mean = np.array(own).mean(0)
        rows[name] = {
            "dice": mean.tolist(), "change": change.tolist(),
            "agreement": float(np.mean(same[name])), "median_s": float(np.median(seconds[name])),
        }  # fmt: skip
        print(f"{name:20}{mean[0]:10.4f}{mean[1]:11.4f}{change[0]:+11.5f}{change[1]:+9.5f}"
              f"{np.mean(same[name]):11.5f}{np.median(seconds[name]):9.3f}")  # fmt: skip
    write("mirroring", {"cases": len(cases), **rows})


if __name__ == "__main__":
    main()
