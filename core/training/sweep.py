"""Several trainings over a grid of values, one run's folder each. Imports nnU-Net: late."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import TrainingError
from core.training.config import TrainingRequest


def grid(request: TrainingRequest) -> list[TrainingRequest]:
    """Every combination of the values in a request, by Hydra's own syntax.

    >>> request = TrainingRequest("one", overrides=["epochs=2", "learning_rate=0.01,0.003"])
    >>> [one.overrides for one in grid(request)]
    [['epochs=2', 'learning_rate=0.01'], ['epochs=2', 'learning_rate=0.003']]

    Raises
    ------
    TrainingError
        A ``name=value`` is not understood.
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
    for one in requests:
        one.config()  # all of them are understood before the first begins
    return requests


def folder_of(request: TrainingRequest, parent: Path) -> Path:
    """Where one training of a sweep lies: named by its values, so that it is found again."""
    asked = " ".join((request.dataset, request.preset, *request.overrides))
    return parent / hashlib.sha256(asked.encode()).hexdigest()[:12]


def table_of(requests: Sequence[TrainingRequest], dice: Sequence[tuple[float, float]]) -> str:
    """The outcome, the best first.

    Parameters
    ----------
    dice
        Of both labels, for each request.
    """
    order = sorted(range(len(requests)), key=lambda n: -sum(dice[n]))
    lines = ["anterior  posterior  values"]
    for n in order:
        anterior, posterior = dice[n]
        lines.append(f"{anterior:8.4f}  {posterior:9.4f}  {' '.join(requests[n].overrides)}")
    return "\n".join(lines) + "\n"
