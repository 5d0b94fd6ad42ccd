"""Makes a version's calibration: what its masks' signals say of their overlap with an expert's.

A network that did not see them segments labelled crops, as they are and changed in known ways
(`core.training.evaluation.shifts`). Linear models of the signals are fitted to the Dice, and to
quantiles of the volumes' errors; the intervals are conformalised quantile regression (Romano et
al., NeurIPS 2019): what they lack on persons that the models were not fitted on is added, and so
much that each kind of change is covered.
"""

import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.cases.case import confidence_of
from core.errors import InputError
from core.pipeline import analyse
from core.predictor.calibrate import read_labelled
from core.predictor.expectation import (
    COVERAGE_PERCENT,
    FORMAT,
    MOST_LOG,
    Calibration,
    Linear,
    VolumeModel,
)
from core.predictor.predictor import Predictor
from core.predictor.signals import CROP, NAMES, PARTS, WHOLE, Signals, is_empty
from core.training.evaluation.metrics import dice_of
from core.training.evaluation.shifts import LabelledCrop, Shift, as_it_is, volumes_mm3

# Persons that a calibration is made of at least: of fewer, a quantile of 90 % is a guess.
MIN_PERSONS = 8
FOLDS = 10
_RIDGE = 10.0
# Standard deviations of a signal beyond which it counts no further.
_FAR = 3.5
_LEAST_MISSING = 0.001
# Of quantile regression by reweighted least squares: rounds, and the error below which a row
# counts as if it had this.
_ROUNDS, _LEAST_ERROR = 25, 0.01
# Masks of each kind of change that intervals cover at least, and the fewest masks of a kind that
# are counted.
_OF_A_KIND_PERCENT, _FEWEST = 85, 8
Floats = NDArray[np.float64]
# Of standardised signals, shape (M, N), what they are to tell and weights, shape (M,).
Fit = Callable[[Floats, Floats, Floats], Linear]


@dataclass(frozen=True)
class Row:
    """One segmented copy of a case.

    Attributes
    ----------
    person, case : str
    kind : str
        Of the change.
    draw : int
    signals : dict of str to float
    dice : dict of str to float
        With the expert's labels, by part.
    mask_mm3, truth_mm3 : dict of str to float
        By part.
    confidence : str
        What the findings say of it without a calibration.
    """

    person: str
    case: str
    kind: str
    draw: int
    signals: Signals
    dice: dict[str, float]
    mask_mm3: dict[str, float]
    truth_mm3: dict[str, float]
    confidence: str

    @property
    def is_empty(self) -> bool:
        """Whether there is no mask to expect anything of."""
        return is_empty(self.signals) or not self.mask_mm3[WHOLE] or not self.truth_mm3[WHOLE]


@dataclass(frozen=True)
class Source:
    """A case to calibrate on: who it is of, and how it is read."""

    person: str
    case: str
    read: Callable[[], LabelledCrop]


def crop_of(image: Path, label: Path, scratch: Path) -> LabelledCrop:
    """Read a case of a data set.

    Raises
    ------
    InputError
    """
    case = read_labelled(image, label, scratch)
    return LabelledCrop.of(case.scan.data, case.truth, case.scan.affine)


def rows_of(
    predictor: Predictor,
    sources: Iterable[Source],
    scratch: Path,
    shifts: dict[str, Shift],
    draws: int = 1,
    known: Sequence[Row] = (),
) -> Iterator[Row]:
    """Segment copies of cases; of those that are refused there is no row.

    Parameters
    ----------
    predictor
        Of a network that saw none of the persons.
    draws
        How often each kind of change is drawn for a case; what is as it is needs one.
    known
        Rows of an earlier call, which are not made again.
    """
    there = {(row.case, row.kind, row.draw) for row in known}
    for source in sources:
        crop: LabelledCrop | None = None
        for kind, shift in shifts.items():
            for draw in range(draws if shift is not as_it_is else 1):
                if (source.case, kind, draw) in there:
                    continue
                crop = crop or source.read()
                seed = zlib.crc32(f"{source.case}/{kind}/{draw}".encode())
                changed = shift(crop, np.random.default_rng(seed))
                row = _row(predictor, source, kind, draw, changed, scratch)
                if row is not None:
                    yield row


def _row(
    predictor: Predictor, source: Source, kind: str, draw: int, crop: LabelledCrop, scratch: Path
) -> Row | None:
    file = io.BytesIO(nib.Nifti1Image(crop.data, crop.affine).to_bytes())
    try:
        analysis = analyse(file, predictor, scratch)
    except InputError:
        return None
    if CROP not in analysis.segmentation.signals:
        return None
    labels = analysis.segmentation.labels
    return Row(
        source.person, source.case, kind, draw, analysis.segmentation.signals[CROP],
        dice_by_part(labels, crop.labels),
        with_whole(volumes_mm3(labels, crop.affine)), with_whole(crop.truth_mm3),
        confidence_of(analysis.as_dict()),
    )  # fmt: skip


def dice_by_part(mask: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Dice of two label arrays, shape (X, Y, Z): whole, anterior, posterior."""
    return {WHOLE: dice_of(mask > 0, truth > 0)} | {
        name: dice_of(mask == value, truth == value) for name, value in LABELS.items()
    }


def with_whole(volumes: dict[str, float]) -> dict[str, float]:
    """Volumes by label, and that of both together first."""
    return {WHOLE: sum(volumes.values())} | volumes


def rows_from(file: Path) -> list[Row]:
    """Rows that `row_line` wrote."""
    if not file.is_file():
        return []
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()]


def row_line(row: Row) -> str:
    """A row as a line of JSON."""
    return json.dumps(asdict(row)) + "\n"


def fold_of(rows: Sequence[Row]) -> NDArray[np.int64]:
    """For each row a number from 0 to `FOLDS` - 1: all rows of a person have the same."""
    people = sorted({row.person for row in rows}, key=lambda name: zlib.crc32(name.encode()))
    number = {person: at % FOLDS for at, person in enumerate(people)}
    return np.array([number[row.person] for row in rows])


def fitted(rows: Sequence[Row]) -> Calibration:
    """A calibration of rows, none of them empty."""
    signals = np.array([[row.signals[name] for name in NAMES] for row in rows])
    mean, scale = signals.mean(0), signals.std(0) + 1e-6
    standard = (signals - mean) / scale
    low, high = np.maximum(standard.min(0), -_FAR), np.minimum(standard.max(0), _FAR)
    values, folds, weights = np.clip(standard, low, high), fold_of(rows), _weights(rows)
    dice, volumes = {}, {}
    for part in PARTS:
        missing = np.log(1 - np.array([row.dice[part] for row in rows]) + _LEAST_MISSING)
        dice[part] = _ridge(values, missing, weights)
        volumes[part] = _volume_model(rows, part, values, folds, weights)
    return Calibration(list(NAMES), mean, scale, low, high, dice, volumes)


def _volume_model(
    rows: Sequence[Row], part: str, values: Floats, folds: NDArray[np.int64], weights: Floats
) -> VolumeModel:  # fmt: skip
    errors = np.clip(volume_errors(rows, part), -MOST_LOG, MOST_LOG)
    is_known = np.isfinite(errors)
    kinds = np.array([row.kind for row in rows])[is_known]
    errors, values = errors[is_known], values[is_known]
    folds, weights = folds[is_known], weights[is_known]
    below = (1 - COVERAGE_PERCENT / 100) / 2
    of_low, of_high = partial(_quantile_fit, below), partial(_quantile_fit, 1 - below)
    low, high = (_crossed(values, errors, weights, folds, fit) for fit in (of_low, of_high))
    margin = _margin(np.maximum(low - errors, errors - high), kinds)
    return VolumeModel(of_low(values, errors, weights), of_high(values, errors, weights), margin)


def volume_errors(rows: Sequence[Row], part: str) -> Floats:
    """Logarithm of the expert's volume over the mask's; NaN where one of them is 0."""
    pairs = [(row.truth_mm3[part], row.mask_mm3[part]) for row in rows]
    return np.array([math.log(a / b) if a and b else math.nan for a, b in pairs])


def _margin(lacking: Floats, kinds: NDArray[np.str_]) -> float:
    """What covers `COVERAGE_PERCENT` of all masks, and `_OF_A_KIND_PERCENT` of each kind."""
    groups = [lacking[kinds == kind] for kind in np.unique(kinds)]
    enough = [_quantile(g, _OF_A_KIND_PERCENT) for g in groups if g.size >= _FEWEST]
    return max(_quantile(lacking, COVERAGE_PERCENT), *enough)


def _quantile(scores: Floats, percent: float) -> float:
    """The quantile that covers ``percent`` of new scores, by the rule for few of them."""
    share = min(1.0, percent / 100 * (1 + 1 / scores.size))
    return round(float(np.quantile(scores, share)), 4)


def _weights(rows: Sequence[Row]) -> Floats:
    """Each kind of change counts the same in all, whether it was drawn once or several times."""
    counts = {kind: sum(row.kind == kind for row in rows) for kind in {row.kind for row in rows}}
    weights = np.array([1 / counts[row.kind] for row in rows])
    return np.asarray(weights * len(rows) / weights.sum())


def _ridge(values: Floats, target: Floats, weights: Floats, ridge: float = _RIDGE) -> Linear:
    """Weighted least squares with the squares of the slopes punished, not the intercept."""
    total = weights.sum()
    middle, centre = weights @ values / total, float(weights @ target / total)
    around = values - middle
    gram = (around * weights[:, None]).T @ around + ridge * np.eye(values.shape[1])
    slopes = np.linalg.solve(gram, (around * weights[:, None]).T @ (target - centre))
    return Linear(centre - float(middle @ slopes), slopes)


def _quantile_fit(share: float, values: Floats, target: Floats, weights: Floats) -> Linear:
    """A linear model of the value that ``share`` of the targets lie below, as `_ridge`."""
    model = _ridge(values, target, weights)
    for _ in range(_ROUNDS):
        left = target - model(values)
        sides = np.where(left > 0, share, 1 - share)
        pull = sides / np.maximum(np.abs(left), _LEAST_ERROR) * _LEAST_ERROR
        model = _ridge(values, target, weights * pull, _RIDGE * _LEAST_ERROR)
    return model


def _crossed(
    values: Floats, target: Floats, weights: Floats, folds: NDArray[np.int64], fit: Fit
) -> Floats:
    """What models predict that were not fitted on the row's person."""
    result = np.zeros(len(target))
    for number in np.unique(folds):
        own = folds == number
        model = fit(values[~own], target[~own], weights[~own])
        result[own] = model(values[own])
    return result


def calibration_file(calibration: Calibration, about: dict[str, Any]) -> bytes:
    """The content of `core.models.folder.CALIBRATION_NAME`.

    Parameters
    ----------
    about
        ``model_sha256``, ``mirroring``, ``measured_with``, and ``figures``.
    """

    def numbers(values: Floats) -> list[float]:
        return [round(float(value), 6) for value in values]

    content = {
        "format": FORMAT,
        **about,
        "interval_percent": COVERAGE_PERCENT,
        "signals": calibration.signals,
        "standard": {
            "mean": numbers(calibration.mean), "scale": numbers(calibration.scale),
            "low": numbers(calibration.low), "high": numbers(calibration.high),
        },
        "dice": {part: model.as_dict() for part, model in calibration.dice.items()},
        "volumes": {
            part: {
                "low": model.low.as_dict(), "high": model.high.as_dict(),
                "margin": model.margin,
            }
            for part, model in calibration.volumes.items()
        },
    }  # fmt: skip
    return (json.dumps(content, indent=1) + "\n").encode()
