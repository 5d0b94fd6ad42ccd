"""Percentiles in groups drawn from populations whose percentiles are known.

The whole, with more groups: benchmarks/references.py.
"""

import numpy as np
import pytest

from core.references.quantiles import Percentiles
from tests.core.references.populations import FRESH, POPULATIONS

_GROUPS, _TESTED, _REPEATS = 8, 20, 60


def errors_and_hits(population, groups=_GROUPS, people=200):
    """Errors of percentiles in points, and whether each interval holds the true one."""
    rng = np.random.default_rng(2)
    errors, hits = [], []
    for _ in range(groups):
        percentiles = Percentiles(*population.draw(rng, people)[:3], repeats=_REPEATS)
        for age, female, value, true in zip(*population.draw(rng, _TESTED), strict=True):
            place = percentiles.place(age, is_female=bool(female), value=value)
            errors.append(place.percentile - true)
            hits.append(place.low <= true <= place.high)
    return np.array(errors), np.array(hits)


@pytest.mark.parametrize("populations", [POPULATIONS, FRESH], ids=["known", "fresh"])
def test_percentiles_are_right_and_their_intervals_hold_the_truth(populations):
    found = [errors_and_hits(population) for population in populations.values()]
    errors, hits = np.concatenate(found, axis=1)
    # Who knows all but the mean's constants and the spread's level errs by 3.1.
    assert np.abs(errors).mean() <= 4.0
    assert np.median(np.abs(errors)) <= 3.0
    assert abs(errors.mean()) <= 1.0
    assert 0.85 <= hits.mean() <= 0.95


def test_curves_never_cross_and_hold_their_share_of_people():
    rng = np.random.default_rng(3)
    population = POPULATIONS["wider with age"]
    percentiles = Percentiles(*population.draw(rng, 1000)[:3], repeats=1)
    ages = np.linspace(20, 85, 30)
    curves = [percentiles.curve(p, ages, is_female=True) for p in (5, 25, 50, 75, 95)]
    assert (np.diff(curves, axis=0) > 0).all()
    tested, females, values, _ = population.draw(rng, 4000)
    below = values < np.where(
        females,
        percentiles.curve(25, tested, is_female=True),
        percentiles.curve(25, tested, is_female=False),
    )
    assert 0.21 < below.mean() < 0.29


def test_a_curve_and_a_place_say_the_same():
    rng = np.random.default_rng(4)
    percentiles = Percentiles(*POPULATIONS["skewed"].draw(rng, 100)[:3], repeats=5)
    (value,) = percentiles.curve(10, [60.0], is_female=False)
    place = percentiles.place(60.0, is_female=False, value=value)
    assert place.percentile == pytest.approx(10, abs=0.01)
    assert percentiles.curves_only().curve(10, [60.0], is_female=False) == value


def test_a_few_odd_people_do_not_move_the_others():
    rng = np.random.default_rng(8)
    ages, females, values, _ = POPULATIONS["even"].draw(rng, 200)
    odd = values.copy()
    odd[:3] = 9000.0
    places = [
        Percentiles(ages, females, found, repeats=1).place(50, is_female=True, value=3000.0)
        for found in (values, odd)
    ]
    assert places[1].percentile == pytest.approx(places[0].percentile, abs=5)


def test_the_same_group_gives_the_same_numbers():
    people = POPULATIONS["even"].draw(np.random.default_rng(5), 60)[:3]
    places = [Percentiles(*people).place(50, is_female=True, value=3000.0) for _ in range(2)]
    assert places[0] == places[1]
    assert places[0].low < places[0].percentile < places[0].high


@pytest.mark.parametrize("same", ["age", "value"])
def test_a_group_of_one_age_or_one_value_gives_finite_numbers(same):
    rng = np.random.default_rng(6)
    ages = np.full(50, 40.0) if same == "age" else rng.uniform(20, 60, 50)
    values = np.full(50, 3000.0) if same == "value" else rng.normal(3000, 300, 50)
    place = Percentiles(ages, np.ones(50, bool), values).place(40, is_female=True, value=3001.0)
    assert 0 <= place.low <= place.percentile <= place.high <= 100
