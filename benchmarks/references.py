"""How exact percentiles in reference groups are: ``python -m benchmarks.references``.

Groups are drawn from populations whose percentiles are known (those of the tests): four, and four
*fresh* ones on which nothing of the method was chosen. For each: the error of a percentile in
points (mean, median), its mean with sign, the share of intervals that hold the true percentile, and
the CPU time of a fit with its bootstrap. ``--methods`` prints the errors of other methods on the
same groups instead, and the floor: the error of one who knows all of the population but the
constants of its mean and the level of its spread.
"""

import argparse
import time

import numpy as np

from benchmarks.reference_methods import METHODS, knowing
from core.references.quantiles import COVERAGE_PERCENT, Floats, Percentiles
from tests.core.references.populations import FRESH, POPULATIONS

_TESTED = 40


def main() -> None:
    """Print a line a population and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=60, help="drawn of each population and size")
    parser.add_argument("--people", type=int, nargs="+", default=[60, 200, 1000])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--methods", action="store_true", help="other methods, and the floor")
    options = parser.parse_args()
    print(f"intervals of {COVERAGE_PERCENT} %, {options.groups} groups, {_TESTED} people tested")
    for count in options.people:
        if options.methods:
            _compare(options.groups, count, options.seed)
            continue
        for title, populations in (("all", POPULATIONS), ("all fresh", FRESH)):
            pooled = []
            for name, population in populations.items():
                errors, hits, seconds = _served(population, options.groups, count, options.seed)
                pooled.append((errors, hits))
                print(_line(name, count, errors, hits), f"{seconds:.3f} s", flush=True)
            print(_line(title, count, *(np.concatenate(of) for of in zip(*pooled, strict=True))))


def _served(population, groups: int, count: int, seed: int):
    rng = np.random.default_rng(seed)
    errors, hits, seconds = [], [], []
    for _ in range(groups):
        drawn = population.draw(rng, count)
        begun = time.process_time()
        percentiles = Percentiles(*drawn[:3])
        seconds.append(time.process_time() - begun)
        for age, female, value, true in zip(*population.draw(rng, _TESTED), strict=True):
            place = percentiles.place(age, is_female=bool(female), value=value)
            errors.append(place.percentile - true)
            hits.append(place.low <= true <= place.high)
    return np.array(errors), np.array(hits), float(np.median(seconds))


def _compare(groups: int, count: int, seed: int) -> None:
    """Print the mean error of each method, by population."""
    table: dict[str, list[float]] = {name: [] for name in (*METHODS, "floor")}
    for name, population in (POPULATIONS | FRESH).items():
        for method, percentiles in (METHODS | {"floor": knowing(population)}).items():
            rng = np.random.default_rng(seed)
            errors = []
            for _ in range(groups):
                group, tested = population.draw(rng, count), population.draw(rng, _TESTED)
                errors.append(np.abs(percentiles(group[:3], tested[:3]) - tested[3]))
            table[method].append(float(np.mean(errors)))
            print(f"{name:>15}, n = {count}, {method}: {table[method][-1]:.2f}", flush=True)
    for method, errors in table.items():
        print(f"{method:>28}: {np.mean(errors):.2f} points in the mean of all populations")


def _line(name: str, count: int, errors: Floats, hits: Floats) -> str:
    sizes = np.abs(errors)
    return (
        f"{name:>15}, n = {count}: error mean {sizes.mean():.2f}, median {np.median(sizes):.2f}, "
        f"signed {np.mean(errors):+.2f} points; covered {100 * np.mean(hits):.1f} %;"
    )


if __name__ == "__main__":
    main()
