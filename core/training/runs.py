"""Trainings on the command line: one folder each, resumed where it was killed.

A run's folder has ``run.json`` (the request, what it comes to, data, programs, commit),
``events.jsonl``, ``log.txt``, nnU-Net's ``progress.png``, and in the end ``model``, a model
folder. Imports nnU-Net: late.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from core.errors import TrainingError
from core.model import CARD_NAME
from core.predictor.service import OpenModel
from core.registry import reference_of
from core.storage import write_whole
from core.training.config import TrainingConfig, TrainingRequest
from core.training.dataset import Datasets
from core.training.export import export, lineage
from core.training.fit import Base, Ready, device_for, fit, make_ready
from core.training.progress import Events

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
) -> Path:
    """Train in a folder of its own; what is done there already is not done again.

    Parameters
    ----------
    serving
        Opens the version that the preset ``quick`` starts from.
    plan_only
        Stop when the data is planned and preprocessed.

    Returns
    -------
    Path
        The model folder; it is there when the training has come to its end.

    Raises
    ------
    TrainingError
        The folder belongs to another training, or the request is not understood.
    """
    config = request.config()
    made = folder / MODEL_NAME
    dataset = datasets.get(request.dataset)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, lineage(config, request, dataset))
    if (made / CARD_NAME).is_file():
        logger.info("This training has come to its end before")
        return made
    progress = Events(folder / _EVENTS)
    log = logger.add(folder / LOG_NAME, level="INFO", diagnose=False)
    try:
        local = datasets.storage.local(f"datasets/{dataset.name}", progress.on_step)
        with local as files, _base(config, serving) as base:
            ready = make_ready(progress, folder, config, dataset, files, base)
            if not plan_only:
                _train(progress, ready, config, request, base, device_for(config, device))
    finally:
        logger.remove(log)
    return made


def _train(
    progress: Events,
    ready: Ready,
    config: TrainingConfig,
    request: TrainingRequest,
    base: Base | None,
    device: str,
) -> None:
    trainer = fit(progress, ready, config, base, device)
    export(progress, trainer, ready, config, request, base).write(ready.folder / MODEL_NAME)
    picture = Path(trainer.output_folder) / _PROGRESS
    if picture.is_file():
        shutil.copyfile(picture, ready.folder / _PROGRESS)
    progress.phase("Done")


def _claim(folder: Path, asked: dict[str, Any]) -> None:
    """Write down what a folder is for, or see that it is for the same.

    Without that note, what lies in it is of another training, and is thrown away.
    """
    note = folder / RUN_NAME
    if not note.is_file():
        for name in _OURS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        write_whole(note, (json.dumps(asked, indent=1) + "\n").encode())
        return
    known = json.loads(note.read_bytes())
    for name in ("dataset_sha256", "configuration"):
        if known[name] != asked[name]:
            raise TrainingError(
                f"The folder {folder.name} is of a training with another "
                f"{name.removesuffix('_sha256')}",
                "Take another folder for this one.",
                code="bad_request",
            )


@contextmanager
def _base(config: TrainingConfig, serving: OpenModel) -> Iterator[Base | None]:
    if config.start != "serving":
        yield None
        return
    with serving() as model:
        yield Base(model, reference_of(model))
