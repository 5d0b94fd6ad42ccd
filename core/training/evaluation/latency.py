"""How much slower one version is than another: both on the same scans, one after the other.

Whatever else the machine does can only make a scan take longer, so each version's shortest time for
a scan is the one that is its own (decision 0036).
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from core import limits
from core.image.volume import Volume
from core.models.folder import Model
from core.models.registry import Version
from core.predictor.predictor import InferenceOptions, Predictor, loaded

# Format of the figures; figures of another format are computed anew.
FORMAT = 2
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
        ``ratio``, the version's seconds over those of the one in service; ``seconds`` and
        ``against_seconds``, a scan's shortest time in the mean of the scans; ``precision`` and
        ``against_precision``, what each computes in.
    """
    predictors = [loaded(model, options), loaded(serving_model, options)]
    for predictor in predictors:
        predictor.warm_up()
    own_s, other_s = shortest_in_turn(predictors[0], predictors[1], scans)
    own, other = (predictor.network.precision for predictor in predictors)
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
        "precision": own,
        "against_precision": other,
    }


def shortest_in_turn(
    first: Predictor,
    second: Predictor,
    scans: Sequence[Volume],
    clock: Callable[[], float] = perf_counter,
) -> tuple[float, float]:
    """The shortest time of each of two predictors for a scan (s), in the mean of the scans.

    They take turns, and which of them begins changes from scan to scan and from round to round. The
    rounds end once `limits.LATENCY_CALM_ROUNDS` in a row found nothing shorter, or after
    `limits.LATENCY_ROUNDS`: on a busy machine it takes more of them.

    Parameters
    ----------
    clock
        A monotonic clock, in seconds.
    """
    predictors = (first, second)
    shortest = [[float("inf")] * len(scans) for _ in predictors]
    calm, before = 0, (float("inf"), float("inf"))
    for turn in range(limits.LATENCY_ROUNDS):
        for place, scan in enumerate(scans):
            begins = (turn + place) % 2
            for which in (begins, 1 - begins):
                start = clock()
                with predictors[which].slot():
                    predictors[which].segment(scan)
                seconds = clock() - start
                shortest[which][place] = min(shortest[which][place], seconds)
        means = sum(shortest[0]) / len(scans), sum(shortest[1]) / len(scans)
        gained = any(
            mean < limits.LATENCY_SAME * old for mean, old in zip(means, before, strict=True)
        )
        calm = 0 if gained else calm + 1
        if calm == limits.LATENCY_CALM_ROUNDS:
            break
        if gained:
            before = means
    return means
