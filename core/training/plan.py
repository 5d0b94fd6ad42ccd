"""nnU-Net's planning and preprocessing, called from Python.

It imports nnU-Net, which takes seconds: import it only where a training begins.
"""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiment_dataset
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from core.models.folder import Model
from core.state.storage import write_whole
from core.training.config import TrainingConfig
from core.training.data.dataset import NNUNET_NAME, READER, Dataset, file_names
from core.training.origin import folds

_ID = 1
_PLANS = "nnUNetPlans"
_SMALL = "3d_cpu"
_RESIDUAL = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
# As nnU-Net's planner for residual encoders has them.
_RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6, 6)
_DONE = "hippoview-preprocessed"
# Foreground voxels whose intensities are looked at, of all cases together.
_INTENSITIES = 1_000_000


def set_environment(
    folder: Path, config: TrainingConfig, dataset: Dataset, dataset_folder: Path
) -> None:
    """Tell nnU-Net, by environment variables, where the files of this job are.

    ``dataset.json`` lists the cases: otherwise nnU-Net searches for them with twelve forked
    processes, one of which may wait for ever for a lock that another thread held when it was
    forked (docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods).
    """
    raw = folder / "raw"
    target = raw / NNUNET_NAME
    if target.is_symlink():  # of a training that an earlier version began
        target.unlink()
    target.mkdir(parents=True, exist_ok=True)
    dataset_folder = dataset_folder.resolve()
    names = list(dataset.cases) if config.with_test else dataset.training
    files = {name: file_names(name, dataset.cases[name]) for name in names}
    cases = {
        name: {"images": [str(dataset_folder / image)], "label": str(dataset_folder / label)}
        for name, (image, label) in files.items()
    }
    description = json.loads((dataset_folder / "dataset.json").read_bytes())
    named = json.dumps(description | {"dataset": cases}, indent=1)
    write_whole(target / "dataset.json", named.encode())
    os.environ["nnUNet_raw"] = str(raw)
    os.environ["nnUNet_preprocessed"] = str(folder / "preprocessed")
    os.environ["nnUNet_results"] = str(folder / "results")


def plan(folder: Path, config: TrainingConfig, parent: Model | None) -> tuple[dict[str, Any], str]:
    """The plans of a training, and the name of its configuration within them.

    Parameters
    ----------
    parent
        The version that is fine-tuned: its plans are kept, or the weights would not fit.
    """
    target = folder / "preprocessed" / NNUNET_NAME
    if parent is not None:
        target.mkdir(parents=True, exist_ok=True)
        # The trainer copies a fingerprint beside its results and never reads it.
        write_whole(target / "dataset_fingerprint.json", b"{}")
        plans = parent.json("plans.json") | {"dataset_name": NNUNET_NAME}
        plans["plans_name"] = _PLANS
        plans["image_reader_writer"] = READER
        configuration = parent.configuration
    else:
        target.mkdir(parents=True, exist_ok=True)
        dataset_fingerprint = json.dumps(fingerprint(folder / "raw" / NNUNET_NAME))
        write_whole(target / "dataset_fingerprint.json", dataset_fingerprint.encode())
        plans, _ = plan_experiment_dataset(_ID)
        plans = json.loads(json.dumps(plans))
        plans["configurations"][_SMALL] = _small(plans["configurations"]["3d_fullres"], config)
        configuration = config.configuration
    write_whole(target / f"{_PLANS}.json", json.dumps(plans, indent=1).encode())
    # nnU-Net's planner would have copied it; it does not run where plans are kept.
    description = folder / "raw" / NNUNET_NAME / "dataset.json"
    write_whole(target / "dataset.json", description.read_bytes())
    return plans, configuration


def fingerprint(raw: Path) -> dict[str, Any]:
    """What nnU-Net's planner wants to know of a data set: spacings, shapes, intensities.

    nnU-Net's own loop starts a process that imports PyTorch, which takes longer than the work
    itself, and sends it a hundred million intensities of which a million say the same. So its
    function for one case is called here.

    Parameters
    ----------
    raw
        Folder with the ``dataset.json`` that `set_environment` wrote.
    """
    description = json.loads((raw / "dataset.json").read_bytes())
    files = get_filenames_of_train_images_and_targets(str(raw), description)
    first = next(iter(files.values()))["images"][0]
    reader = determine_reader_writer_from_dataset_json(description, first, verbose=False)
    share = _INTENSITIES // len(files)
    shapes, spacings, intensities, _, sizes = zip(
        *(
            DatasetFingerprintExtractor.analyze_case(
                paths["images"], paths["label"], reader, num_samples=share
            )
            for paths in files.values()
        ),
        strict=True,
    )
    values = np.concatenate([of_case[0] for of_case in intensities])
    low, median, high = np.percentile(values, (0.5, 50.0, 99.5))
    statistics = {
        "mean": values.mean(), "median": median, "std": values.std(),
        "min": values.min(), "max": values.max(),
        "percentile_00_5": low, "percentile_99_5": high,
    }  # fmt: skip
    return {
        "spacings": [list(map(float, one)) for one in spacings],
        "shapes_after_crop": [list(map(int, one)) for one in shapes],
        "foreground_intensity_properties_per_channel": {
            "0": {name: float(value) for name, value in statistics.items()}
        },
        "median_relative_size_after_cropping": float(np.median(sizes)),
    }


def preprocess(
    folder: Path,
    configuration: str,
    config: TrainingConfig,
    dataset: Dataset,
    on_case: Callable[[int, int], None],
) -> None:
    """Preprocess the training cases once, and write the folds for nnU-Net.

    nnU-Net's own loop starts processes that each import PyTorch, which takes longer than the work
    itself, and waits for ever if one of them hangs. So its function for one case is called here.

    Parameters
    ----------
    on_case
        Called with the number of cases done and their total.
    """
    target = folder / "preprocessed" / NNUNET_NAME
    done = target / _DONE
    if not done.is_file():
        plans = PlansManager(str(target / f"{_PLANS}.json"))
        manager = plans.get_configuration(configuration)
        description = json.loads((target / "dataset.json").read_bytes())
        preprocessor = manager.preprocessor_class(verbose=False)
        files = get_filenames_of_train_images_and_targets(
            str(folder / "raw" / NNUNET_NAME), description
        )
        out = target / manager.data_identifier
        shutil.rmtree(out, ignore_errors=True)  # left by a process that was killed
        out.mkdir(parents=True)
        for number, (case, paths) in enumerate(files.items(), start=1):
            preprocessor.run_case_save(
                str(out / case), paths["images"], paths["label"], plans, manager, description
            )
            on_case(number, len(files))
    write_whole(target / "splits_final.json", json.dumps(folds(config, dataset), indent=1).encode())
    write_whole(done, b"")


def _small(full: dict[str, Any], config: TrainingConfig) -> dict[str, Any]:
    """The full 3-D configuration with fewer features and a smaller batch, for two cores."""
    architecture = json.loads(json.dumps(full["architecture"]))
    arguments = architecture["arch_kwargs"]
    stages = arguments["n_stages"]
    arguments["features_per_stage"] = [config.features * 2**stage for stage in range(stages)]
    if config.residual:
        architecture["network_class_name"] = _RESIDUAL
        del arguments["n_conv_per_stage"]
        arguments["n_blocks_per_stage"] = list(_RESIDUAL_BLOCKS[:stages])
    return {
        "inherits_from": "3d_fullres",
        "batch_size": config.batch,
        "architecture": architecture,
    }
