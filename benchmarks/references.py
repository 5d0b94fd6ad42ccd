"""How exact percentiles in reference groups are: ``python -m benchmarks.references``.

Groups are drawn from populations whose percentiles are known (those of the tests): four, and four
*fresh* ones on which nothing of the method was chosen. For each: the error of a percentile in
points (mean, median), its mean with sign, the share of intervals that hold the true percentile, and
the CPU time of a fit with its bootstrap. ``--methods`` prints the errors of other methods on the
same groups instead, and the floor: the error of one who knows all of the population but the
constants of its mean and the level of its spread; and the same floor by theory, of a normal
population: from the standard errors that so many people give. Each population has people of its
own, so that the mean of all is of as many groups.
"""

import argparse
import time

import numpy as np
from scipy.special import ndtr

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
    parser.add_argument("--only", nargs="+", default=[], help="of the methods, besides the floor")
    options = parser.parse_args()
    print(f"intervals of {COVERAGE_PERCENT} %, {options.groups} groups, {_TESTED} people tested")
    for count in options.people:
        if options.methods:
            _compare(options.groups, count, options.seed, options.only or list(METHODS))
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


def _compare(groups: int, count: int, seed: int, names: list[str]) -> None:
    """Print the mean error of each method, by population."""
    methods = {name: METHODS[name] for name in names}
    table: dict[str, list[float]] = {name: [] for name in (*methods, "floor")}
    for number, (name, population) in enumerate((POPULATIONS | FRESH).items()):
        for method, percentiles in (methods | {"floor": knowing(population)}).items():
            rng = np.random.default_rng((seed, number))
            errors = []
            for _ in range(groups):
                group, tested = population.draw(rng, count), population.draw(rng, _TESTED)
                errors.append(np.abs(percentiles(group[:3], tested[:3]) - tested[3]))
            table[method].append(float(np.mean(errors)))
            print(f"{name:>15}, n = {count}, {method}: {table[method][-1]:.2f}", flush=True)
    for method, errors in table.items():
        print(f"{method:>28}: {np.mean(errors):.2f} points in the mean of all populations")
    for terms, words in ((2, "age"), (3, "age and sex"), (4, "age, bent, and sex")):
        print(f"floor by theory, normal, n = {count}, {words}: {floor_by_theory(terms, count):.2f}")


def floor_by_theory(terms: int, count: int) -> float:
    """The mean error of who estimates so many constants of a normal population's mean, and its SD.

    The variance of the estimated mean is ``terms / count`` of the population's in the mean over its
    people (the trace of the hat matrix), that of the SD ``1 / (2 count)``: no unbiased estimate has
    less. Averaged over people of all ages by the polynomials that are even over an age range.
    """
    z = np.linspace(-5, 5, 401)
    weights = np.exp(-(z**2) / 2)
    weights /= weights.sum()
    at = np.linspace(-1, 1, 41)
    # Constant, age, bend: Legendre polynomials; sex, in two halves, adds 1.
    variance = 1 + 3 * at**2 + (terms > 2) + (terms > 3) * 5 * ((3 * at**2 - 1) / 2) ** 2
    errors = []
    for of_mean in variance / count:
        sd = np.sqrt(of_mean + z**2 / (2 * count))
        off = np.abs(ndtr(z[:, None] + sd[:, None] * z) - ndtr(z)[:, None]) @ weights
        errors.append(100 * float(weights @ off))
    return float(np.mean(errors))


def _line(name: str, count: int, errors: Floats, hits: Floats) -> str:
    sizes = np.abs(errors)
    return (
        f"{name:>15}, n = {count}: error mean {sizes.mean():.2f}, median {np.median(sizes):.2f}, "
        f"signed {np.mean(errors):+.2f} points; covered {100 * np.mean(hits):.1f} %;"
    )


if __name__ == "__main__":
    main()
