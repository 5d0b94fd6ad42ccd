"""The rule of the Drift page on heads: what raises an alarm, and what is a note."""

import numpy as np
import pytest
from scipy import stats

from core.drift.comparison import compare
from core.exports.drift_report import Part, report_html
from core.limits import BASELINE_HEADS
from core.measures.head_features import CROP_FEATURES, HEAD_FEATURES
from tests.drift import table

WINDOW = 20
NOTES = {feature.key: 5.0 for feature in HEAD_FEATURES if feature.note}


def heads(rng, count, **shifts):
    return table(rng, count, kind="head", **shifts)


def compared(before, after):
    return compare(before, after, HEAD_FEATURES)


def test_heads_of_the_same_making_are_quiet_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    drifts = [compared(heads(rng, BASELINE_HEADS), heads(rng, WINDOW)) for _ in range(60)]
    assert sum(drift.state != "quiet" for drift in drifts) <= 0.05 * 60 + 3


def test_results_are_told_and_raise_no_alarm():
    """Patients of another age have other volumes; the scans are as they were."""
    rng = np.random.default_rng(1)
    drift = compared(heads(rng, BASELINE_HEADS), heads(rng, WINDOW, **NOTES))
    assert drift.state == "quiet"
    told = " ".join(drift.reasons)
    assert "note, left anterior volume (mm³): the scans have larger left anterior" in told
    assert "patients of another age or another model version move it as well" in told
    assert "note, mean intensity: the scans are brighter on the whole" in told


def test_the_correction_is_among_the_features_that_can_raise_an_alarm():
    rng = np.random.default_rng(2)
    before, after = heads(rng, BASELINE_HEADS), heads(rng, WINDOW, skew=0.8, **NOTES)
    alarms = [f.key for f in HEAD_FEATURES if not f.note]
    assert {"sharpness", "spacing_x", "spacing_z", "misfit"} <= set(alarms)
    p_values = [
        stats.ks_2samp([c[key] for c in before], [c[key] for c in after]).pvalue for key in alarms
    ]
    found = {c.feature.key: c.q_value for c in compared(before, after).comparisons}
    assert [found[key] for key in alarms] == pytest.approx(
        list(stats.false_discovery_control(p_values))
    )


@pytest.mark.parametrize(
    ("key", "by", "words"),
    [("spacing_z", 1.0, "have higher voxels"), ("misfit", 5.0, "fit the template worse"),
     ("sharpness", -4.0, "are blurred")],
)  # fmt: skip
def test_one_strong_feature_asks_to_act(key, by, words):
    rng = np.random.default_rng(3)
    one_scanner = {f"spacing_{axis}": 1.0 for axis in "xyz"}
    before, after = (
        [head | one_scanner for head in heads(rng, count)] for count in (BASELINE_HEADS, WINDOW)
    )
    assert compared(before, after).state == "quiet"
    drift = compared(before, [head | {key: head[key] + by} for head in after])
    assert drift.state == "act"
    assert f"the scans {words} (" in drift.reasons[0]
    largest = max(abs(c.shift_sd) for c in drift.comparisons)
    assert largest < 100  # also where all of the reference have one value


def test_heads_that_lack_a_side_are_compared_by_what_they_have():
    rng = np.random.default_rng(4)
    before, after = heads(rng, BASELINE_HEADS), heads(rng, WINDOW)
    for head in (*before[::3], *after[::3]):
        del head["left_anterior"], head["left_posterior"], head["asymmetry"]
    drift = compared(before, after)
    assert [c.feature for c in drift.comparisons] == list(HEAD_FEATURES)
    assert np.isfinite([c.shift_sd for c in drift.comparisons]).all()
    part = Part("Heads", drift, before, after, [str(n) for n in range(WINDOW)])
    assert "right posterior volume (mm³)" in report_html([part]).decode()


def test_a_reference_of_crops_alone_leaves_out_what_crops_do_not_tell():
    """The training has crops of heads: neither their heads' voxels nor the localiser's misfit."""
    rng = np.random.default_rng(5)
    keys = [feature.key for feature in CROP_FEATURES]
    before = [{key: head[key] for key in keys} for head in heads(rng, BASELINE_HEADS)]
    drift = compared(before, heads(rng, WINDOW, misfit=9))
    assert [c.feature.key for c in drift.comparisons] == keys
    assert drift.state == "quiet"
