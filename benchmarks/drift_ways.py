"""Whether combinations of features show drift sooner than single ones, at one rate of false alarms.

``python -m benchmarks.drift_ways CROPS [--draws 60] [--cache FILE]``; see `benchmarks.drift_delay`
for both. Each way has sums of the single scores and further ones, thresholds set by 400 simulated
streams and measured on 400 others, and the delays until *watch* of the same draws.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_delay import FEATURES, features_of_options, options_of
from core.drift.calibration import average_run_length, drawn
from core.drift.scores import Scale

_STREAMS, _STEPS, _GROUP, _LONGEST = 400, 2000, 8, 60
_RUN_LENGTH, _MOST_SCORE = 550, 3.0
Table = NDArray[np.float64]
# Of a reference's scores, what makes further scores of scores.
Way = Callable[[Table], Callable[[Table], Table]]


def none(reference: Table) -> Callable[[Table], Table]:
    """No further sums."""
    return lambda scores: np.empty((len(scores), 0))


def directions(shrunken: float, chosen: slice) -> Way:
    """Scores along directions of the covariance, those of the largest variance first."""

    def way(reference: Table) -> Callable[[Table], Table]:
        variances, vectors = _covariance(reference, shrunken)
        along = (vectors / np.sqrt(variances))[:, ::-1][:, chosen]
        return lambda scores: scores @ along

    return way


def given_others(shrunken: float) -> Way:
    """Each score less what the others foretell of it, in its own standard deviations."""

    def way(reference: Table) -> Callable[[Table], Table]:
        variances, vectors = _covariance(reference, shrunken)
        inverse = vectors @ np.diag(1 / variances) @ vectors.T
        along = inverse / np.sqrt(np.diag(inverse))
        return lambda scores: scores @ along

    return way


def distance(shrunken: float) -> Way:
    """The normal score of Mahalanobis' distance."""

    def way(reference: Table) -> Callable[[Table], Table]:
        variances, vectors = _covariance(reference, shrunken)
        along = vectors / np.sqrt(variances)
        known = [{FEATURES[0].key: float(d)} for d in ((reference @ along) ** 2).sum(axis=1)]
        scale = Scale(known, FEATURES[:1])

        def further(scores: Table) -> Table:
            far = ((scores @ along) ** 2).sum(axis=1)
            return np.array([[*scale.score({FEATURES[0].key: float(d)}).values()] for d in far])

        return further

    return way


# By name: the way, and the allowances that each score has sums with.
WAYS: dict[str, tuple[Way, tuple[float, ...]]] = {
    "single": (none, (0.5,)),
    "largest directions": (directions(0.1, slice(5)), (0.5,)),
    "smallest directions": (directions(0.1, slice(-5, None)), (0.5,)),
    "all directions": (directions(0.1, slice(None)), (0.5,)),
    "distance": (distance(0.1), (0.5,)),
    "given others 0.1": (given_others(0.1), (0.5,)),
    "given others 0.03": (given_others(0.03), (0.5,)),
    "single 0.75": (none, (0.75,)),
    "single 1": (none, (1.0,)),
    "single 0.5 and 1": (none, (0.5, 1.0)),
    "given others, both": (given_others(0.03), (0.5, 1.0)),
}


def main() -> None:
    """Print the table."""
    options = options_of(__doc__, draws=60)
    features = {
        name: np.array([[values[f.key] for f in FEATURES] for values in rows])
        for name, rows in features_of_options(options).items()
    }
    plain = features["none"]
    print(f"{'':<20}{'run length':>11}" + "".join(f"{name[:10]:>11}" for name in features))
    for name, (way, allowances) in WAYS.items():
        rng = np.random.default_rng(0)
        first, second = (_levels(plain, way, allowances, rng) for _ in range(2))
        threshold = _threshold(first)
        medians = [
            np.median(_delays(plain, changed, way, allowances, threshold, options.draws))
            for changed in features.values()
        ]
        length = average_run_length(second, threshold)
        print(f"{name:<20}{length:>11.0f}" + "".join(f"{m:>11.0f}" for m in medians), flush=True)


def _covariance(scores: Table, shrunken: float) -> tuple[Table, Table]:
    """Variances, ascending, and directions of a covariance drawn towards equal variances."""
    covariance = np.cov(scores.T)
    equal = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    found = np.linalg.eigh((1 - shrunken) * covariance + shrunken * equal)
    return found.eigenvalues, found.eigenvectors


def _steps(reference: Table, scans: Table, way: Way, allowances: Sequence[float]) -> Table:
    """What each scan adds to each sum, each in units of what its threshold would be alone."""
    scale = Scale([_values(row) for row in reference], FEATURES)
    own, scores = (
        np.array([[*scale.score(_values(row)).values()] for row in rows])
        for rows in (reference, scans)
    )
    further = np.clip(way(own)(scores), -_MOST_SCORE, _MOST_SCORE)
    both = np.concatenate([scores, further], axis=1)
    return np.concatenate(
        [2 * allowance * (s * both - allowance) for allowance in allowances for s in (1, -1)],
        axis=1,
    )


def _values(row: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip((f.key for f in FEATURES), row.tolist(), strict=True))


def _levels(plain: Table, way: Way, allowances: Sequence[float],
            rng: np.random.Generator) -> NDArray[np.float32]:  # fmt: skip
    """The highest level so far of simulated streams, shape (steps, streams)."""
    levels = np.empty((_STEPS, _STREAMS), np.float32)
    for start in range(0, _STREAMS, _GROUP):  # of one drawn reference each
        own = drawn(rng, len(plain), len(plain), 1, 2)[:, 0]
        steps = _steps(plain[own], plain, way, allowances)
        rows = drawn(rng, len(plain), _STEPS, _GROUP, 2)
        sums = np.zeros((_GROUP, steps.shape[1]))
        for number, chosen in enumerate(rows):
            sums = np.maximum(sums + steps[chosen], 0)
            levels[number, start : start + _GROUP] = sums.max(axis=1)
    return np.maximum.accumulate(levels)


def _threshold(highest: NDArray[np.float32]) -> float:
    at = np.linspace(1, float(highest.max()) + 1, 2000)
    return float(next(t for t in at if average_run_length(highest, t) >= _RUN_LENGTH))


def _delays(plain: Table, changed: Table, way: Way, allowances: Sequence[float], threshold: float,
            draws: int) -> list[int]:  # fmt: skip
    """Scans until *watch*, of each draw; one more than there are where that is never."""
    rng, delays = np.random.default_rng(1), []
    for _ in range(draws):
        first = 2 * rng.choice(len(plain) // 2, _LONGEST // 2, replace=False)
        order = np.stack([first, first + 1], axis=1).ravel()
        others = plain[np.setdiff1d(np.arange(len(plain)), order)]
        steps = _steps(others, changed[order], way, allowances)
        sums, delay = np.zeros(steps.shape[1]), _LONGEST + 1
        for number, step in enumerate(steps, 1):
            sums = np.maximum(sums + step, 0)
            if sums.max() >= threshold:
                delay = number
                break
        delays.append(delay)
    return delays


if __name__ == "__main__":
    main()
