"""Where a model comes from: cases, request, programs. Needs neither PyTorch nor nnU-Net."""

import contextlib
import importlib.metadata
import io
import subprocess
from typing import Any

from core.settings import ROOT
from core.training.config import TrainingConfig, TrainingRequest
from core.training.data.dataset import FOLDS, Dataset

_PROGRAMS = ("nnunetv2", "torch", "numpy", "batchgenerators")
_NNUNET_SEED = 12345  # of nnU-Net's own split


def lineage(config: TrainingConfig, request: TrainingRequest, dataset: Dataset) -> dict[str, Any]:
    """Where a training comes from: data set, request, configuration, programs, commit."""
    return {
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "request": request.as_dict(),
        "configuration": vars(config),
        "programs": {name: importlib.metadata.version(name) for name in _PROGRAMS},
        "commit": _commit(),
    }


def folds(config: TrainingConfig, dataset: Dataset) -> list[dict[str, list[str]]]:
    """The cases to train on (``train``) and those held out (``val``) in each of the five folds.

    If the test set is trained on as well, they are the folds that nnU-Net makes, of patients where
    nnU-Net takes files: its own, where each case is a patient.
    """
    if config.with_test:
        with contextlib.redirect_stdout(io.StringIO()):
            from nnunetv2.utilities.crossval_split import generate_crossval_split

        patients = sorted({entry.patient for entry in dataset.cases.values()})
        splits: list[dict[str, list[str]]] = generate_crossval_split(
            patients, seed=_NNUNET_SEED, n_splits=FOLDS
        )
        cases: dict[str, list[str]] = {}
        for name in sorted(dataset.cases):
            cases.setdefault(dataset.cases[name].patient, []).append(name)
        return [
            {
                part: [n for patient in of_part for n in cases[patient]]
                for part, of_part in s.items()
            }
            for s in splits
        ]
    return dataset.splits()


def trained_on(config: TrainingConfig, dataset: Dataset) -> list[str]:
    """The cases that a training learns from, without the fold that it holds out."""
    if config.fold >= 0:
        return folds(config, dataset)[config.fold]["train"]
    return list(dataset.cases) if config.with_test else dataset.training


def _commit() -> str:
    """The program's git commit, where there is one."""
    try:
        process = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git is installed
            cwd=ROOT, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return process.stdout.strip() or "unknown"
