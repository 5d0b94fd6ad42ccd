"""One training job, from its request to a registered candidate. Imports nnU-Net, so late."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from core.cases.store import Cases
from core.models.registry import Registry, Version
from core.predictor.predictor import InferenceOptions
from core.settings import Settings
from core.training.calibrating import with_calibration
from core.training.config import TrainingRequest
from core.training.data.dataset import Dataset, Datasets
from core.training.evaluation.evaluate import evaluate
from core.training.evaluation.statistics import card_metrics
from core.training.evaluation.version_tests import bench, crops_of_serving
from core.training.fit import ParentVersion, device_for, fit, prepare_run
from core.training.origin import lineage
from core.training.package import export
from core.training.work import Work
from core.wording import counted


def run(
    work: Work,
    folder: Path,
    request: TrainingRequest,
    dataset: Dataset,
    settings: Settings,
    datasets: Datasets,
    registry: Registry,
    cases: Cases,
) -> int:
    """Train, evaluate and register a version; resumes from the last checkpoint in ``folder``.

    Parameters
    ----------
    cases
        The cases of this installation: their reviewed heads test the version.

    Returns
    -------
    int
        Number of the candidate.

    Raises
    ------
    HippoViewError
        Explained to the user; any other exception is a fault of the program or the machine.
    """
    config, options = request.config(), InferenceOptions.from_settings(settings)
    device = device_for(config, settings.device)
    base_version = _base(work, folder, registry) if config.start == "serving" else None
    learned = counted(len(dataset.training), "case")
    logger.info("Training on {} of {}: {}", learned, dataset.name, config)
    local = datasets.storage.local(f"datasets/{dataset.name}", work.on_step)
    with local as files, _opened(base_version, registry) as parent:
        prepared = prepare_run(work, folder, config, dataset, files, parent)
        trainer = fit(work, prepared, config, parent, device)
        package = with_calibration(
            export(work, trainer, prepared, config, request, parent), dataset, files, folder,
            options, work.phase,
        )  # fmt: skip
        with (
            package.as_model(folder) as model,
            bench(cases, datasets.storage, dataset, files, folder, settings, work.phase) as ready,
        ):
            figures = evaluate(
                model, dataset, dataset.test, files, folder, options, package.seen,
                lambda done, total: work.phase(f"Testing the new version: {done} of {total} cases"),
            )  # fmt: skip
            others = ready.on_heads(model, package.seen, "the new version")
            serving = registry.serving()
            others |= ready.latency(model, registry, serving)
            ready.serving_on_heads(registry, serving)
            crops_of_serving(registry, serving, dataset, files, folder, options, work.phase)
    metrics = card_metrics(
        figures, f"the frozen test set of {dataset.name}, mirroring {options.mirroring}"
    )
    origin = {
        "parent": base_version.number if base_version else None,
        "job": work.job_id, "job_uid": work.uid,
    }  # fmt: skip
    version = registry.add(
        package.card | {"metrics": metrics},
        package.parts,
        {dataset.test_key: figures, **others},
        origin | lineage(config, request, dataset),
        work.check,
    )
    for part in ("raw", "preprocessed", "results"):  # the version has all that is needed
        shutil.rmtree(folder / part, ignore_errors=True)
    return version.number


def _base(work: Work, folder: Path, registry: Registry) -> Version:
    """The version that is fine-tuned: the one in service when the job began."""
    if work.kept is None:
        return registry.serving()
    return registry.get(int(work.kept.fact("base", folder, lambda: registry.serving().number)))


@contextmanager
def _opened(version: Version | None, registry: Registry) -> Iterator[ParentVersion | None]:
    if version is None:
        yield None
        return
    cases: list[dict[str, Any]] = registry.reference(version.number)
    with registry.open(version.number) as model:
        yield ParentVersion(model, cases, version.number)
