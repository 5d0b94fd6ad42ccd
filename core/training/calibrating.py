"""Gives a new version a calibration, where its frozen test set has enough persons for one."""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loguru import logger

from core.models.folder import CALIBRATION_NAME, sha256_of
from core.predictor.predictor import InferenceOptions, loaded
from core.training.data.dataset import Dataset, file_names
from core.training.data.names import is_from_head
from core.training.evaluation.calibration import (
    MIN_PERSONS,
    Row,
    Source,
    calibration_file,
    crop_of,
    fitted,
    rows_of,
)
from core.training.evaluation.calibration_figures import cross_fitted, figures_of, summary_of
from core.training.evaluation.shifts import CALIBRATED
from core.training.package import PackagedModel
from core.wording import counted

# Seconds that measuring may take; what was measured until then is used.
MOST_S = 120.0


def with_calibration(
    package: PackagedModel,
    dataset: Dataset,
    files: Path,
    scratch: Path,
    options: InferenceOptions,
    on_phase: Callable[[str], None],
) -> PackagedModel:
    """Add a calibration to a package, made on the crops of its frozen test set.

    Parameters
    ----------
    files
        The data set's files.
    scratch
        A folder for temporary files.
    options
        How the masks are computed.
    """
    known = dataset.known_to(package.seen)
    sources = []
    for name in dataset.test:
        if name not in known and not is_from_head(name):
            image, label = (files / part for part in file_names(name, dataset.cases[name]))
            read = partial(crop_of, image, label, scratch)
            sources.append(Source(dataset.cases[name].patient, name, read))
    persons = len({source.person for source in sources})
    if persons < MIN_PERSONS:
        words = counted(persons, "person")
        logger.info("No calibration for this version: its test set has crops of {}", words)
        return package
    rows = _measured(package, sources, scratch, options, on_phase)
    if len({row.person for row in rows}) < MIN_PERSONS:
        logger.info("No calibration for this version: measuring took too long")
        return package
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in package.parts.items()}
    content = calibration_file(
        fitted([row for row in rows if not row.is_empty]),
        {
            "model_sha256": sha256_of({**package.card, "files": hashes}),
            "mirroring": options.mirroring,
            "measured_with": {"name": "it", "sha256": ""},
            "figures": figures_of(cross_fitted(rows)),
        },
    )
    return PackagedModel(
        package.card | {"calibration": summary_of(content)},
        package.parts | {CALIBRATION_NAME: content},
        package.seen,
    )


def _measured(
    package: PackagedModel,
    sources: list[Source],
    scratch: Path,
    options: InferenceOptions,
    on_phase: Callable[[str], None],
) -> list[Row]:
    rows = []
    end = time.monotonic() + MOST_S
    with package.as_model(scratch) as model:
        predictor = loaded(model, options)
        try:
            for row in rows_of(predictor, sources, scratch, CALIBRATED):
                rows.append(row)
                on_phase(f"Calibrating the new version: {counted(len(rows), 'mask')}")
                if time.monotonic() > end:
                    break
        finally:
            predictor.close()
    return rows
