"""nnU-Net's planning and preprocessing, called from Python. Imports nnU-Net: late."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

from core.model import Model
from core.storage import write_whole
from core.training.config import TrainingConfig
from core.training.dataset import NNUNET_NAME, Dataset

_ID = 1
_PLANS = "nnUNetPlans"
_SMALL = "3d_cpu"
_SMALL_FIRST_FEATURES, _SMALL_BATCH = 16, 2
_DONE = "hippoview-preprocessed"


def set_environment(folder: Path, dataset_folder: Path) -> None:
    """Tell nnU-Net where everything of this job lies; it reads environment variables."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    link = raw / NNUNET_NAME
    link.unlink(missing_ok=True)
    link.symlink_to(dataset_folder.resolve(), target_is_directory=True)
    os.environ["nnUNet_raw"] = str(raw)
    os.environ["nnUNet_preprocessed"] = str(folder / "preprocessed")
    os.environ["nnUNet_results"] = str(folder / "results")


def plan(folder: Path, config: TrainingConfig, base: Model | None) -> tuple[dict[str, Any], str]:
    """The plans of a training, and the name of its configuration within them.

    Parameters
    ----------
    base
        The version that is fine-tuned: its plans are kept, or the weights would not fit.
    """
    extract_fingerprint_dataset(_ID, num_processes=1, clean=False, show_progress_bar=False)
    if base is not None:
        plans = base.json("plans.json") | {"dataset_name": NNUNET_NAME}
        plans["plans_name"] = _PLANS
        configuration = base.configuration
    else:
        plans, _ = plan_experiment_dataset(_ID)
        plans = json.loads(json.dumps(plans))
        plans["configurations"][_SMALL] = _small(plans["configurations"]["3d_fullres"])
        configuration = config.configuration
    target = folder / "preprocessed" / NNUNET_NAME
    write_whole(target / f"{_PLANS}.json", json.dumps(plans, indent=1).encode())
    # nnU-Net's planner would have copied it; it does not run where plans are kept.
    description = folder / "raw" / NNUNET_NAME / "dataset.json"
    write_whole(target / "dataset.json", description.read_bytes())
    return plans, configuration


def preprocess(folder: Path, configuration: str, dataset: Dataset) -> None:
    """Preprocess the training cases once, and write the folds for nnU-Net."""
    target = folder / "preprocessed" / NNUNET_NAME
    done = target / _DONE
    if not done.is_file():
        processes = min(8, os.cpu_count() or 1)
        preprocess_dataset(
            _ID, _PLANS, (configuration,), num_processes=(processes,), show_progress_bar=False
        )
    write_whole(target / "splits_final.json", json.dumps(dataset.splits(), indent=1).encode())
    write_whole(done, b"")


def _small(full: dict[str, Any]) -> dict[str, Any]:
    """The full 3-D configuration with half the features and a batch that suits two cores."""
    architecture = json.loads(json.dumps(full["architecture"]))
    arguments = architecture["arch_kwargs"]
    arguments["features_per_stage"] = [
        _SMALL_FIRST_FEATURES * 2**stage for stage in range(arguments["n_stages"])
    ]
    return {
        "inherits_from": "3d_fullres",
        "batch_size": _SMALL_BATCH,
        "architecture": architecture,
    }
