"""How rare false alarms are: on the features of the scans that the shipped model was trained on."""

import json

import numpy as np
import pytest

from core.drift.calibration import average_run_length, calibrate, drawn
from core.drift.cusum import added, level_of, severity_after
from core.drift.kinds import followed
from core.drift.reference import training_crops
from core.drift.scores import Scale
from core.settings import ROOT
from tests.drift import table

FEATURES = followed("crop")
WINDOW = 20


@pytest.fixture(scope="module")
def crops():
    """Features of the 220 crops of Task04, left and right of a person one after the other."""
    file = ROOT / "models" / "hippocampus-3d-16" / "reference.json"
    return training_crops(json.loads(file.read_bytes())["cases"])


@pytest.fixture(scope="module")
def thresholds(crops):
    return calibrate(crops, FEATURES, 500, neighbours=2, streams=150)


def states(known, scans, thresholds):
    scale, sums, severity, found = Scale(known, FEATURES), {}, "quiet", set()
    for values in scans:
        sums = added(sums, scale.score(values), thresholds)
        severity = severity_after(severity, level_of(sums), level_of(sums), thresholds)
        found.add(severity)
    return found


def test_false_alarms_are_as_rare_as_the_setting_says(thresholds):
    assert 350 < thresholds.watch_cases < 900
    assert thresholds.act_cases > 2000
    assert thresholds.act > thresholds.watch


def test_twenty_scans_of_the_same_source_are_mostly_quiet(crops, thresholds):
    """Ten persons, left and right, against the others: none of them is in the reference."""
    rng = np.random.default_rng(0)
    watch = act = 0
    for _ in range(300):
        start = 2 * rng.choice(len(crops) // 2, WINDOW // 2, replace=False)
        chosen = np.stack([start, start + 1], axis=1).ravel()
        known = [crops[i] for i in np.setdiff1d(np.arange(len(crops)), chosen)]
        found = states(known, [crops[i] for i in chosen], thresholds)
        watch += "watch" in found or "act" in found
        act += "act" in found
    assert watch <= 30
    assert act <= 3


def test_a_longer_run_length_asks_for_more_evidence():
    reference = table(np.random.default_rng(2), 60)
    short, long = (calibrate(reference, FEATURES, n, streams=60) for n in (100, 400))
    assert long.watch > short.watch


def test_simulated_scans_are_drawn_with_their_neighbours():
    rows = drawn(np.random.default_rng(3), 30, 11, 4, 2)
    assert rows.shape == (11, 4)
    assert ((rows[1:10:2] - rows[0:10:2]) % 30 == 1).all()


def test_a_stream_without_an_alarm_counts_with_its_length():
    highest = np.maximum.accumulate([[0, 0], [5, 0], [1, 0], [0, 0]], axis=0).astype(np.float32)
    assert average_run_length(highest, 4.0) == 2 + 4
