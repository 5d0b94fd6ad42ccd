"""One training from its request to a registered candidate. Imports nnU-Net: late."""

import importlib.metadata
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger

from core import volume
from core.drift import features_of
from core.errors import HippoViewError, TrainingError
from core.intake import vetted
from core.jobs import Work
from core.model import Model
from core.predictor.calibrate import (
    CALIBRATION_CASES,
    RANGES_NAME,
    Labelled,
    proof,
    ranges_file,
    read_labelled,
)
from core.predictor.service import Way
from core.registry import REFERENCE_NAME, Registry, Version
from core.segmentation import LABELS
from core.settings import ROOT, Settings
from core.training import plan as planning
from core.training.config import TrainingConfig, TrainingRequest
from core.training.dataset import Dataset, Datasets, file_names
from core.training.evaluate import evaluate
from core.training.trainer import Trainer

_WEIGHTS = "weights.safetensors"
_SUMMARY = (
    "One nnU-Net v2 network that finds the anterior and the posterior hippocampus in a T1-weighted "
    "crop around one hippocampus."
)
_LIMITS = [
    "Tested on the frozen test set of its own data set only: other scanners and hospitals may "
    "give worse masks.",
    "The side (left or right) cannot be told from a crop.",
]
_NNUNET = (
    "Isensee F. et al., nnU-Net: a self-configuring method for deep learning-based biomedical "
    "image segmentation, Nature Methods 18, 203-211 (2021)"
)
_PROGRAMS = ("nnunetv2", "torch", "numpy", "batchgenerators")


def run(
    work: Work,
    folder: Path,
    request: TrainingRequest,
    settings: Settings,
    datasets: Datasets,
    registry: Registry,
) -> int:
    """Train, evaluate and register; resumes from the last checkpoint in ``folder``.

    Returns
    -------
    int
        Number of the candidate.

    Raises
    ------
    HippoViewError
        In words; anything else is a fault of the program or the machine.
    """
    for version in registry.find():
        if version.lineage.get("job") == work.job_id:  # it was killed after it registered
            return version.number
    config = request.config()
    device, way = settings.device, Way.of(settings)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.needs_gpu and device != "cuda":
        raise TrainingError(
            "This preset needs an NVIDIA GPU and there is none",
            "Choose the preset quick or cpu.",
            code="needs_gpu",
        )
    dataset = datasets.get(request.dataset)
    base = _base(folder, registry) if config.start == "serving" else None
    logger.info("Training on {} cases of {}: {}", len(dataset.training), dataset.name, config)
    local = datasets.storage.local(f"datasets/{dataset.name}", work.on_step)
    with local as files, _opened(base, registry) as m:
        work.phase("Checking the data set's files")
        datasets.verify(dataset, files, work.on_step)
        planning.set_environment(folder, dataset, files)
        work.phase("Planning")
        plans, configuration = planning.plan(folder, config, m)
        planning.preprocess(
            folder, configuration, dataset,
            lambda done, total: work.phase(f"Preprocessing: {done} of {total} scans"),
        )  # fmt: skip
        trainer = _train(work, config, plans, configuration, dataset, files, m, device)
        work.phase("Describing the training scans for the drift report")
        reference = _reference(dataset, files, folder, registry, base)
        card = _card(config, request, dataset, plans, configuration, trainer, m)
        parts = {
            _WEIGHTS: trainer.weights(),
            "plans.json": json.dumps(plans, indent=1).encode(),
            "dataset.json": (files / "dataset.json").read_bytes(),
            REFERENCE_NAME: json.dumps({"cases": reference}).encode(),
        }
        work.phase("Trying int8 on the frozen test set")
        _try_int8(card, parts, dataset, files, folder, reference)
        figures = _evaluate_new(work, card, parts, dataset, files, folder, way, reference)
        _evaluate_serving(work, registry, dataset, files, folder, way)
    card["metrics"] = {
        "cases": len(figures["cases"]),
        "seen_in_training": figures["seen_in_training"],
        "settings": f"the frozen test set of {dataset.name}, mirroring {way.mirroring}",
        "dice": figures["dice"],
    }
    lineage = {
        "parent": base.number if base else None,
        "job": work.job_id,
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "request": request.as_dict(),
        "configuration": vars(config),
        "programs": {name: importlib.metadata.version(name) for name in _PROGRAMS},
        "commit": _commit(),
    }
    made = registry.add(card, parts, {dataset.test_key: figures}, lineage)
    for part in ("raw", "preprocessed", "results"):  # the version has all that is needed
        shutil.rmtree(folder / part, ignore_errors=True)
    return made.number


def _base(folder: Path, registry: Registry) -> Version:
    """The version that is fine-tuned: the one in service when the job began."""
    note = folder / "base.json"
    if note.is_file():
        return registry.get(int(json.loads(note.read_bytes())))
    version = registry.serving()
    note.write_text(json.dumps(version.number))
    return version


@contextmanager
def _opened(base: Version | None, registry: Registry) -> Iterator[Model | None]:
    if base is None:
        yield None
        return
    with registry.open(base.number) as model:
        yield model


def _train(
    work: Work,
    config: TrainingConfig,
    plans: dict[str, Any],
    configuration: str,
    dataset: Dataset,
    files: Path,
    base: Model | None,
    device: str,
) -> Trainer:
    random.seed(config.seed)
    np.random.seed(config.seed)  # nnU-Net draws from the global generator
    torch.manual_seed(config.seed)
    known = work.checkpoints()
    trainer = Trainer(
        {**json.loads(json.dumps(plans)), "continue_training": bool(known)},
        configuration,
        "all" if config.fold < 0 else config.fold,
        json.loads((files / "dataset.json").read_bytes()),
        torch.device(device),
    )

    def tell(checkpoint_sha256: str, values: dict[str, Any]) -> None:
        work.epoch(checkpoint_sha256, **values)
        done = values["epoch"] + 1
        work.phase(f"Training: {done} of {config.epochs} epochs done")

    trainer.configure(config, tell, work.on_step)
    trainer.initialize()
    if trainer.resume(known):
        logger.info("Resumed after epoch {}", trainer.current_epoch)
    elif base is not None:
        trainer.begin_from(base.weights[0])  # of an ensemble the first
        logger.info("Begun from the weights of version {}", base.version)
    work.phase(f"Training: {trainer.current_epoch} of {config.epochs} epochs done")
    trainer.run_training()
    return trainer


def _reference(
    dataset: Dataset, files: Path, scratch: Path, registry: Registry, base: Version | None
) -> list[dict[str, Any]]:
    """Features and hash of each case that the new version was trained on.

    Those that only the version it was made from has seen are marked as inherited.
    """
    cases = []
    for name in dataset.training:
        entry = dataset.cases[name]
        image = files / file_names(name, entry)[0]
        with image.open("rb") as stream, vetted(stream, scratch) as file:
            loaded = volume.load(file)
        cases.append(
            {
                "content_sha256": entry.content_sha256,
                "inherited": False,
                "features": features_of(loaded.data, loaded.spacing_mm),
            }
        )
    own = {case["content_sha256"] for case in cases}
    before = registry.reference(base.number) if base else []
    inherited = [c | {"inherited": True} for c in before if c["content_sha256"] not in own]
    return cases + inherited


def _card(
    config: TrainingConfig,
    request: TrainingRequest,
    dataset: Dataset,
    plans: dict[str, Any],
    configuration: str,
    trainer: Trainer,
    base: Model | None,
) -> dict[str, Any]:
    licence = str(trainer.dataset_json["licence"])
    data = f"Data set {dataset.name}; its licence: {licence}"
    features = trainer.configuration_manager.network_arch_init_kwargs["features_per_stage"]
    count = sum(p.numel() for p in trainer.network.parameters())
    patch = " x ".join(str(n) for n in trainer.configuration_manager.patch_size)
    start = f"the weights of version {base.version}" if base else "nothing"
    return {
        "name": f"{dataset.name}-{request.preset}",
        "configuration": configuration,
        "trainer": "nnUNetTrainer",
        "mirror_axes": list(trainer.inference_allowed_mirroring_axes or ()),
        "labels": LABELS,
        "weights": _WEIGHTS,
        "summary": _SUMMARY,
        "network": {
            "Framework": f"nnU-Net v{importlib.metadata.version('nnunetv2')}, PyTorch",
            "Architecture": f"U-Net, features {'-'.join(map(str, features))}, "
            f"{count / 1e6:.1f} million parameters",
            "Patch": f"{patch} voxels",
            "Normalisation": "z-score of the crop",
        },
        "training": {
            "Data": f"data set {dataset.name}: {len(dataset.training)} cases to train on, "
            f"{len(dataset.test)} frozen for the test",
            "Folds": "one network trained on all of them"
            if config.fold < 0
            else f"one network, fold {config.fold} of 5 held out",
            "Schedule": f"{config.epochs} epochs of {config.iterations} iterations from {start}, "
            f"learning rate {config.learning_rate:g}",
            "Machine": f"{trainer.device.type}, preset {request.preset}",
        },
        # What is said of the first version's data is not true of others.
        "limits": base.card["limits"] if base else _LIMITS,
        "licence": base.card["licence"] if base else licence,
        "attribution": [*(base.card["attribution"] if base else [_NNUNET]), data],
    }


def _evaluate_new(
    work: Work,
    card: dict[str, Any],
    parts: dict[str, bytes],
    dataset: Dataset,
    files: Path,
    folder: Path,
    way: Way,
    reference: list[dict[str, Any]],
) -> dict[str, Any]:
    """Figures of the new version, by the very files that will be registered."""
    with _candidate(card, parts, folder) as model:
        return evaluate(
            model, dataset, files, folder, way,
            {case["content_sha256"] for case in reference},
            lambda done, total: work.phase(f"Testing the new version: {done} of {total} cases"),
        )  # fmt: skip


def _try_int8(
    card: dict[str, Any],
    parts: dict[str, bytes],
    dataset: Dataset,
    files: Path,
    folder: Path,
    reference: list[dict[str, Any]],
) -> None:
    """Add int8 to the new version if it costs nothing on the frozen test set."""

    def read(name: str) -> Labelled:
        image, label = (files / part for part in file_names(name, dataset.cases[name]))
        return read_labelled(image, label, folder)

    seen = {case["content_sha256"] for case in reference}
    every = max(1, len(dataset.training) // CALIBRATION_CASES)
    try:
        with _candidate(card, parts, folder) as model:
            found = ranges_file(model, [read(n).scan for n in dataset.training[::every]])
        asked = card | {"int8": {"ranges": RANGES_NAME}}
        with _candidate(asked, parts | {RANGES_NAME: found}, folder) as model:
            shown = proof(
                model, [read(name) for name in dataset.test],
                seen=any(dataset.cases[name].content_sha256 in seen for name in dataset.test),
            )  # fmt: skip
    except HippoViewError as error:
        logger.info("No int8 for this version: {}", error.message)
        return
    if shown is None:
        logger.info("No int8 for this version: it costs more than it may")
        return
    card["int8"] = shown
    parts[RANGES_NAME] = found


@contextmanager
def _candidate(card: dict[str, Any], parts: dict[str, bytes], folder: Path) -> Iterator[Model]:
    """The new version as a model of files, for as long as the block lasts."""
    made = folder / "candidate"
    made.mkdir(exist_ok=True)
    for name, content in parts.items():
        (made / name).write_bytes(content)
    try:
        yield Model(made, card, "new", card["name"], "", card["configuration"], LABELS)
    finally:
        shutil.rmtree(made)


def _evaluate_serving(
    work: Work, registry: Registry, dataset: Dataset, files: Path, folder: Path, way: Way
) -> None:
    """Figures of the version in service on the same cases, to compare with."""
    serving = registry.serving()
    if dataset.test_key in serving.evaluations:
        return
    seen = {case["content_sha256"] for case in registry.reference(serving.number)}
    with registry.open(serving.number) as model:
        figures = evaluate(
            model, dataset, files, folder, way, seen,
            lambda done, total: work.phase(
                f"Testing version {serving.number}, in service: {done} of {total} cases"
            ),
        )  # fmt: skip
    registry.add_evaluation(serving.number, dataset.test_key, figures)


def _commit() -> str:
    """The program's git commit, where there is one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git is installed
            cwd=ROOT, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return found.stdout.strip() or "unknown"
