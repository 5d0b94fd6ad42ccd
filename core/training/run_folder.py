"""Trainings on the command line: one folder each, resumed where it was killed.

A run's folder has ``run.json`` (request, configuration, data set, programs, commit),
``events.jsonl``, ``log.txt``, nnU-Net's ``progress.png``, and in the end ``model``, a model
folder; it is marked as HippoView's (`core.state.claim`). PyTorch and nnU-Net are imported once
there is something to train: a mistake is answered before.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from core.errors import NotFoundError, TrainingError
from core.models.folder import CARD_NAME
from core.models.registry import reference_of
from core.predictor.service import OpenModel
from core.state.claim import claim
from core.state.storage import write_whole
from core.training.config import TrainingConfig, TrainingRequest
from core.training.data.dataset import Dataset, Datasets
from core.training.origin import lineage
from core.training.progress import Events, no_epoch_done

if TYPE_CHECKING:
    from core.training.fit import ParentVersion, PreparedRun

RUN_NAME, MODEL_NAME, LOG_NAME = "run.json", "model", "log.txt"
_EVENTS, _PROGRESS = "events.jsonl", "progress.png"
_OURS = ("raw", "preprocessed", "results", MODEL_NAME, _EVENTS, LOG_NAME, _PROGRESS)


def train(
    request: TrainingRequest,
    folder: Path,
    datasets: Datasets,
    serving: OpenModel,
    device: str = "auto",
    *,
    plan_only: bool = False,
    end_now: bool = False,
) -> Path:
    """Train in a folder of its own; steps that are done there already are skipped.

    Parameters
    ----------
    serving
        Opens the version that the preset ``quick`` starts from.
    plan_only
        Stop when the data is planned and preprocessed.
    end_now
        Make the model of the last epoch that was done, without int8; the training then counts as
        finished.

    Returns
    -------
    Path
        The model folder, which exists once the training has finished.

    Raises
    ------
    InputError
        The folder is not empty and not marked as HippoView's.
    TrainingError
        The folder belongs to another training, the request is invalid, or there is no epoch to
        make a model of.
    """
    config = request.config()
    model_folder = folder / MODEL_NAME
    progress = Events(folder / _EVENTS)
    if end_now and not progress.checkpoints():
        raise no_epoch_done()
    dataset = dataset_of(folder, datasets, request.dataset)
    _claim(folder, lineage(config, request, dataset))
    if (model_folder / CARD_NAME).is_file():
        logger.info("This training has come to its end before")
        return model_folder
    from core.training.fit import device_for, prepare_run

    log = logger.add(folder / LOG_NAME, level="INFO", diagnose=False)
    try:
        local = datasets.storage.local(f"datasets/{dataset.name}", progress.on_step)
        with local as files, _base(config, serving) as parent:
            prepared = prepare_run(progress, folder, config, dataset, files, parent)
            if not plan_only:
                device = device_for(config, device)
                _train(progress, prepared, config, request, parent, device, end_now=end_now)
    finally:
        logger.remove(log)
    return model_folder


def _train(
    progress: Events,
    prepared: "PreparedRun",
    config: TrainingConfig,
    request: TrainingRequest,
    parent: "ParentVersion | None",
    device: str,
    *,
    end_now: bool,
) -> None:
    from core.training.fit import fit
    from core.training.package import export

    trainer = fit(progress, prepared, config, parent, device, end_now=end_now)
    package = export(progress, trainer, prepared, config, request, parent, int8=not end_now)
    package.write(prepared.folder / MODEL_NAME)
    picture = Path(trainer.output_folder) / _PROGRESS
    if picture.is_file():
        shutil.copyfile(picture, prepared.folder / _PROGRESS)
    progress.phase("Done")


def is_run(folder: Path) -> bool:
    """Whether a folder has the ``run.json`` of a training."""
    return _noted(folder) is not None


def dataset_of(folder: Path, datasets: Datasets, name: str) -> Dataset:
    """The data set of a run as it was when the run began; of a new run as it is now."""
    note = _noted(folder)
    if note is not None and note.get("dataset") == name:
        try:
            return datasets.get(name, note["dataset_sha256"])
        except NotFoundError:  # not kept: of another installation, or by an earlier version
            pass
    return datasets.get(name)


def _claim(folder: Path, lineage: dict[str, Any]) -> None:
    """Write a run's lineage into its folder, or check that the folder has the same one.

    A marked folder without ``run.json`` (DVC removes it when the request has changed) holds the
    rest of another training, which is deleted. In any other folder nothing is deleted.
    """
    claim(folder, "training", known=is_run)
    note = _noted(folder)
    if note is None:
        for name in _OURS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        write_whole(folder / RUN_NAME, (json.dumps(lineage, indent=1) + "\n").encode())
        return
    for name in ("dataset_sha256", "configuration"):
        if note[name] != lineage[name]:
            raise TrainingError(
                f"The folder {folder.name} is of a training with another "
                f"{name.removesuffix('_sha256')}",
                "Take another folder for this one.",
                code="bad_request",
            )


def _noted(folder: Path) -> dict[str, Any] | None:
    """The content of ``run.json``; None if it is missing or not of a training."""
    try:
        note = json.loads((folder / RUN_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(note, dict) and {"dataset_sha256", "configuration"} <= note.keys()
    return note if ours else None


@contextmanager
def _base(config: TrainingConfig, serving: OpenModel) -> "Iterator[ParentVersion | None]":
    from core.training.fit import ParentVersion

    if config.start != "serving":
        yield None
        return
    with serving() as model:
        yield ParentVersion(model, reference_of(model))
