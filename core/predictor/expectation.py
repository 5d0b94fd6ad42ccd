"""What a model version's calibration expects of a mask: overlap with an expert, and volumes.

A calibration is a JSON file of a version, made by `core.training.evaluation.calibration` from cases
that the network had not seen, as they are and changed. It holds a few linear models of the signals
(`core.predictor.signals`) and the margins that the intervals need beyond them: numbers that
can be read.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from core.models.folder import CALIBRATION_NAME, Model
from core.predictor.signals import NAMES, PARTS, Signals

FORMAT = 2
COVERAGE_PERCENT = 90
# Nothing overlaps an expert's mask better than a second expert's does.
MOST_DICE = 0.97
# A volume's interval reaches no further than from a hundredth of it to a hundred times it.
MOST_LOG = math.log(100)


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear model of standardised signals.

    Attributes
    ----------
    intercept : float
    weights : ndarray, shape (N,)
    """

    intercept: float
    weights: NDArray[np.float64]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The model's prediction, shape (...), for values of shape (..., N)."""
        return np.asarray(values @ self.weights + self.intercept)

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Linear":
        """From a calibration's file."""
        return cls(float(content["intercept"]), np.asarray(content["weights"], np.float64))

    def as_dict(self) -> dict[str, Any]:
        """For a calibration's file."""
        return {
            "intercept": round(self.intercept, 6),
            "weights": [round(float(weight), 6) for weight in self.weights],
        }


@dataclass(frozen=True)
class Expectation:
    """What is expected of one mask.

    Attributes
    ----------
    dice : dict of str to float
        Overlap with an expert's mask: ``whole``, ``anterior``, ``posterior``.
    volume_factors : dict of str to (float, float)
        For the same parts: `COVERAGE_PERCENT` of the experts' volumes lie between these times the
        mask's.
    """

    dice: dict[str, float]
    volume_factors: dict[str, tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """As a record keeps it."""
        return {
            "dice": {part: round(dice, 3) for part, dice in self.dice.items()},
            "volume_factors": {
                part: [round(low, 4), round(high, 4)]
                for part, (low, high) in self.volume_factors.items()
            },
        }


@dataclass(frozen=True, eq=False)
class VolumeModel:
    """The logarithm of an expert's volume over the mask's.

    Attributes
    ----------
    low, high : Linear
        Its quantiles, half of what `COVERAGE_PERCENT` leaves out below and half above.
    margin : float
        By how much the interval is wider at each end, so that it covers new persons, and each
        kind of change.
    """

    low: Linear
    high: Linear
    margin: float

    def log_interval(
        self, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high end of the logarithm, shape (...), for values of shape (..., N)."""
        # The interval holds the volume that it stands beside.
        low = np.minimum(self.low(values) - self.margin, 0)
        high = np.maximum(self.high(values) + self.margin, 0)
        return np.maximum(low, -MOST_LOG), np.minimum(high, MOST_LOG)


@dataclass(frozen=True, eq=False)
class Calibration:
    """A version's calibration.

    Attributes
    ----------
    signals : list of str
        Those that the models are of, in order.
    mean, scale : ndarray, shape (N,)
        Which standardise them.
    low, high : ndarray, shape (N,)
        Standardised, between which they were seen: beyond it they count as at its end.
    dice : dict of str to Linear
        By part, the logarithm of what is missing to a Dice of 1.
    volumes : dict of str to VolumeModel
        By part.
    """

    signals: list[str]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    dice: dict[str, Linear]
    volumes: dict[str, VolumeModel]

    @classmethod
    def read(cls, content: dict[str, Any]) -> "Calibration":
        """From a calibration's file.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is none.
        """
        if content["format"] != FORMAT:
            raise ValueError(f"a calibration of format {content['format']!r}, not {FORMAT}")
        read = cls._read(content)
        read._check()
        return read

    @classmethod
    def _read(cls, content: dict[str, Any]) -> "Calibration":
        mean, scale, low, high = (
            np.asarray(content["standard"][name], np.float64)
            for name in ("mean", "scale", "low", "high")
        )
        return cls(
            [str(name) for name in content["signals"]], mean, scale, low, high,
            {part: Linear.of(content["dice"][part]) for part in PARTS},
            {
                part: VolumeModel(
                    Linear.of(content["volumes"][part]["low"]),
                    Linear.of(content["volumes"][part]["high"]),
                    float(content["volumes"][part]["margin"]),
                )
                for part in PARTS
            },
        )  # fmt: skip

    def _check(self) -> None:
        """Raise ``ValueError`` for one that would fail on a scan, or give no numbers."""
        count, models = len(self.signals), list(self.dice.values())
        for volume in self.volumes.values():
            models += [volume.low, volume.high]
        of_signals = [self.mean, self.scale, self.low, self.high, *(m.weights for m in models)]
        if set(self.signals) - set(NAMES) or any(v.shape != (count,) for v in of_signals):
            raise ValueError("signals that do not fit")
        single = [model.intercept for model in models] + [v.margin for v in self.volumes.values()]
        numbers = np.concatenate([*of_signals, single])
        if not np.isfinite(numbers).all() or (self.scale <= 0).any():
            raise ValueError("a number that is none")

    def standardised(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Signals, shape (..., N), as the models take them."""
        scaled = (signals - self.mean) / self.scale
        return np.asarray(np.clip(scaled, self.low, self.high))

    def expected_dice(self, values: NDArray[np.float64], part: str) -> NDArray[np.float64]:
        """Expected Dice of a part, shape (...), for standardised signals of shape (..., N)."""
        return np.asarray(np.clip(1 - np.exp(self.dice[part](values)), 0.0, MOST_DICE))

    def expect(self, signals: Signals) -> Expectation:
        """What is expected of the mask with these signals."""
        values = self.standardised(np.array([signals[name] for name in self.signals]))
        dice, factors = {}, {}
        for part in PARTS:
            low, high = self.volumes[part].log_interval(values)
            dice[part] = float(self.expected_dice(values, part))
            factors[part] = (math.exp(float(low)), math.exp(float(high)))
        return Expectation(dice, factors)


def calibration_of(model: Model, mirroring: str) -> tuple[Calibration | None, str]:
    """A version's calibration; None and why there is none, in words that follow "not calibrated".

    Parameters
    ----------
    mirroring
        How predictions are averaged: agreement means another thing with other mirrors.
    """
    if CALIBRATION_NAME not in model.card.get("files", {}):
        return None, "this model version has no calibration"
    try:
        content = model.json(CALIBRATION_NAME)
        if content["model_sha256"] != model.sha256:
            return None, "its calibration is of another model version"
        if content["mirroring"] != mirroring:
            return None, (
                f"it was calibrated with mirroring {content['mirroring']}, not {mirroring}"
            )
        return Calibration.read(content), ""
    except (KeyError, TypeError, ValueError) as error:
        logger.warning("The calibration of version {} cannot be read: {}", model.version, error)
        return None, "its calibration cannot be read"
