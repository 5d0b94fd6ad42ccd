"""Percentiles of a measure by age and sex in a group of people, with their uncertainty.

Location, scale and shape (Rigby and Stasinopoulos, 2005, *Generalized additive models for location,
scale and shape*): the measure is ``m(age, sex) + s(age) * e``. One fit gives all percentiles, so
that their curves never cross.

``m`` is the mean of a line and of a smooth curve (a natural cubic spline, restrained), each counted
by how well the group supports it. ``log s`` is linear in age. ``e`` is a normal distribution that
may lean to one side (sinh-arcsinh: Jones and Pewsey, 2009), averaged over its skewness in the same
way. People far from the rest count less (Huber), so that a few odd ones do not move it.

The uncertainty is that of the group's size: the fit is repeated on people drawn with replacement.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

COVERAGE_PERCENT = 90
# People of each sex from which the sexes are fitted apart: with fewer, percentiles of one sex are
# less exact than with both together (benchmarks/references.py).
APART_FROM = 150
# Repeats of the fit for the uncertainty, for groups up to this size and for larger ones, whose
# uncertainty is a point or two.
_REPEATS, _MANY_PEOPLE, _REPEATS_OF_MANY = 200, 1000, 60
_SEED = 20
# The repeats do not know that a curve is restrained: of those that bend most (the tests' *bent*)
# 85 % of intervals of 90 % held the truth without this.
_WIDER = 1.05
_ROUNDS = 3
# Residuals beyond so many standard deviations count as if they were there.
_FAR_SD = 3.0
# Knots of the curve, as shares of the group's range of age, and how it is restrained. Fewer ages
# than these give a line.
_KNOTS = np.linspace(0.05, 0.95, 5)
_RESTRAINT = 10.0
_LEAST_AGES = 12
# Slopes of log s by standard deviation of age, and what is expected of them.
_SLOPES, _SLOPE_SD = np.linspace(-0.45, 0.45, 19), 0.15
# Skewness of e, and what is expected of it.
_LEANS, _LEAN_SD = np.linspace(-0.8, 0.8, 17), 0.3
# Of a standard normal z: the mean of sqrt(1 + z squared).
_MEAN_ROOT = 1.35453
# Probabilities closer to 0 or 1 are not told apart.
_TAIL = 1e-4
_SMALL = 1e-9


@dataclass(frozen=True)
class Place:
    """Where a value stands in a group.

    Attributes
    ----------
    percentile, low, high : float
        In per cent: the share of people of this age and sex with a smaller value, and its
        `COVERAGE_PERCENT` interval.
    """

    percentile: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class _Fits:
    """The fit, and its repeats: B of them, the first to all people.

    Attributes
    ----------
    location : ndarray, shape (B, T)
        Of `Percentiles._terms`.
    spread : ndarray, shape (B, 2)
        Standard deviation at the mean age, and the slope of its logarithm.
    leans : ndarray, shape (B, len(_LEANS))
        How far each skewness is believed.
    """

    location: Floats
    spread: Floats
    leans: Floats


class Percentiles:
    """Percentiles of one measure in a group.

    Parameters
    ----------
    ages_years : array, shape (N,)
    are_female : array of bool, shape (N,)
        All the same where the fit is to people of one sex.
    values : array, shape (N,)
    repeats
        For the uncertainty; by default as many as the size asks for.
    """

    def __init__(
        self,
        ages_years: Sequence[float] | Floats,
        are_female: Sequence[bool] | NDArray[np.bool_],
        values: Sequence[float] | Floats,
        repeats: int | None = None,
    ) -> None:
        ages, found = np.asarray(ages_years, float), np.asarray(values, float)
        females = np.asarray(are_female, bool)
        self._age_mean, self._age_sd = float(ages.mean()), float(ages.std())
        self._mean, self._sd = float(found.mean()), float(found.std()) or 1.0
        self._has_both = bool(females.any() and not females.all())
        lines = self._lines(ages, females)
        self._curve = _Curve(ages, lines)
        count = len(found)
        if repeats is None:
            repeats = _REPEATS if count <= _MANY_PEOPLE else _REPEATS_OF_MANY
        drawn = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), repeats)
        weights = np.vstack([np.ones((1, count)), drawn.astype(float)])
        self._fits = _fit(
            lines, self._curve(ages, lines), self._age(ages), (found - self._mean) / self._sd,
            weights,
        )  # fmt: skip

    def place(self, age_years: float, *, is_female: bool, value: float) -> Place:
        """Where a value stands among people of an age and sex."""
        location, spread = self._at(np.array([age_years]), np.array([is_female]))
        at = ((value - self._mean) / self._sd - location[:, 0]) / spread[:, 0]
        z = ndtri(np.clip(_share(at, self._fits.leans), _TAIL, 1 - _TAIL))
        reach = -_WIDER * ndtri((1 - COVERAGE_PERCENT / 100) / 2) * z[1:].std()
        low, high = ndtr([z[0] - reach, z[0] + reach])
        return Place(100 * float(ndtr(z[0])), 100 * float(low), 100 * float(high))

    def curve(
        self, percentile: float, ages_years: Sequence[float] | Floats, *, is_female: bool
    ) -> Floats:
        """The value of a percentile at each age, shape (A,)."""
        ages = np.asarray(ages_years, float)
        location, spread = self._at(ages, np.full(len(ages), is_female))
        at = _quantile(percentile / 100, self._fits.leans[:1])
        curve: Floats = self._mean + self._sd * (location[0] + spread[0] * at)
        return curve

    def curves_only(self) -> "Percentiles":
        """A copy with the curves alone, without the bootstrap's repeats."""
        lean = copy(self)
        fits = self._fits
        lean._fits = _Fits(fits.location[:1].copy(), fits.spread[:1].copy(), fits.leans[:1].copy())
        return lean

    def _at(self, ages: Floats, females: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Location and spread at ages, each of shape (B, A), in standard deviations of all."""
        lines = self._lines(ages, females)
        terms = np.concatenate([lines, self._curve(ages, lines)], axis=1)
        spread = self._fits.spread[:, :1] * np.exp(self._fits.spread[:, 1:] * self._age(ages))
        return self._fits.location @ terms.T, spread

    def _age(self, ages: Floats) -> Floats:
        scaled: Floats = (ages - self._age_mean) / (self._age_sd or 1.0)
        return scaled

    def _lines(self, ages: Floats, females: NDArray[np.bool_]) -> Floats:
        """Constant, then age and sex where people differ in them, shape (N, 1 to 3)."""
        columns = [np.ones(len(ages))]
        if self._age_sd:
            columns.append(self._age(ages))
        if self._has_both:
            columns.append(np.where(females, 0.5, -0.5))
        return np.stack(columns, axis=1)


class _Curve:
    """What a smooth curve adds to a line, in terms of one size and one restraint."""

    def __init__(self, ages: Floats, lines: Floats) -> None:
        self._low, self._range = float(ages.min()), float(np.ptp(ages))
        self.count = len(_KNOTS) - 2 if len(np.unique(ages)) >= _LEAST_AGES else 0
        if not self.count:
            return
        bent = self._spline(ages)
        self._of_lines = np.linalg.lstsq(lines, bent, rcond=None)[0]
        # Terms of which the sum of squares is the curvature.
        step = np.linspace(0, 1, 401)
        curvature = np.diff(_natural_spline(step), 2, axis=0) / step[1] ** 2
        penalty = curvature.T @ curvature * step[1]
        self._mixed = np.linalg.inv(np.linalg.cholesky(penalty)).T
        apart = (bent - lines @ self._of_lines) @ self._mixed
        self._mixed = self._mixed / np.sqrt((apart**2).sum() / len(ages))

    def __call__(self, ages: Floats, lines: Floats) -> Floats:
        """The terms at ages, shape (N, count); `lines` are those of the same people."""
        if not self.count:
            return np.zeros((len(ages), 0))
        smooth: Floats = (self._spline(ages) - lines @ self._of_lines) @ self._mixed
        return smooth

    def _spline(self, ages: Floats) -> Floats:
        return _natural_spline((ages - self._low) / self._range)


def _natural_spline(at: Floats) -> Floats:
    """Natural cubic spline without its line, from 0 to 1, shape (N, knots - 2)."""
    last = _KNOTS[-1]
    parts = (
        np.maximum(at[:, None] - _KNOTS[:-1], 0) ** 3 - np.maximum(at[:, None] - last, 0) ** 3
    ) / (last - _KNOTS[:-1])
    spline: Floats = parts[:, :-1] - parts[:, -1:]
    return spline


def _fit(lines: Floats, curve: Floats, ages: Floats, values: Floats, weights: Floats) -> _Fits:
    """Fit to all people, by each row of weights, shape (B, N)."""
    terms = np.concatenate([lines, curve], axis=1)
    robust, near = weights, np.ones_like(weights)
    for _ in range(_ROUNDS):
        location = _location(lines, terms, values, robust)
        residuals = values - location @ terms.T
        spread = _spread(near * residuals, weights, ages, lines.shape[1])
        far = np.abs(residuals) / _spread_at(spread, ages)
        near = np.minimum(1, _FAR_SD / np.maximum(far, _SMALL))
        robust = near * weights / _spread_at(spread, ages) ** 2
    scaled = np.clip(residuals / _spread_at(spread, ages), -_FAR_SD, _FAR_SD)
    return _Fits(location, spread, _leans(scaled, weights))


def _location(lines: Floats, terms: Floats, values: Floats, weights: Floats) -> Floats:
    """Coefficients of the terms, shape (B, T): of a line and of a curve, by their evidence."""
    count, bent = len(values) - lines.shape[1], terms.shape[1] - lines.shape[1]
    restraint = np.zeros(terms.shape[1])
    straight, evidence = _least_squares(lines, values, weights, restraint[: lines.shape[1]], count)
    straight = np.pad(straight, ((0, 0), (0, bent)))
    if not bent:
        return straight
    restraint[lines.shape[1] :] = _RESTRAINT
    curved, other = _least_squares(terms, values, weights, restraint, count)
    share = 1 / (1 + np.exp(np.clip(evidence - other, -50, 50)))[:, None]
    mixture: Floats = share * curved + (1 - share) * straight
    return mixture


def _least_squares(
    terms: Floats, values: Floats, weights: Floats, restraint: Floats, count: int
) -> tuple[Floats, Floats]:
    """Restrained coefficients, (B, T), and the logarithm of their evidence, (B,)."""
    size = terms.shape[1]
    products = (terms[:, :, None] * terms[:, None, :]).reshape(len(terms), -1)
    normal = (weights @ products).reshape(len(weights), size, size)
    mean = weights.mean(axis=1)
    added = restraint * mean[:, None]
    # People drawn twice may all be of one age: then its slope stays 0.
    normal += (added + _SMALL * np.trace(normal, axis1=1, axis2=2)[:, None])[:, :, None] * np.eye(
        size
    )
    moments = ((weights * values) @ terms)[:, :, None]
    coefficients = np.linalg.solve(normal, moments)[:, :, 0].astype(np.float64)
    misfit = (weights * (values - coefficients @ terms.T) ** 2).sum(axis=1)
    misfit += (added * coefficients**2).sum(axis=1)
    held = restraint > 0
    evidence = -np.linalg.slogdet(normal)[1] - count * np.log(np.maximum(misfit, _SMALL**2))
    evidence += np.log(added[:, held]).sum(axis=1)
    halved: Floats = evidence / 2
    return coefficients, halved


def _spread(residuals: Floats, weights: Floats, ages: Floats, taken: int) -> Floats:
    """Standard deviation at the mean age and the slope of its logarithm, shape (B, 2)."""
    count = len(ages)
    squares = (weights * residuals**2) @ np.exp(-2 * np.outer(ages, _SLOPES))
    variances = np.maximum(squares / (count - taken), _SMALL**2)
    shift = weights @ ages
    likelihood = -count / 2 * np.log(variances) - np.outer(shift, _SLOPES)
    slope = _believed(likelihood - (_SLOPES / _SLOPE_SD) ** 2 / 2) @ _SLOPES
    total = (weights * residuals**2 * np.exp(-2 * slope[:, None] * ages)).sum(axis=1)
    level = np.sqrt(np.maximum(total / (count - taken), _SMALL**2))
    return np.stack([level, slope], axis=1)


def _spread_at(spread: Floats, ages: Floats) -> Floats:
    """Standard deviation at each person's age, shape (B, N)."""
    spread_at: Floats = spread[:, :1] * np.exp(spread[:, 1:] * ages)
    return spread_at


def _leans(scaled: Floats, weights: Floats) -> Floats:
    """Posterior probability of each skewness in `_LEANS`, shape (B, len(_LEANS))."""
    log_likelihoods = []
    for lean in _LEANS:
        z, slope = _to_normal(scaled, lean)
        likelihood = (weights * (np.log(slope) - z**2 / 2)).sum(axis=1)
        log_likelihoods.append(likelihood - (lean / _LEAN_SD) ** 2 / 2)
    return _believed(np.stack(log_likelihoods, axis=1))


def _to_normal(scaled: Floats, lean: float) -> tuple[Floats, Floats]:
    """The normal value of each residual, and its slope: e has mean 0 and variance 1."""
    sinh, cosh = np.sinh(lean), np.cosh(lean)
    sd = np.sqrt(cosh**2 + (2 - _MEAN_ROOT**2) * sinh**2)
    y = scaled * sd + _MEAN_ROOT * sinh
    root = np.sqrt(1 + y**2)
    return y * cosh - root * sinh, sd * (cosh - y / root * sinh)


def _believed(likelihoods: Floats) -> Floats:
    """Shares of each row of log likelihoods."""
    shares = np.exp(likelihoods - likelihoods.max(axis=1, keepdims=True))
    normalised: Floats = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def _share(at: Floats, leans: Floats) -> Floats:
    """Share of people below, shape (B,)."""
    below = np.stack([ndtr(_to_normal(at, lean)[0]) for lean in _LEANS], axis=1)
    share_below: Floats = (leans * below).sum(axis=1)
    return share_below


def _quantile(share: float, leans: Floats) -> float:
    """Where the distribution of e reaches a share, by bisection."""
    low, high = -12.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        if _share(np.array([middle]), leans)[0] < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2
