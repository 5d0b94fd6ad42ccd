"""``python -m benchmarks.folds DATA MASKS [MASKS ...]``: a cross-validation by person.

DATA is ``Task04_Hippocampus``; MASKS are the folders ``masks`` that ``python -m core evaluate
--cases unseen`` writes, one for each fold or one for all. For each label and the whole: Dice (mean,
95 % interval over persons), HD95, volume against the expert's (mean and limits of agreement). Of
the border between the labels: how far its coronal plane lies from the expert's, in mm.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import nibabel as nib
import numpy as np

from core.anatomy import LABELS
from core.training.evaluation.metrics import compare

_PARTS = (*LABELS, "whole")
_RESAMPLINGS = 2000


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("masks", type=Path, nargs="+")
    options = parser.parse_args()
    files = sorted(path for folder in options.masks for path in folder.glob("*.nii.gz"))
    figures: dict[str, list[dict[str, float | None]]] = {part: [] for part in _PARTS}
    off_mm = []
    for path in files:
        mask, spacing_mm = _read(path)
        truth, _ = _read(options.data / "labelsTr" / path.name)
        for part in _PARTS:
            a, b = (_part(labels, part) for labels in (mask, truth))
            figures[part].append(compare(a, b, spacing_mm))
        off_mm.append((border(mask) - border(truth)) * spacing_mm[1])
    persons = np.array([_person(path) for path in files])
    print(f"{len(files)} crops of {len(set(persons))} persons")
    for part, rows in figures.items():
        dice = np.array([row["dice"] for row in rows], float)
        low, high = _interval(dice, persons)
        hd95_mm = np.median([row["hd95_mm"] for row in rows if row["hd95_mm"] is not None])
        error = np.array([row["volume_error_percent"] for row in rows], float)
        spread = 1.96 * error.std(ddof=1)
        print(
            f"{part:9s} Dice {dice.mean():.4f} ({low:.4f} to {high:.4f}), worst {dice.min():.3f}, "
            f"HD95 {hd95_mm:.2f} mm, volume {error.mean():+.1f} % "
            f"({error.mean() - spread:+.1f} to {error.mean() + spread:+.1f})"
        )
    far = np.abs(off_mm)
    print(
        f"border    off by {np.median(far):.2f} mm in the median, {np.percentile(far, 95):.2f} mm "
        f"in 95 %, mean {np.mean(off_mm):+.2f} mm, SD {np.std(off_mm, ddof=1):.2f} mm"
    )
    return 0


def border(labels: np.ndarray) -> float:
    """The coronal slice where the posterior part ends, with the fewest voxels on the wrong side.

    Parameters
    ----------
    labels : ndarray, shape (X, Y, Z)
        RAS+.
    """
    anterior, posterior = ((labels == value).sum((0, 2)) for value in LABELS.values())
    behind = np.concatenate([[0], np.cumsum(anterior)])
    before = posterior.sum() - np.concatenate([[0], np.cumsum(posterior)])
    wrong = behind + before
    return float(np.flatnonzero(wrong == wrong.min()).mean())


def _read(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    image = nib.as_closest_canonical(nib.load(path))
    x, y, z = (float(mm) for mm in image.header.get_zooms()[:3])
    return np.rint(np.asarray(image.dataobj)).astype(np.uint8), (x, y, z)


def _part(labels: np.ndarray, part: str) -> np.ndarray:
    return np.asarray(labels > 0 if part == "whole" else labels == LABELS[part])


def _person(path: Path) -> int:
    return (int(path.name.split(".")[0].rsplit("_", 1)[1]) + 1) // 2


def _interval(values: np.ndarray, persons: np.ndarray) -> tuple[float, float]:
    """95 % of the means over persons drawn anew."""
    of_person = defaultdict(list)
    for person, value in zip(persons, values, strict=True):
        of_person[person].append(value)
    groups = list(of_person.values())
    random = np.random.default_rng(0)
    means = []
    for _ in range(_RESAMPLINGS):
        drawn = random.integers(len(groups), size=len(groups))
        means.append(np.mean([value for index in drawn for value in groups[index]]))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
