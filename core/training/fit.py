"""Planning, preprocessing and training of one network. Imports nnU-Net, so import it late."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loguru import logger

from core.errors import TrainingError
from core.models.folder import Model
from core.training import plan as planning
from core.training.config import TrainingConfig
from core.training.data.dataset import Dataset, Datasets
from core.training.kept import FINAL
from core.training.progress import Progress, no_epoch_done
from core.training.trainer import Trainer


@dataclass(frozen=True)
class ParentVersion:
    """The model version that a training fine-tunes.

    Attributes
    ----------
    cases : list of dict
        Its training cases, as `core.models.registry.Registry.reference` returns them.
    number : int or None
        Its number in the registry.
    """

    model: Model
    cases: list[dict[str, Any]]
    number: int | None = None


@dataclass(frozen=True)
class PreparedRun:
    """A training whose data set is checked, planned and preprocessed.

    Attributes
    ----------
    folder
        The training's folder, which holds nnU-Net's folders.
    files
        The data set's files.
    plans, configuration
        nnU-Net's plans, and the name of the configuration within them.
    """

    folder: Path
    dataset: Dataset
    files: Path
    plans: dict[str, Any]
    configuration: str


def device_for(config: TrainingConfig, device: str) -> str:
    """The device to train on.

    Raises
    ------
    TrainingError
        It needs a GPU and there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.needs_gpu and device != "cuda":
        raise TrainingError(
            "This preset needs an NVIDIA GPU and there is none",
            "Choose the preset quick or cpu.",
            code="needs_gpu",
        )
    return device


def prepare_run(
    progress: Progress,
    folder: Path,
    config: TrainingConfig,
    dataset: Dataset,
    files: Path,
    parent: ParentVersion | None,
) -> PreparedRun:
    """Check, plan and preprocess the data set; steps that are done already are skipped."""
    progress.phase("Checking the data set's files")
    Datasets.verify(dataset, files, progress.on_step)
    planning.set_environment(folder, config, dataset, files)
    progress.phase("Planning")
    plans, configuration = planning.plan(folder, config, parent.model if parent else None)
    planning.preprocess(
        folder, configuration, config, dataset,
        lambda done, total: progress.phase(f"Preprocessing: {done} of {total} scans"),
    )  # fmt: skip
    return PreparedRun(folder, dataset, files, plans, configuration)


def fit(
    progress: Progress,
    prepared: PreparedRun,
    config: TrainingConfig,
    parent: ParentVersion | None,
    device: str,
    *,
    end_now: bool = False,
) -> Trainer:
    """Train, continuing from the last checkpoint if there is one; with ``end_now`` no further.

    Raises
    ------
    TrainingError
        The checkpoint is of another training, or no epoch is done that it could end after.
    """
    checkpoints = progress.checkpoints()
    trainer = Trainer(
        {**json.loads(json.dumps(prepared.plans)), "continue_training": bool(checkpoints)},
        prepared.configuration,
        "all" if config.fold < 0 else config.fold,
        json.loads((prepared.files / "dataset.json").read_bytes()),
        torch.device(device),
    )

    def tell(checkpoint_sha256: str, values: dict[str, Any]) -> None:
        progress.epoch(checkpoint_sha256, **values)
        done = values["epoch"] + 1
        progress.phase(f"Training: {done} of {config.epochs} epochs done")

    trainer.configure(config, tell, progress.on_step)
    trainer.keep = lambda file, sha256: progress.keep(file, sha256, needed=file.name == FINAL)
    progress.restore(Path(trainer.output_folder))
    trainer.initialize()
    if trainer.resume(checkpoints):
        logger.info("Resumed after epoch {}", trainer.current_epoch)
        if end_now:
            return trainer
    elif end_now:
        raise no_epoch_done()
    elif parent is not None:
        trainer.begin_from(parent.model.weights[0])  # of an ensemble the first
        logger.info("Begun from the weights of version {}", parent.model.version)
    progress.phase(f"Training: {trainer.current_epoch} of {config.epochs} epochs done")
    trainer.run_training()
    return trainer
