"""Location, scale and shape fitted at once, measured beside the percentiles that are served.

The posterior of the same model as `core.references.quantiles` has: a line and a restrained spline
in age, a log spread linear in age, a normal distribution that may lean. There the location is found
by least squares and the shape from its residuals; here all by one likelihood (Fisher scoring, for
each skewness and for line and spline apart), averaged by evidence (Laplace), and the percentile is
the mean over draws from it.
"""

import numpy as np
from scipy.special import ndtr

from core.references.quantiles import Floats, _Curve

_LEANS = np.linspace(-0.8, 0.8, 17)
_LEAN_SD, _SLOPE_SD = 0.3, 0.15
_MEAN_ROOT = 1.35453
_FAR_SD = 3.0
_ROUNDS = 8
# Of the curve's terms; a line has none of them.
_RESTRAINTS = (1e9, 10.0)
_DRAWS, _SEED = 200, 1


def joint(group: tuple[Floats, ...], tested: tuple[Floats, ...]) -> Floats:
    """The percentile of each tested person."""
    ages, females, values = group
    age_mean, age_sd = ages.mean(), ages.std()
    mean, sd = values.mean(), values.std()

    def terms(ages: Floats, females: Floats) -> tuple[Floats, Floats]:
        age = (ages - age_mean) / age_sd
        lines = np.stack([np.ones_like(age), age, np.where(females, 0.5, -0.5)], axis=1)
        return lines, np.stack([np.ones_like(age), age], axis=1)

    lines, of_spread = terms(ages, females)
    curve = _Curve(ages, lines)
    location = np.concatenate([lines, curve(ages, lines)], axis=1)
    leans = np.repeat(_LEANS, len(_RESTRAINTS))
    restraints = np.tile(_RESTRAINTS, len(_LEANS))
    found, information, shares = _fit(
        location, of_spread, (values - mean) / sd, leans, restraints, lines.shape[1]
    )
    rng = np.random.default_rng(_SEED)
    chosen = rng.choice(len(shares), _DRAWS, p=shares)
    roots = np.linalg.cholesky(np.linalg.inv(information))[chosen]
    drawn = found[chosen] + np.einsum("dij,dj->di", roots, rng.standard_normal(found[chosen].shape))
    lines, of_spread = terms(*tested[:2])
    there = np.concatenate([lines, curve(tested[0], lines)], axis=1)
    size = there.shape[1]
    spread = np.exp(drawn[:, size:] @ of_spread.T)
    at = ((tested[2] - mean) / sd - drawn[:, :size] @ there.T) / spread
    return np.asarray(100 * ndtr(_normal(at, leans[chosen][:, None])[0]).mean(axis=0))


def _fit(
    location: Floats, of_spread: Floats, values: Floats, leans: Floats, restraints: Floats,
    straight: int,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Coefficients and information of each model, and how far each is believed."""
    size = location.shape[1]
    start = np.linalg.lstsq(location[:, :straight], values, rcond=None)[0]
    sd = (values - location[:, :straight] @ start).std()
    found = np.zeros((len(leans), size + 2))
    found[:, :straight], found[:, size] = start, np.log(sd)
    prior = np.zeros_like(found)
    prior[:, straight:size] = restraints[:, None] / sd**2
    prior[:, size + 1] = 1 / _SLOPE_SD**2
    of_lean = np.array([_information(lean) for lean in leans])
    lean = leans[:, None]
    for _ in range(_ROUNDS):
        spread = np.exp(found[:, size:] @ of_spread.T)
        at = np.clip((values - found[:, :size] @ location.T) / spread, -_FAR_SD, _FAR_SD)
        z, slope, bend = _normal(at, lean)
        pull = bend - z * slope
        score = np.concatenate([-(pull / spread) @ location, (-pull * at - 1) @ of_spread], axis=1)
        blocks = [
            [np.einsum("mn,ni,nj->mij", of_lean[:, k, None] / spread**power, a, b, optimize=True)
             for k, power, a, b in row]
            for row in (
                ((0, 2, location, location), (1, 1, location, of_spread)),
                ((1, 1, of_spread, location), (2, 0, of_spread, of_spread)),
            )
        ]  # fmt: skip
        information = np.block(blocks) + prior[:, :, None] * np.eye(size + 2)
        step = np.linalg.solve(information, (score - prior * found)[:, :, None])[:, :, 0]
        # A log spread that jumps would not come back.
        most = np.abs(step[:, size:]).max(axis=1, keepdims=True)
        found = found + step * np.minimum(1, 0.5 / np.maximum(most, 1e-9))
    spread = np.exp(found[:, size:] @ of_spread.T)
    at = np.clip((values - found[:, :size] @ location.T) / spread, -_FAR_SD, _FAR_SD)
    z, slope, _ = _normal(at, lean)
    evidence = (np.log(slope) - z**2 / 2 - np.log(spread)).sum(axis=1)
    evidence += (np.log(np.where(prior > 0, prior, 1)) - prior * found**2).sum(axis=1) / 2
    evidence -= np.linalg.slogdet(information)[1] / 2 + (leans / _LEAN_SD) ** 2 / 2
    shares = np.exp(evidence - evidence.max())
    return found, information, shares / shares.sum()


def _normal(at: Floats, lean: Floats) -> tuple[Floats, Floats, Floats]:
    """The normal value of a residual, its slope, and the slope of that one's logarithm."""
    sinh, cosh = np.sinh(lean), np.cosh(lean)
    sd = np.sqrt(cosh**2 + (2 - _MEAN_ROOT**2) * sinh**2)
    y = at * sd + _MEAN_ROOT * sinh
    root = np.sqrt(1 + y**2)
    slope = sd * (cosh - y / root * sinh)
    return y * cosh - root * sinh, slope, -(sd**2) * sinh / root**3 / slope


def _information(lean: float) -> Floats:
    """Of one residual about location and log spread: the three entries of its matrix."""
    z = np.linspace(-6, 6, 2001)
    weights = np.exp(-(z**2) / 2)
    weights /= weights.sum()
    sinh, cosh = np.sinh(lean), np.cosh(lean)
    sd = np.sqrt(cosh**2 + (2 - _MEAN_ROOT**2) * sinh**2)
    at = (np.sinh(np.arcsinh(z) + lean) - _MEAN_ROOT * sinh) / sd
    _, slope, bend = _normal(at, np.float64(lean))
    pull = bend - z * slope
    of_spread = pull * at + 1
    return np.array([
        (weights * pull**2).sum(), (weights * pull * of_spread).sum(),
        (weights * of_spread**2).sum(),
    ])  # fmt: skip
