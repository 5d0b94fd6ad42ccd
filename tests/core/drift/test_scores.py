"""Scores of features against a reference."""

import numpy as np
import pytest

from core.drift.scores import Scale, comparisons, scores_of_counts
from core.measures.features import Feature

NOISE = Feature("noise", "noise", "are smoother", "are noisier")
HEIGHT = Feature("spacing_z", "voxel height (mm)", "have lower", "have higher", least_sd=0.05)


def scale(values, feature=NOISE):
    return Scale([{feature.key: float(v)} for v in values], [feature])


def test_scores_are_normal_whatever_the_distribution():
    rng = np.random.default_rng(0)
    of = scale(rng.exponential(1, 300))
    scores = [of.score({"noise": v})["noise"] for v in rng.exponential(1, 2000)]
    assert np.mean(scores) == pytest.approx(0, abs=0.2)
    assert np.std(scores) == pytest.approx(1, abs=0.1)


def test_one_scan_counts_for_no_more_than_the_most_extreme_of_the_reference():
    of = scale(range(50))
    assert of.score({"noise": 1e9}) == of.score({"noise": 60.0})
    assert of.score({"noise": 60.0})["noise"] == pytest.approx(2.33, abs=0.01)


def test_what_is_equal_but_for_rounding_scores_nothing():
    of = scale([1.0] * 50, HEIGHT)
    assert of.score({"spacing_z": 1.01})["spacing_z"] == 0
    assert of.score({"spacing_z": 3.0})["spacing_z"] > 2
    assert of.away_sd({"spacing_z": 3.0})["spacing_z"] == pytest.approx(40)


def test_a_feature_of_too_few_scans_has_no_scores():
    assert scale(range(9)).score({"noise": 1.0}) == {}
    assert scale(range(10)).score({}) == {}


def test_scores_of_the_simulation_are_the_same():
    rng = np.random.default_rng(1)
    column = rng.integers(0, 12, 40) / 10  # with equal values
    below = comparisons(column, 0.01).sum(axis=1, keepdims=True)
    found = scores_of_counts(below, np.array([40]))[:, 0]
    feature = Feature("noise", "noise", "a", "b", least_sd=0.01)
    of = scale(column, feature)
    assert found == pytest.approx([of.score({"noise": v})["noise"] for v in column], abs=1e-5)
