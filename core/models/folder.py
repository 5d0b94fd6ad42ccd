"""A model version on disk: its card, and weights that are verified before they are read.

A folder holds ``card.json``, nnU-Net's ``plans.json`` and ``dataset.json``, and the weights
as safetensors, which cannot hold code. The card names the sha256 of each of them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.wording import counted

CARD_NAME = "card.json"
# What is expected of its masks: `core.predictor.expectation`.
CALIBRATION_NAME = "calibration.json"


@dataclass(frozen=True, eq=False)
class Model:
    """A verified model version.

    Attributes
    ----------
    folder : Path
    card : dict
        Everything that ``card.json`` says: training, data, metrics, limits, licence.
    version, name, sha256, configuration : str
        ``sha256`` is that of the weights; of several networks, that of their sha256 in a row.
    labels : dict of str to int
        ``anterior`` and ``posterior`` with their values in a mask.
    """

    folder: Path
    card: dict[str, Any]
    version: str
    name: str
    sha256: str
    configuration: str
    labels: dict[str, int]

    @property
    def weights(self) -> list[Path]:
        """The file of the weights of each network; more than one are an ensemble of folds."""
        return [self.folder / name for name in _weights(self.card)]

    def int8_ranges(self) -> list[dict[str, list[float]]]:
        """For each network the value ranges for int8; empty where int8 is not proven harmless."""
        proof = self.card.get("int8")
        if proof is None:
            return []
        ranges: list[dict[str, list[float]]] = self.json(str(proof["ranges"]))["networks"]
        return ranges

    def json(self, name: str) -> dict[str, Any]:
        """One of the JSON files that the card names."""
        content: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        return content

    def as_dict(self) -> dict[str, Any]:
        """A model as the API and the exports name it."""
        return {
            "version": self.version,
            "name": self.name,
            "sha256": self.sha256,
            "configuration": self.configuration,
            "labels": self.labels,
        }


def load_model(folder: Path) -> Model:
    """Read a model's card and verify the sha256 of every file that it names.

    Raises
    ------
    ModelError
        A file is missing or is not the one that the card was written for.
    """
    try:
        card = json.loads((folder / CARD_NAME).read_bytes())
        files = dict(card["files"])
        model = Model(
            folder=folder,
            card=card,
            version=str(card["version"]),
            name=str(card["name"]),
            sha256=sha256_of(card),
            configuration=str(card["configuration"]),
            labels={str(k): int(v) for k, v in card["labels"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            "The model's card cannot be read",
            "Restore the model's folder, or point HIPPOVIEW_MODEL_DIR to another.",
        ) from error
    for name, expected in files.items():
        if Path(name).name != name:
            raise ModelError(f"The model's card names a file outside its folder: {name!r}")
        if _sha256(folder / name) != expected:
            raise ModelError(
                f"The model's file {name} is missing or is not the one its card was written for",
                "Restore it; a file whose sha256 differs is never loaded.",
            )
    return model


def is_cross_validated(metrics: Mapping[str, Any]) -> bool:
    """Whether a card's figures come from cross-validation; see `measured_on`."""
    return bool(metrics.get("cross_validated"))


def measured_on(metrics: Mapping[str, Any]) -> str:
    """On which cases a card's figures were measured, in words that follow "on"."""
    cases = counted(metrics["cases"], "case")
    failed = sum(metrics.get("failed", {}).values())
    if failed:
        cases += f" ({counted(failed, 'mask lacks', 'masks lack')} a label)"
    if is_cross_validated(metrics):
        return f"{cases}, each by a network trained in the same way without it (cross-validation)"
    return f"{cases} {'seen in training' if metrics['seen_in_training'] else 'that it never saw'}"


def calibrated_on(card: Mapping[str, Any]) -> str:
    """How a version's expected overlap was calibrated, in a few sentences."""
    summary = card.get("calibration")
    if summary is None:
        return "Not calibrated: no overlap is expected of its masks, and volumes have no interval."
    low, high = summary["covered_percent"]
    return (
        f"Calibrated on {counted(summary['masks'], 'mask')} of {counted(summary['cases'], 'crop')} "
        f"of {counted(summary['persons'], 'person')} that {summary['by']} had not seen: as they "
        "are, blurred, noisy, with another gamma and shading, with slices of 2 to 4 mm, misplaced, "
        "and with a shrunken hippocampus. On persons that the calibration was not fitted on, the "
        f"expected overlap is off by {summary['dice_error']:.3f} (Dice) in the mean, its rank "
        f"correlation with the true one is {summary['rank_correlation']:.2f}, and the intervals "
        f"of {summary['interval_percent']} % held the expert's volume in {low} to {high} % of "
        "the masks, by kind of change."
    )


@contextmanager
def opened(folder: Path) -> Iterator[Model]:
    """A model of a folder, verified, for as long as the block lasts."""
    yield load_model(folder)


def sha256_of(card: dict[str, Any]) -> str:
    """Identifies a version's weights: one file's sha256, or the sha256 of several joined."""
    sums = [str(card["files"][name]) for name in _weights(card)]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _weights(card: dict[str, Any]) -> list[str]:
    """Names of the weights' files: the card gives one or a list."""
    names = card["weights"]
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
