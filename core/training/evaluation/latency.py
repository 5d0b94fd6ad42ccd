"""How much slower one version is than another: both on the same scans, one after the other."""

import statistics
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from core import limits
from core.image.volume import Volume
from core.models.folder import Model
from core.models.registry import Version
from core.predictor.predictor import InferenceOptions, Predictor, loaded

# Format of the figures; figures of another format are computed anew.
FORMAT = 1
KIND = "latency"


def latency(
    model: Model,
    serving: Version,
    serving_model: Model,
    scans: Sequence[Volume],
    options: InferenceOptions,
) -> dict[str, Any]:
    """Time a version against the one in service.

    Parameters
    ----------
    serving, serving_model
        The version in service.

    Returns
    -------
    dict
        ``against`` and ``against_sha256``, the version in service; ``cases``, how many scans;
        ``ratio``, the version's median seconds over those of the one in service; ``seconds`` and
        ``against_seconds``, the medians.
    """
    predictors = [loaded(model, options), loaded(serving_model, options)]
    for predictor in predictors:
        predictor.warm_up()
    own_s, other_s = medians_in_turn(predictors[0], predictors[1], scans)
    for predictor in predictors:
        predictor.close()
    return {
        "format": FORMAT,
        "kind": KIND,
        "against": serving.number,
        "against_sha256": serving.sha256,
        "cases": len(scans),
        "ratio": round(own_s / other_s, 4),
        "seconds": round(own_s, 4),
        "against_seconds": round(other_s, 4),
    }


def medians_in_turn(
    first: Predictor,
    second: Predictor,
    scans: Sequence[Volume],
    clock: Callable[[], float] = perf_counter,
) -> tuple[float, float]:
    """Median seconds of two predictors, each with each scan, `limits.LATENCY_ROUNDS` times.

    They take turns, and which of them begins changes each time: a machine that becomes busy slows
    both.

    Parameters
    ----------
    clock
        A monotonic clock, in seconds.
    """
    predictors = (first, second)
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn, scan in enumerate(list(scans) * limits.LATENCY_ROUNDS):
        for which in (turn % 2, 1 - turn % 2):
            start = clock()
            with predictors[which].slot():
                predictors[which].segment(scan)
            seconds[which].append(clock() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
