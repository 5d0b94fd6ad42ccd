"""Populations whose percentiles are known at every age, for both sexes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import gamma

Floats = NDArray[np.float64]
AGES_YEARS = (20.0, 85.0)


@dataclass(frozen=True)
class Population:
    """Volumes in mm3: ``mean(age) - 250 for women + sd(age) * shape(z)``, z normal.

    ``bend`` is what of the mean is no line in age.
    """

    mean: Callable[[Floats], Floats]
    sd: Callable[[Floats], Floats]
    shape: Callable[[Floats], Floats] = lambda z: z
    bend: Callable[[Floats], Floats] | None = None

    def terms(self, ages: Floats, females: NDArray[np.bool_]) -> Floats:
        """What the mean is made of, shape (N, 3 or 4), for who knows the population."""
        columns = [np.ones(len(ages)), (ages - 50) / 20, females.astype(float)]
        if self.bend is not None:
            columns.append(self.bend(ages) / 20)
        return np.stack(columns, axis=1)

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Floats, NDArray[np.bool_], Floats, Floats]:
        """Ages, whether female, volumes and true percentiles, each of shape (N,)."""
        ages = rng.uniform(*AGES_YEARS, count)
        females = rng.random(count) < 0.5
        z = rng.standard_normal(count)
        values = self.mean(ages) - 250 * females + self.sd(ages) * self.shape(z)
        return ages, females, values, 100 * ndtr(z)


# As volumes of people are: they scatter by some 340 mm3 a side and shrink faster in old age.
POPULATIONS = {
    "even": Population(lambda a: 3600 - 8 * (a - 50), lambda a: 340 + 0 * a),
    "wider with age": Population(lambda a: 3600 - 12 * (a - 50), lambda a: 340 + 3 * (a - 50)),
    "skewed": Population(
        lambda a: 3600 - 8 * (a - 50), lambda a: 340 + 2 * (a - 50),
        lambda z: (1 - np.exp(-0.35 * z)) / 0.35,
    ),
    "bent": Population(
        lambda a: 3600 - 4 * (a - 50) - 22 * np.maximum(a - 60, 0), lambda a: 340 + 2 * (a - 50),
        bend=lambda a: np.maximum(a - 60, 0),
    ),
}  # fmt: skip

# Others, on which nothing of the method was chosen.
FRESH = {
    "linear": Population(lambda a: 4100 - 14 * (a - 45), lambda a: 420 + 0 * a),
    "curved": Population(lambda a: 3200 + 18 * (a - 20) - 0.45 * (a - 20) ** 2,
                         lambda a: 300 + 0 * a, bend=lambda a: (a - 50) ** 2 / 20),
    "growing spread": Population(lambda a: 3000 - 10 * (a - 50),
                                 lambda a: 240 + 0.07 * (a - 20) ** 2),
    "skewed upwards": Population(
        lambda a: 3600 - 8 * (a - 50), lambda a: 340 + 2 * (a - 50),
        lambda z: (gamma.ppf(ndtr(z), 6) - 6) / np.sqrt(6),
    ),
}  # fmt: skip
