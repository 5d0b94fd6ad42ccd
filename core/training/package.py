"""Packages a trained network as a model version: card, weights, plans, reference, int8."""

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from core.anatomy import LABELS
from core.errors import HippoViewError
from core.models.folder import CARD_NAME, Model
from core.models.registry import REFERENCE_NAME
from core.predictor.calibrate import (
    CALIBRATION_CASES,
    RANGES_NAME,
    Labelled,
    proof,
    ranges_file,
    read_labelled,
)
from core.state.storage import write_whole
from core.training.config import TrainingConfig, TrainingRequest
from core.training.data.dataset import Dataset, file_names
from core.training.fit import ParentVersion, PreparedRun
from core.training.origin import trained_on
from core.training.progress import Progress
from core.training.reference import reference_cases, reference_file
from core.training.trainer import Trainer
from core.wording import counted

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


@dataclass(frozen=True)
class PackagedModel:
    """A model version before it has a number.

    Attributes
    ----------
    card : dict
        Without ``version`` and ``files``.
    parts : dict of str to bytes
        Its other files by name.
    seen : set of str
        ``content_sha256`` of all cases that it, or a version it descends from, was trained on.
    """

    card: dict[str, Any]
    parts: dict[str, bytes]
    seen: set[str]

    @contextmanager
    def as_model(self, scratch: Path) -> Iterator[Model]:
        """As a model in a temporary folder, for as long as the block lasts."""
        card = self.card
        with tempfile.TemporaryDirectory(prefix="candidate-", dir=scratch) as name:
            folder = Path(name)
            for part, content in self.parts.items():
                (folder / part).write_bytes(content)
            yield Model(folder, card, "new", card["name"], "", card["configuration"], LABELS)

    def write(self, folder: Path) -> None:
        """Write it as a model folder; the card, which has the hashes of the other files, last."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.parts.items():
            write_whole(folder / name, content)
        hashes = {name: hashlib.sha256(c).hexdigest() for name, c in self.parts.items()}
        card = {"version": "new", **self.card, "files": hashes}
        write_whole(folder / CARD_NAME, (json.dumps(card, indent=2) + "\n").encode())


def export(
    progress: Progress,
    trainer: Trainer,
    prepared: PreparedRun,
    config: TrainingConfig,
    request: TrainingRequest,
    parent: ParentVersion | None,
    *,
    int8: bool = True,
) -> PackagedModel:
    """Package the result of a training; with ``int8`` that is tried too."""
    progress.phase("Describing the training scans for the drift report")
    reference = reference_cases(
        trained_on(config, prepared.dataset), prepared.dataset, prepared.files, prepared.folder,
        parent.cases if parent else [],
    )  # fmt: skip
    parts = {
        _WEIGHTS: trainer.weights(),
        "plans.json": json.dumps(prepared.plans, indent=1).encode(),
        "dataset.json": _description(prepared.files / "dataset.json"),
        REFERENCE_NAME: reference_file(reference),
    }
    card = _card(config, request, prepared, trainer, parent)
    package = PackagedModel(card, parts, {case["content_sha256"] for case in reference})
    if not int8:
        return package
    progress.phase("Trying int8 on the frozen test set")
    return with_int8(package, prepared.dataset, prepared.files, prepared.folder)


def _description(file: Path) -> bytes:
    """A data set's ``dataset.json`` without the names of cases, which a model must not contain."""
    content = file.read_bytes()
    described = json.loads(content)
    return json.dumps(described, indent=1).encode() if described.pop("dataset", None) else content


def _folds(config: TrainingConfig, dataset: Dataset) -> str:
    by = ", split by file" if dataset.split_by_file else ""
    if config.with_test:
        held_out = f", without fold {config.fold} of nnU-Net's 5" if config.fold >= 0 else ""
        return f"the frozen test set as well{held_out}{by}"
    held_out = f" and fold {config.fold} of 5" if config.fold >= 0 else ""
    return f"without the frozen test set of {len(dataset.test)}{held_out}{by}"


def _epochs(config: TrainingConfig, trainer: Trainer) -> str:
    planned = counted(config.epochs, "epoch")
    done = trainer.current_epoch
    return planned if done >= config.epochs else f"the first {done} of {planned}"


def _card(
    config: TrainingConfig,
    request: TrainingRequest,
    prepared: PreparedRun,
    trainer: Trainer,
    parent: ParentVersion | None,
) -> dict[str, Any]:
    dataset, parent_model = prepared.dataset, parent.model if parent else None
    licence = str(trainer.dataset_json["licence"])
    data = f"Data set {dataset.name}; its licence: {licence}"
    features = trainer.configuration_manager.network_arch_init_kwargs["features_per_stage"]
    count = sum(p.numel() for p in trainer.network.parameters())
    patch = " x ".join(str(n) for n in trainer.configuration_manager.patch_size)
    start = f"the weights of version {parent_model.version}" if parent_model else "nothing"
    return {
        "name": f"{dataset.name}-{request.preset}",
        "configuration": prepared.configuration,
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
            "Data": f"data set {dataset.name}: {counted(len(trained_on(config, dataset)), 'case')}",
            "Folds": _folds(config, dataset),
            "Schedule": f"{_epochs(config, trainer)} of {config.iterations} iterations "
            f"from {start}, batch {trainer.batch_size}, learning rate {config.learning_rate:g}, "
            f"{config.augmentation} augmentation, weights averaged with {config.average:g}",
            "Machine": f"{trainer.device.type}, preset {request.preset}",
        },
        # A fine-tuned version inherits the limits, licence and attribution of its parent.
        "limits": parent_model.card["limits"] if parent_model else _LIMITS,
        "licence": parent_model.card["licence"] if parent_model else licence,
        "attribution": [*(parent_model.card["attribution"] if parent_model else [_NNUNET]), data],
    }


def with_int8(
    package: PackagedModel, dataset: Dataset, files: Path, scratch: Path
) -> PackagedModel:
    """Add int8 to a package, if it costs nothing on the frozen test set.

    Parameters
    ----------
    files
        The data set's files.
    scratch
        A folder for temporary files.
    """

    def read(name: str) -> Labelled:
        image, label = (files / part for part in file_names(name, dataset.cases[name]))
        return read_labelled(image, label, scratch)

    every = max(1, len(dataset.training) // CALIBRATION_CASES)
    try:
        with package.as_model(scratch) as model:
            ranges = ranges_file(model, [read(n).scan for n in dataset.training[::every]])
        parts = package.parts | {RANGES_NAME: ranges}
        with_ranges = PackagedModel(
            package.card | {"int8": {"ranges": RANGES_NAME}}, parts, package.seen
        )
        with with_ranges.as_model(scratch) as model:
            proven = proof(
                model, [read(name) for name in dataset.test],
                seen=not dataset.known_to(package.seen).isdisjoint(dataset.test),
            )  # fmt: skip
    except HippoViewError as error:
        logger.info("No int8 for this version: {}", error.message)
        return package
    if proven is None:
        logger.info("No int8 for this version: it costs more than it may")
        return package
    return PackagedModel(package.card | {"int8": proven}, parts, package.seen)
