"""Evidence that adds up, the rule, and where a change began."""

import numpy as np
import pytest

from core.drift.cusum import (
    Thresholds,
    added,
    beginning_of,
    level_of,
    levels_of_streams,
    severity_after,
)

THRESHOLDS = Thresholds(8.0, 10.0, 500, 5000, 2000)


def states(scores):
    """The state after each scan of one feature."""
    sums, severity, found = {}, "quiet", []
    for score in scores:
        sums = added(sums, {"noise": score}, THRESHOLDS)
        level = level_of(sums)
        severity = severity_after(severity, level, level, THRESHOLDS)
        found.append(severity)
    return found


@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_in_either_direction_adds_up_to_watch_and_then_act(sign):
    assert states([2.5 * sign] * 5) == ["quiet", "quiet", "quiet", "watch", "act"]


def test_what_goes_up_and_down_adds_up_to_nothing():
    assert set(states([1.5, -1.5] * 50)) == {"quiet"}


def test_a_state_ends_later_than_it_began_and_after_a_bounded_time():
    found = states([2.5] * 50 + [-0.2] * 30)
    assert found[49] == "act"
    back = found[50:]
    assert "watch" in back
    assert back[-1] == "quiet"
    # It never goes up again on the way, and stays *act* below the threshold that began it.
    order = [("act", "watch", "quiet").index(state) for state in back]
    assert order == sorted(order)
    assert back[9] == "act"


def test_a_feature_that_a_scan_lacks_stays_as_it_was():
    sums = added({}, {"noise": 2.0, "bias": 2.0}, THRESHOLDS)
    after = added(sums, {"bias": 2.0}, THRESHOLDS)
    assert after["noise"] == sums["noise"]
    assert after["bias"] != sums["bias"]


def test_simulated_streams_are_what_is_computed_scan_by_scan():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.2, (30, 4, 3)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    rows = rng.integers(0, 30, (50, 4))
    levels = levels_of_streams(scores, rows)
    endless = Thresholds(1e9, 1e9, 1, 1, 1)
    for stream in range(4):
        sums = {}
        for number, row in enumerate(rows[:, stream]):
            of_scan = dict(enumerate(scores[row, stream].tolist()))
            sums = added(sums, {k: v for k, v in of_scan.items() if v == v}, endless)
            assert levels[number, stream] == pytest.approx(level_of(sums), abs=1e-4)


def test_a_beginning_is_found_within_its_interval():
    rng = np.random.default_rng(1)
    near = inside = 0
    for _ in range(200):
        scores = rng.normal(0, 1, 40)
        scores[25:] += 2.0
        found = beginning_of(scores.tolist())
        near += abs(found.best - 25) <= 3
        inside += found.earliest <= 25 <= found.latest
    assert near >= 190
    assert inside >= 190


def test_a_shift_from_the_first_scan_began_with_it():
    found = beginning_of([2.0] * 12)
    assert (found.best, found.earliest) == (0, 0)
