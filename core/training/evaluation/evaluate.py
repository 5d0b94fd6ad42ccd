"""Evaluates a model version on labelled cases, case by case and in summary.

The masks come from the same predictor that serves.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.models.folder import Model
from core.predictor.calibrate import read_labelled
from core.predictor.predictor import InferenceOptions, loaded
from core.training.data.dataset import Dataset, file_names, files_key
from core.training.data.patients import first_cases
from core.training.evaluation.metrics import compare
from core.training.evaluation.statistics import agreement, failures, mean_of

# Format of the figures; figures of another format are computed anew.
FORMAT = 2
OnMask = Callable[[str, NDArray[np.uint8], NDArray[np.float64]], None]


def evaluate(
    model: Model,
    dataset: Dataset,
    names: Sequence[str],
    folder: Path,
    scratch: Path,
    options: InferenceOptions,
    seen: Collection[str],
    on_case: Callable[[int, int], None] = lambda done, total: None,
    on_mask: OnMask = lambda name, labels, affine: None,
) -> dict[str, Any]:
    """Evaluate a version on cases of a data set.

    Parameters
    ----------
    names
        The cases; ``dataset.test`` is its frozen test set.
    folder
        The data set's files.
    scratch
        For private copies.
    options
        How the masks are computed.
    seen
        ``content_sha256`` of every case that the version, or one that it was made from, was
        trained on. All cases of their patients count as seen.
    on_mask
        Called with each case's name, mask and affine, both RAS+.

    Returns
    -------
    dict
        `summary` of the cases' figures; ``options``, how the masks were computed; ``sha256`` of the
        version's weights.
    """
    predictor = loaded(model, options)
    known = dataset.known_to(seen)
    patients = first_cases({name: dataset.cases[name].patient for name in names})
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        on_case(number, len(names))
        entry = dataset.cases[name]
        scan, label = (folder / part for part in file_names(name, entry))
        case = read_labelled(scan, label, scratch)
        mask = predictor.segment(case.scan).labels
        on_mask(name, mask, case.scan.affine)
        rows.append(
            {
                "case": name,
                "seen": name in known,
                "files": files_key(entry),
                "patient": patients[name],
                **{
                    part: compare(mask == value, case.truth == value, case.scan.spacing_mm)
                    for part, value in LABELS.items()
                },
            }
        )
    predictor.close()
    on_case(len(names), len(names))
    return summary(dataset, rows) | {"options": asdict(options), "sha256": model.sha256}


def summary(dataset: Dataset, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summary figures of all cases.

    Returns
    -------
    dict
        ``cases``: for each its name, whether its patient was seen, a hash of its files, the
        first case of its patient, and `compare`'s figures of each label; ``test_key`` identifies
        them all by content;
        ``split_by_file``: whether patients are on two sides of the data set's split;
        ``seen_in_training``: whether any was; then by label: ``failed``, how many masks lack it;
        ``dice`` with mean, its interval, standard deviation, median and worst; means of
        ``hd95_mm`` (and ``hd95_median_mm``), ``asd_mm`` and ``precision`` over the cases that did
        not fail; of ``sensitivity``, and of the absolute ``volume_error_percent``;
        ``volume_agreement_mm3`` by Bland and Altman.
    """

    def of(part: str, figure: str) -> list[float]:
        return [row[part][figure] for row in rows if row[part][figure] is not None]

    def by_label(make: Callable[[str], Any]) -> dict[str, Any]:
        return {part: make(part) for part in LABELS}

    return {
        "format": FORMAT,
        "dataset": dataset.name,
        "test_key": _key_of(dataset, rows),
        "split_by_file": dataset.split_by_file,
        "cases": rows,
        "seen_in_training": any(row["seen"] for row in rows),
        "failed": failures({"cases": rows}),
        "dice": by_label(lambda part: _spread(of(part, "dice"))),
        "hd95_mm": by_label(lambda part: _mean(of(part, "hd95_mm"))),
        "hd95_median_mm": by_label(lambda part: _median(of(part, "hd95_mm"))),
        "asd_mm": by_label(lambda part: _mean(of(part, "asd_mm"))),
        "sensitivity": by_label(lambda part: _mean(of(part, "sensitivity"))),
        "precision": by_label(lambda part: _mean(of(part, "precision"))),
        "volume_error_percent": by_label(
            lambda part: _mean(abs(v) for v in of(part, "volume_error_percent"))
        ),
        "volume_agreement_mm3": by_label(
            lambda part: agreement(of(part, "volume_mm3"), of(part, "truth_mm3"))
        ),
    }


def _key_of(dataset: Dataset, rows: list[dict[str, Any]]) -> str:
    """The frozen test set's key, or a key made of the cases that were evaluated instead."""
    names = sorted(row["case"] for row in rows)
    if names == sorted(dataset.test):
        return dataset.test_key
    files = "".join(files_key(dataset.cases[name]) for name in names)
    return f"cases-{hashlib.sha256(files.encode()).hexdigest()[:16]}"


def mask_file(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> bytes:
    """A mask as .nii.gz on its data set's own grid."""
    image = nib.Nifti1Image(labels, affine)
    return gzip.compress(bytes(image.to_bytes()), mtime=0)


def evaluation_file(figures: dict[str, Any]) -> bytes:
    """An evaluation as JSON."""
    return (json.dumps(figures, indent=1) + "\n").encode()


def _spread(values: list[float]) -> dict[str, float]:
    array = np.array(values)
    return {
        **mean_of(values).as_dict(),
        "sd": round(float(array.std(ddof=1)) if len(values) > 1 else 0.0, 4),
        "median": round(float(np.median(array)), 4),
        "worst": round(float(array.min()), 4),
    }


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return round(float(np.mean(numbers)), 3) if numbers else None


def _median(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return round(float(np.median(numbers)), 3) if numbers else None
