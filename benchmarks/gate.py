"""``python -m benchmarks.gate TASK04 MODEL OTHER``: how often the gate lets a version pass.

First the other model's Dice less the model's, by patient, on every ninth case of the Decathlon's
Task04 (a folder with imagesTr and labelsTr): how much two networks differ from case to case. Then,
for versions that differ from the one in service as much from patient to patient, how many of them
pass the check of the Dice of one label, by the true difference.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from core.anatomy import LABELS
from core.models.folder import load_model
from core.predictor.calibrate import read_labelled
from core.predictor.predictor import InferenceOptions, loaded
from core.training.evaluation.statistics import mean_of
from core.training.evaluation.verdict import Loss, Margins

_EVERY = 9
_PATIENTS = (10, 24, 44)
_TRUE = (0.004, 0.002, 0.0, -0.005, -0.01)
_REPEATED = 200


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs=2)
    options = parser.parse_args()
    spread = _spread(options.data, options.models)
    margins, rng = Margins(), np.random.default_rng(0)
    print(f"pass the Dice of one label, of {_REPEATED} versions, at SD {spread:.4f}")
    for patients in _PATIENTS:
        for true in _TRUE:
            passed = sum(
                Loss.of(
                    list(rng.normal(true, spread, patients)), margins.dice, 10, "patient"
                ).state == "passed"
                for _ in range(_REPEATED)
            )  # fmt: skip
            print(f"{patients} patients, true difference {true:+.3f}: {passed / _REPEATED:.0%}")
    return 0


def _spread(data: Path, folders: list[Path]) -> float:
    """The larger of the labels' standard deviations."""
    predictors = [loaded(load_model(f), InferenceOptions(device="cpu")) for f in folders]
    dice = []
    with tempfile.TemporaryDirectory() as scratch:
        for scan in sorted((data / "imagesTr").glob("hippocampus_*.nii.gz"))[::_EVERY]:
            case = read_labelled(scan, data / "labelsTr" / scan.name, Path(scratch))
            masks = [predictor.segment(case.scan).labels for predictor in predictors]
            dice.append(
                [
                    [
                        2 * ((m == v) & (case.truth == v)).sum()
                        / ((m == v).sum() + (case.truth == v).sum())
                        for v in LABELS.values()
                    ]
                    for m in masks
                ]
            )  # fmt: skip
    changes = np.diff(np.array(dice), axis=1)[:, 0]
    for label, of_label in zip(LABELS, changes.T, strict=True):
        mean = mean_of(list(of_label))
        print(f"{label}: {len(of_label)} cases, difference {mean.mean:+.4f} ({mean.low:+.4f} to "
              f"{mean.high:+.4f}), SD {of_label.std(ddof=1):.4f}")  # fmt: skip
    return float(changes.std(axis=0, ddof=1).max())


if __name__ == "__main__":
    sys.exit(main())
