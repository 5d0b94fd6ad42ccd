"""Change between two scans, beside what the method varies by."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.measures.change import (
    LARGER,
    NOT_JUDGED,
    ONE_HIPPOCAMPUS,
    SMALLER,
    WITHIN,
    Measured,
    Repeatability,
    band,
    cautions,
    change,
    changes,
    differences,
    in_order,
    repeatability_of,
    volumes_of,
    years_between,
)
from core.measures.repeatability import measured_for
from core.models.folder import load_model
from core.settings import Settings

# Arithmetic alone: more examples say no more.
FEW = settings(max_examples=30)
VOLUMES = st.floats(100, 10_000)
SPREADS = st.floats(0.001, 0.1)
SPREAD = 0.024
PARTS = {"total": 2400.0, "anterior": 1200.0, "posterior": 1200.0}
SCAN = Measured(
    "2024-01-01", {"left": PARTS, "right": PARTS}, "1", "a" * 64, (1.0, 1.0, 1.0), True, "high"
)
AT_1_MM = Repeatability(1.0, dict.fromkeys(PARTS, SPREAD), 3, 10, "a test")


@FEW
@given(VOLUMES, VOLUMES, SPREADS, SPREADS)
def test_the_same_pair_in_the_other_order_says_the_opposite(first, second, one, other):
    forth, back = change(first, second, (one, other)), change(second, first, (other, one))
    opposite = {WITHIN: WITHIN, SMALLER: LARGER, LARGER: SMALLER}
    assert back.meaning == opposite[forth.meaning]
    assert (1 + forth.percent / 100) * (1 + back.percent / 100) == pytest.approx(1)
    low, high = forth.interval_percent
    assert (1 + low / 100) * (1 + back.interval_percent[1] / 100) == pytest.approx(1)
    assert low < forth.percent < high


@FEW
@given(VOLUMES, VOLUMES, SPREADS, st.floats(0.25, 20))
def test_a_change_is_within_where_its_interval_holds_no_change_at_all(first, second, spread, years):
    found = change(first, second, (spread, spread), years)
    for low, high in (found.interval_percent, found.interval_mm3, found.interval_a_year):
        assert (found.meaning == WITHIN) == (low <= 1e-9 and high >= -1e-9)
    assert found.mm3 == pytest.approx(second - first)
    grown = (1 + found.percent_a_year / 100) ** years
    assert grown == pytest.approx(second / first)


@FEW
@given(SPREADS)
def test_two_measurements_differ_by_the_root_of_two_times_one(spread):
    assert band((spread, spread)) == pytest.approx(math.sqrt(2) * 1.96 * spread)


def pairs(count, true_change, seed):
    random = np.random.default_rng(seed)
    before, after = 2400 * (1 + random.normal(0, SPREAD, (2, count)))
    return [
        change(a, b * (1 + true_change), (SPREAD, SPREAD), 1.0)
        for a, b in zip(before, after, strict=True)
    ]


def test_unchanged_pairs_are_called_unchanged():
    verdicts = [found.meaning for found in pairs(30, 0.0, seed=1)]
    assert verdicts.count(WITHIN) >= 27
    many = [found.meaning for found in pairs(5000, 0.0, seed=2)]
    assert 0.935 < many.count(WITHIN) / 5000 < 0.965


def test_the_interval_holds_a_known_change_of_three_per_cent():
    held = [low <= -3 <= high for low, high in (f.interval_percent for f in pairs(5000, -0.03, 3))]
    assert 0.935 < np.mean(held) < 0.965


def test_a_loss_of_a_fifth_is_told():
    assert {found.meaning for found in pairs(30, -0.2, seed=4)} == {SMALLER}


def test_a_side_that_one_scan_lacks_has_no_change():
    assert change(0, 2000, (SPREAD, SPREAD)) is None
    only_left = replace(SCAN, volumes_mm3={"left": PARTS})
    assert list(changes(SCAN, only_left, None)) == ["left"]


def test_scans_of_a_few_weeks_have_no_yearly_rate():
    assert change(2400, 2300, (SPREAD, SPREAD), 0.1).percent_a_year is None
    assert change(2400, 2300, (SPREAD, SPREAD)).percent_a_year is None
    assert change(2400, 2300, None, 1.0).percent_a_year == pytest.approx(-100 / 24)


def test_without_a_measured_repeatability_nothing_is_judged():
    found = changes(SCAN, replace(SCAN, day="2026-01-01"), None)["left"]["total"]
    assert (found.meaning, found.interval_percent) == (NOT_JUDGED, None)
    judged = changes(SCAN, replace(SCAN, day="2026-01-01"), (AT_1_MM, AT_1_MM))
    assert judged["right"]["anterior"].meaning == WITHIN


def test_a_part_that_was_not_measured_is_not_judged():
    total_only = replace(AT_1_MM, spread={"total": SPREAD})
    found = changes(SCAN, SCAN, (total_only, AT_1_MM))["left"]
    assert [found[part].meaning for part in PARTS] == [WITHIN, NOT_JUDGED, NOT_JUDGED]


def test_the_shipped_model_is_listed_and_an_unknown_one_is_not_measured():
    shipped = load_model(Settings().model_dir)
    assert [r.edge_mm for r in measured_for(shipped.sha256)] != []
    assert all(0 < r.spread["total"] < 0.1 and r.source for r in measured_for(shipped.sha256))
    assert measured_for("0" * 64) == ()


def test_the_repeatability_is_that_of_such_voxels():
    at_2_mm = replace(AT_1_MM, edge_mm=2.0)
    of = lambda *mm, is_head=True: repeatability_of([AT_1_MM, at_2_mm], mm, is_head=is_head)  # noqa: E731
    assert of(0.9, 0.9, 1.2) is AT_1_MM
    assert of(2.0, 2.0, 1.8) is at_2_mm
    assert of(0.5, 0.5, 0.5) is None
    assert of(1.0, 1.0, 3.0) is None
    assert of(1.0, 1.0, 1.0, is_head=False) is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"model_sha256": "b" * 64, "model_version": "2"}, "different model versions (1 and 2)"),
        ({"spacing_mm": (1.0, 1.0, 3.0)}, "the voxels differ (1 x 1 x 1 and 1 x 1 x 3 mm)"),
        ({"is_head": False}, "one scan is a whole head, the other a crop"),
        ({"is_drawn": True}, "one mask was corrected by hand"),
        ({"confidence": "unreliable"}, "the masks of the later scan are unreliable"),
        ({"too_small": "cut"}, "volumes of the later scan come out too small: cut"),
    ],
)
def test_what_makes_two_scans_incomparable_is_said(other, words):
    (reason,) = differences(SCAN, replace(SCAN, **other))
    assert words in reason


def test_alike_scans_have_no_reason_against_them():
    turned = replace(SCAN, spacing_mm=(1.0, 0.95, 1.05), confidence="check")
    assert differences(SCAN, turned) == []
    assert cautions(SCAN, turned) == ["the masks of the later scan should be checked"]


def test_two_crops_may_show_different_sides():
    crop = replace(SCAN, is_head=False, volumes_mm3={ONE_HIPPOCAMPUS: PARTS})
    assert any("which side a crop shows is not known" in words for words in cautions(crop, crop))


def test_the_earlier_scan_comes_first_in_whichever_order_they_are_chosen():
    later = replace(SCAN, day="2025-01-01")
    assert in_order(later, SCAN) == in_order(SCAN, later) == (SCAN, later)
    unknown = replace(SCAN, day="")
    assert in_order(unknown, SCAN) == (unknown, SCAN)


def test_volumes_are_read_from_a_head_and_from_a_crop():
    part = {"volume_mm3": 900.0}
    crop = {"anterior": part, "posterior": part}
    assert volumes_of(crop) == {
        ONE_HIPPOCAMPUS: {"total": 1800.0, "anterior": 900.0, "posterior": 900.0}
    }
    head = {**crop, "total": part, "sides": {"left": crop | {"total": {"volume_mm3": 1800.0}}}}
    assert volumes_of(head)["left"]["total"] == 1800.0


def test_years_are_counted_in_days():
    assert years_between("2024-01-01", "2025-01-01") == pytest.approx(366 / 365.25)
    assert years_between("", "2025-01-01") is None
