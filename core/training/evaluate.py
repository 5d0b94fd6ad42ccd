"""How well a version does on a frozen test set: Dice, HD95 and volume error, case by case.

The masks come from the same predictor that serves. Imports nnU-Net: late.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.model import Model
from core.predictor.calibrate import read_labelled
from core.predictor.service import Way, loaded
from core.segmentation import LABELS
from core.training.dataset import Dataset, file_names


def evaluate(
    model: Model,
    dataset: Dataset,
    folder: Path,
    scratch: Path,
    way: Way,
    seen: Collection[str],
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Evaluate a version on the frozen test set of a data set.

    Parameters
    ----------
    folder
        The data set's files.
    scratch
        For private copies.
    way
        How the masks are computed.
    seen
        ``content_sha256`` of every case that the version, or one that it was made from, was
        trained on.

    Returns
    -------
    dict
        ``cases``: for each its name, whether it was seen, and the figures of each label;
        ``dice``: mean, standard deviation and worst of each label; ``hd95_mm`` and
        ``volume_error_percent``: means; ``seen_in_training``: of any case.
    """
    predictor = loaded(model, way)
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(dataset.test):
        on_case(number, len(dataset.test))
        entry = dataset.cases[name]
        scan, label = (folder / part for part in file_names(name, entry))
        case = read_labelled(scan, label, scratch)
        truth, spacing_mm = case.truth, case.scan.spacing_mm
        mask = predictor.segment(case.scan).labels
        rows.append(
            {
                "case": name,
                "seen": entry.content_sha256 in seen,
                **{
                    part: compare(mask == value, truth == value, spacing_mm)
                    for part, value in LABELS.items()
                },
            }
        )
    predictor.close()
    on_case(len(dataset.test), len(dataset.test))
    return {
        "dataset": dataset.name,
        "test_key": dataset.test_key,
        "cases": rows,
        "seen_in_training": any(row["seen"] for row in rows),
        "dice": {part: _spread([row[part]["dice"] for row in rows]) for part in LABELS},
        "hd95_mm": {part: _mean([row[part]["hd95_mm"] for row in rows]) for part in LABELS},
        "volume_error_percent": {
            part: _mean([abs(row[part]["volume_error_percent"]) for row in rows]) for part in LABELS
        },
    }


def compare(
    mask: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> dict[str, float | None]:
    """One label of one case against the expert's.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (X, Y, Z)
    spacing_mm

    Returns
    -------
    dict
        ``dice`` 0 to 1; ``hd95_mm``, None where either is empty; ``volume_error_percent`` of
        the true volume, negative where the mask is too small.
    """
    found, there = int(mask.sum()), int(truth.sum())
    both = int((mask & truth).sum())
    return {
        "dice": 2 * both / (found + there) if found + there else 1.0,
        "hd95_mm": hd95_mm(mask, truth, spacing_mm),
        "volume_error_percent": 100 * (found - there) / there if there else 0.0,
    }


def hd95_mm(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> float | None:
    """The 95th percentile of the distances between two surfaces, both ways, in mm.

    Surfaces are the voxels with a neighbour outside (26-connected); distances are between
    voxel centres. None where either is empty. Huttenlocher et al. (1993), robust form.
    """
    if not a.any() or not b.any():
        return None
    surfaces = [mask & ~ndimage.binary_erosion(mask, np.ones((3, 3, 3))) for mask in (a, b)]
    away = [ndimage.distance_transform_edt(~surface, spacing_mm) for surface in surfaces]
    distances = np.concatenate([away[1][surfaces[0]], away[0][surfaces[1]]])
    return float(np.percentile(distances, 95))


def _spread(values: list[float]) -> dict[str, float]:
    array = np.array(values)
    return {
        "mean": round(float(array.mean()), 4),
        "sd": round(float(array.std(ddof=1)) if len(values) > 1 else 0.0, 4),
        "worst": round(float(array.min()), 4),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(float(np.mean(known)), 3) if known else None
