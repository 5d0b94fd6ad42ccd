import numpy as np
import pytest
from scipy import stats

from core.anatomy import LABELS
from core.errors import InputError
from core.training.evaluation.statistics import (
    agreement,
    differing,
    failure_words,
    failures,
    mean_of,
    paired,
)


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


def evaluation(dice, **more):
    return {
        "cases": [
            {"case": f"c{n}", "files": f"f{n}", **{label: {"dice": d} for label in LABELS}}
            for n, d in enumerate(dice)
        ],
        **more,
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


def test_the_same_figures_show_no_difference():
    found = paired(evaluation([0.8, 0.9, 0.7]), evaluation([0.8, 0.9, 0.7]))["posterior"]
    assert (found.p, found.change.mean, found.cases) == (1, 0, 3)


def test_evaluations_of_other_cases_are_not_compared():
    one = evaluation([0.8, 0.9, 0.7])
    more = evaluation([0.8, 0.9, 0.7, 0.1])
    with pytest.raises(InputError, match="0 cases are only in the first, 1 only in the second"):
        paired(one, more)
    redrawn = evaluation([0.8, 0.9, 0.7])
    redrawn["cases"][1]["files"] = "another mask of the expert's"
    with pytest.raises(InputError, match="1 case has the same name and other files"):
        paired(one, redrawn)


def test_older_evaluations_are_compared_by_their_test_sets_key():
    old, other = evaluation([0.8], test_key="a"), evaluation([0.8], test_key="b")
    del old["cases"][0]["files"]
    assert differing(old, evaluation([0.7], test_key="a")) == ""
    assert "other files" in differing(old, other)


def test_a_missing_label_is_a_failure_and_an_empty_truth_is_none():
    one = {"truth_mm3": 9.0, "volume_mm3": 0.0}
    fine, false_alarm = one | {"volume_mm3": 1.0}, {"truth_mm3": 0.0, "volume_mm3": 3.0}
    cases = [dict.fromkeys(LABELS, part) for part in (one, fine, false_alarm)]
    cases[0]["posterior"] = fine
    found = failures({"cases": cases})
    assert found == {"anterior": 1, "posterior": 0}
    assert failure_words(found, 3) == "failed: anterior 1, posterior 0 of 3 cases"
