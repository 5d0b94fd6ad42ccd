"""Ways to percentiles in a reference group, measured beside the one that serves.

Each takes the people of a group (ages, whether female, values) and those that are tested, all as
arrays, and gives the percentile of each tested one. `benchmarks/references.py` prints their errors.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.special import ndtr, ndtri

from benchmarks.reference_joint import joint
from core.references.quantiles import Floats, Percentiles, _share
from tests.core.references.populations import Population

People = tuple[Floats, Floats, Floats]
Method = Callable[[People, People], Floats]
_SMOOTHING_SD = 0.3
_KERNEL_YEARS = 9.0
_SHARES = np.arange(0.05, 0.96, 0.05)


def served(group: People, tested: People) -> Floats:
    """What `core.references` serves."""
    percentiles = Percentiles(*group, repeats=1)
    return np.array(
        [
            percentiles.place(age, is_female=bool(female), value=value).percentile
            for age, female, value in zip(*tested, strict=True)
        ]
    )


def repeats_averaged(group: People, tested: People) -> Floats:
    """What serves, as the mean of the percentiles of its 200 repeats."""
    percentiles = Percentiles(*group)
    location, spread = percentiles._at(tested[0], tested[1])
    at = ((tested[2] - percentiles._mean) / percentiles._sd - location) / spread
    leans = percentiles._fits.leans
    shares = [_share(at[1:, person], leans[1:]).mean() for person in range(at.shape[1])]
    return 100 * np.array(shares)


def served_and_joint(group: People, tested: People) -> Floats:
    """The mean of what serves and of one likelihood for all."""
    return (served(group, tested) + joint(group, tested)) / 2


def served_and_restricted(group: People, tested: People) -> Floats:
    """What serves, with 0.3 of He's smoothed ranks."""
    return 0.7 * served(group, tested) + 0.3 * restricted(group, tested)


def restricted(group: People, tested: People) -> Floats:
    """He (1997): a curve, a spread linear in age, and the residuals' own smoothed distribution."""
    (ages, _, values), terms = group, _terms(*group[:2])
    weights = np.ones(len(ages))
    for _ in range(5):
        fit = _least_squares(terms, values, weights)
        sizes = np.abs(values - terms @ fit)
        line = np.polyfit(ages, sizes, 1)
        spread = np.maximum(np.polyval(line, ages), 0.3 * sizes.mean())
        weights = np.minimum(1, 1.9 * spread / np.maximum(sizes, 1e-9)) / spread**2
    residuals = (values - terms @ fit) / spread
    there = np.maximum(np.polyval(line, tested[0]), 0.3 * sizes.mean())
    at = (tested[2] - _terms(*tested[:2]) @ fit) / there
    return 100 * _smoothed_share(at, residuals, np.ones((len(at), len(residuals))))


def quantile_regression(group: People, tested: People) -> Floats:
    """A regression of each fifth percentile (Koenker), made monotone by sorting."""
    terms, there = _terms(*group[:2]), _terms(*tested[:2])
    count, size = terms.shape
    scale = group[2].std()
    curves = []
    for share in _SHARES:
        cost = np.r_[np.zeros(size), np.full(count, share), np.full(count, 1 - share)]
        equal = np.hstack([terms, np.eye(count), -np.eye(count)])
        bounds = [(None, None)] * size + [(0, None)] * 2 * count
        found = linprog(cost, A_eq=equal, b_eq=group[2] / scale, bounds=bounds, method="highs")
        curves.append(scale * there @ found.x[:size])
    sorted_curves = np.sort(np.stack(curves, axis=1), axis=1)
    found_z = []
    for value, curve in zip(tested[2], sorted_curves, strict=True):
        # Beyond the outermost curves as a normal distribution goes on.
        slope = (ndtri(0.95) - ndtri(0.05)) / max(curve[-1] - curve[0], 1e-9)
        z = np.interp(value, curve, ndtri(_SHARES))
        z += slope * (min(value - curve[0], 0) + max(value - curve[-1], 0))
        found_z.append(z)
    return 100 * ndtr(np.array(found_z))


def lms(group: People, tested: People) -> Floats:
    """Cole and Green (1992): a Box-Cox power, a median curve and a coefficient of variation."""
    terms, there = _terms(*group[:2]), _terms(*tested[:2])
    age = (group[0] - 50) / 20
    size = terms.shape[1]
    start = _least_squares(terms, group[2], np.ones(len(age)))
    scale = group[2].mean()

    def normal(of: Floats, terms_: Floats, ages: Floats, values: Floats) -> tuple[Floats, Floats]:
        median = np.maximum(terms_ @ of[:size], 0.05) * scale
        ratio, power = values / median, of[size + 2]
        spread = np.exp(np.clip(of[size] + of[size + 1] * ages, -9, 3))
        raised = np.log(ratio) if abs(power) < 1e-4 else (ratio**power - 1) / power
        return raised / spread, power * np.log(ratio) - np.log(spread)

    def misfit(of: Floats) -> float:
        z, slope = normal(of, terms, age, group[2])
        return float((z**2 / 2 - slope).sum())

    begin = np.r_[start / scale, np.log(group[2].std() / scale), 0.0, 1.0]
    found = minimize(misfit, begin, method="BFGS").x
    return 100 * ndtr(normal(found, there, (tested[0] - 50) / 20, tested[2])[0])


def kernel(group: People, tested: People) -> Floats:
    """People near in age (a normal kernel): a local line, and the residuals of those people."""
    ages, females, values = group
    sex = _least_squares(_terms(ages, females), values, np.ones(len(ages)))[-1]
    values = values - sex * np.where(females, 0.5, -0.5)
    wanted = tested[2] - sex * np.where(tested[1], 0.5, -0.5)
    near = np.exp(-(((tested[0][:, None] - ages) / _KERNEL_YEARS) ** 2) / 2)
    found = []
    for age, value, weights in zip(tested[0], wanted, near, strict=True):
        line = _least_squares(np.stack([np.ones_like(ages), ages - age], 1), values, weights)
        residuals = values - line[0] - line[1] * (ages - age)
        spread = np.sqrt((weights * residuals**2).sum() / weights.sum())
        at = np.array([(value - line[0]) / spread])
        found.append(_smoothed_share(at, residuals / spread, weights[None])[0])
    return 100 * np.array(found)


def knowing(population: Population) -> Method:
    """The floor: all of the population is known but its mean's constants and its spread's level."""
    z = np.linspace(-6, 6, 4001)
    e = population.shape(z)
    log_slope = np.log(np.gradient(e, z))

    def percentiles(group: People, tested: People) -> Floats:
        terms, there = population.terms(*group[:2]), population.terms(*tested[:2])
        spread, size = population.sd(group[0]), terms.shape[1]

        def misfit(of: Floats) -> float:
            at = (group[2] - terms @ of[:size]) / (spread * np.exp(of[size]))
            normal = np.interp(at, e, z)
            beyond = np.clip(at - e[0], None, 0) ** 2 + np.clip(at - e[-1], 0, None) ** 2
            lost = normal**2 / 2 + np.interp(normal, z, log_slope) + of[size] + 1e3 * beyond
            return float(lost.sum())

        start = _least_squares(terms, group[2], 1 / spread**2)
        around = np.r_[np.full(size, 0.2 * spread.mean()), 0.1] * np.eye(size + 1)
        first = np.r_[start, 0.0]
        found = minimize(
            misfit, first, method="Nelder-Mead",
            options={"initial_simplex": np.vstack([first, first + around]), "maxiter": 3000},
        ).x  # fmt: skip
        at = (tested[2] - there @ found[:size]) / (population.sd(tested[0]) * np.exp(found[size]))
        return 100 * ndtr(np.interp(at, e, z))

    return percentiles


METHODS: dict[str, Method] = {
    "served": served, "its repeats, averaged": repeats_averaged, "one likelihood": joint,
    "served and one likelihood": served_and_joint,
    "served and 0.3 of He's": served_and_restricted, "He's restricted quantiles": restricted,
    "quantile regression, sorted": quantile_regression, "LMS (Box-Cox)": lms, "kernel": kernel,
}  # fmt: skip


def _terms(ages: Floats, females: Floats) -> Floats:
    age = (ages - 50) / 20
    return np.stack([np.ones_like(age), age, age**2, np.where(females, 0.5, -0.5)], axis=1)


def _least_squares(terms: Floats, values: Floats, weights: Floats) -> Floats:
    root = np.sqrt(weights)
    found: Floats = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]
    return found


def _smoothed_share(at: Floats, residuals: Floats, weights: Floats) -> Floats:
    shares = (ndtr((at[:, None] - residuals) / _SMOOTHING_SD) * weights).sum(axis=1)
    found: Floats = shares / weights.sum(axis=1)
    return found
