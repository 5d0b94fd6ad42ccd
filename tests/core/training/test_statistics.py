import numpy as np
import pytest
from scipy import stats

from core.segmentation import LABELS
from core.training.statistics import agreement, mean_of, paired


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        found = mean_of(rng.normal(0.9, 0.03, 40))
        held += found.low <= 0.9 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_an_interval_is_the_same_each_time_and_none_for_too_few():
    values = [0.8, 0.9, 0.85, 0.7]
    assert mean_of(values) == mean_of(values)
    assert mean_of([0.8, 0.9]).low == mean_of([0.8, 0.9]).mean
    assert mean_of([0.9] * 10).high == pytest.approx(0.9)


def test_limits_of_agreement_are_bland_and_altmans():
    rng = np.random.default_rng(1)
    true = rng.uniform(1000, 2000, 500)
    found = agreement(true + rng.normal(30, 50, 500), true)
    assert found["bias"] == pytest.approx(30, abs=8)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(1.96 * 50, rel=0.1)


def evaluation(dice):
    return {
        "cases": [
            {"case": f"c{n}", **{label: {"dice": d} for label in LABELS}}
            for n, d in enumerate(dice)
        ]
    }


def test_a_paired_comparison_is_wilcoxons_whatever_the_order_of_the_cases():
    rng = np.random.default_rng(2)
    before = rng.uniform(0.8, 0.9, 30)
    after = before + rng.normal(0.01, 0.01, 30)
    second = evaluation(after)
    second["cases"].reverse()
    found = paired(evaluation(before), second)["anterior"]
    assert found.p == pytest.approx(stats.wilcoxon(after, before).pvalue)
    assert found.change.mean == pytest.approx((after - before).mean())
    assert found.change.low < found.change.mean < found.change.high
    assert found.better + found.worse == found.cases == 30


def test_the_same_figures_show_no_difference_and_other_cases_do_not_count():
    one = evaluation([0.8, 0.9, 0.7])
    found = paired(one, evaluation([0.8, 0.9, 0.7, 0.1]))["posterior"]
    assert (found.p, found.change.mean, found.cases) == (1, 0, 3)
