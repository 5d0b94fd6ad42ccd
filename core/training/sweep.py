"""Several trainings over a grid of values, each in a folder of its own."""

import hashlib
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from core.errors import TrainingError
from core.training.config import TrainingConfig, TrainingRequest
from core.training.data.dataset import Dataset
from core.training.origin import trained_on

SWEEP_NAME = "sweep.txt"


def grid(request: TrainingRequest) -> list[TrainingRequest]:
    """Every combination of the values in a request, by Hydra's own syntax.

    >>> request = TrainingRequest("one", overrides=["epochs=2", "learning_rate=0.01,0.003"])
    >>> [one.overrides for one in grid(request)]
    [['epochs=2', 'learning_rate=0.01'], ['epochs=2', 'learning_rate=0.003']]

    Raises
    ------
    TrainingError
        A ``name=value`` is invalid.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(request.overrides)
    except HydraException as error:
        raise TrainingError(
            f"The sweep is not understood: {str(error).splitlines()[0]}",
            "Write name=value1,value2 or name=range(1,5).",
            code="bad_training_config",
        ) from error
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    requests = [replace(request, overrides=list(overrides)) for overrides in batch]
    for each in requests:
        each.config()  # all are checked before the first begins
    return requests


def check_held_out(config: TrainingConfig, dataset: Dataset, seen: Set[str]) -> None:
    """Refuse, before it begins, a training that holds out no case to compare on.

    Parameters
    ----------
    seen
        ``content_sha256`` of the cases that the version in service was trained on.

    Raises
    ------
    TrainingError
    """
    left = set(dataset.training) - set(trained_on(config, dataset))
    if config.start == "serving":
        left -= dataset.known_to(seen)
    if not left:
        raise TrainingError(
            "This sweep would have no case to compare on: all were seen in training",
            "Hold a fold out (fold=0), and begin from nothing (--preset cpu) where the version in "
            "service was trained on this data set.",
            code="nothing_held_out",
        )


def folder_of(request: TrainingRequest, parent: Path) -> Path:
    """The folder of one training of a sweep, named by its values, so that it can be resumed."""
    words = " ".join((request.dataset, request.preset, *request.overrides))
    return parent / hashlib.sha256(words.encode()).hexdigest()[:12]


def table_of(
    requests: Sequence[TrainingRequest],
    dice: Sequence[tuple[float, float]],
    sets: Sequence[str],
) -> str:
    """The results as text, the best first among those measured on the same cases.

    Parameters
    ----------
    dice
        For each request, the mean Dice of both labels.
    sets
        For each request, a key of the cases that it was measured on.
    """
    groups = list(dict.fromkeys(sets))
    order = sorted(range(len(requests)), key=lambda n: -sum(dice[n]))
    lines = ["anterior  posterior  values"]
    for number, group in enumerate(groups, start=1):
        if len(groups) > 1:
            lines.append(
                f"# on set {number} of {len(groups)} of cases held out; rows of different sets "
                "cannot be compared"
            )
        for n in (n for n in order if sets[n] == group):
            anterior, posterior = dice[n]
            lines.append(f"{anterior:8.4f}  {posterior:9.4f}  {' '.join(requests[n].overrides)}")
    return "\n".join(lines) + "\n"
