"""How a calibration is fitted and judged, and the changes that it is fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from core.limits import CHECK_BELOW_DICE
from core.predictor.signals import PARTS
from core.training.evaluation.calibration import fold_of, row_line, rows_from, rows_of
from core.training.evaluation.calibration_figures import cross_fitted, figures_of, lines_of
from core.training.evaluation.shifts import (
    CALIBRATED,
    OTHERS,
    UNSHIFTED,
    LabelledCrop,
    coarser,
    volumes_mm3,
)
from tests.calibrations import crop_labels, rows

EVERY = CALIBRATED | OTHERS


@pytest.fixture(scope="module")
def judged():
    return cross_fitted(rows())


@pytest.fixture(scope="module")
def crop() -> LabelledCrop:
    labels = crop_labels()
    data = ((labels > 0) * 500 + np.random.default_rng(0).normal(400, 30, labels.shape)).astype(
        np.float32
    )
    return LabelledCrop.of(data, labels, np.eye(4))


def test_what_is_expected_is_near_what_is_true(judged):
    figures = figures_of(judged)
    assert figures["dice_error"] < 0.03
    assert figures["rank_correlation"] > 0.9


def test_the_intervals_cover_what_they_say(judged):
    kinds = figures_of(judged)["kinds"]
    known = [kind for kind in kinds.values() if kind["calibrated"]]
    assert len(known) == len(CALIBRATED)
    covered = np.array([[kind["covered"][part] for part in PARTS] for kind in known])
    assert covered.mean() >= 0.9
    assert covered.min() >= 0.8  # 85 % in the mean of many draws; of 48 masks up to 5 % fewer


def test_worse_masks_have_wider_intervals(judged):
    widths = judged.high["whole"] - judged.low["whole"]
    poor = judged.true_dice() < 0.7
    assert widths[poor].mean() > 1.3 * widths[~poor].mean()


def test_a_mask_is_flagged_by_a_finding_or_by_what_is_expected(judged):
    first = replace(judged.rows[0], confidence="check")
    flagged = replace(judged, rows=[first, *judged.rows[1:]]).is_flagged()
    assert flagged[0]
    assert np.array_equal(flagged[1:], (judged.dice["whole"] < CHECK_BELOW_DICE)[1:])


def test_all_rows_of_a_person_are_in_one_fold():
    made = rows(24, 1)
    folds = fold_of(made)
    by_person = {row.person: set() for row in made}
    for row, fold in zip(made, folds, strict=True):
        by_person[row.person].add(fold)
    assert all(len(found) == 1 for found in by_person.values())
    assert len(set(folds)) == 10


def test_nothing_is_fitted_on_the_person_that_is_judged():
    """What a person's own rows say does not change how they are judged."""
    made = rows(12, 1)
    own = [row.person == "p3" for row in made]
    changed = [
        replace(row, dice=dict.fromkeys(row.dice, 0.1)) if is_own else row
        for row, is_own in zip(made, own, strict=True)
    ]
    before, after = (cross_fitted(some).dice["whole"][own] for some in (made, changed))
    assert np.array_equal(before, after)


def test_nothing_is_fitted_on_the_other_changes():
    made = rows(12, 1)
    without = [row for row in made if row.kind in CALIBRATED]
    known = np.array([row.kind in CALIBRATED for row in made])
    assert np.array_equal(
        cross_fitted(made).dice["whole"][known], cross_fitted(without).dice["whole"]
    )


def test_empty_masks_are_left_out():
    made = rows(12, 1)
    empty = replace(made[0], mask_mm3=dict.fromkeys(made[0].mask_mm3, 0.0))
    assert len(cross_fitted([empty, *made[1:]]).rows) == len(made) - 1


def test_the_table_names_every_change(judged):
    lines = lines_of(figures_of(judged))
    for kind in EVERY:
        assert any(line.startswith(kind) for line in lines)
    assert any("24 persons" in line for line in lines)


def test_rows_are_kept_and_read_again(tmp_path):
    made = rows(2, 1)[:3]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(map(row_line, made)))
    assert rows_from(file) == made
    assert rows_from(tmp_path / "none") == []


def test_rows_that_are_known_are_not_made_again():
    made = rows(1, 1)
    source = type("Source", (), {"person": "p0", "case": "c0", "read": None})()
    assert list(rows_of(None, [source], None, EVERY, 1, made)) == []


@pytest.mark.parametrize("kind", EVERY)
def test_a_seed_gives_the_same_copy_and_labels_that_fit(kind, crop):
    one, other = (EVERY[kind](crop, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.data, other.data)
    assert one.data.shape == one.labels.shape
    assert one.data.dtype == np.float32
    assert np.isfinite(one.data).all()
    assert set(np.unique(one.labels)) <= {0, 1, 2}
    if kind not in (UNSHIFTED,):
        assert one.data.shape != crop.data.shape or not np.array_equal(one.data, crop.data)


def test_atrophy_takes_volume_away_and_says_so(crop):
    shares = [
        sum(EVERY["atrophy"](crop, np.random.default_rng(seed)).truth_mm3.values())
        / sum(crop.truth_mm3.values())
        for seed in range(6)
    ]
    assert 0.4 < min(shares) < max(shares) < 1
    assert np.mean(shares) == pytest.approx(0.7, abs=0.1)


def test_longer_voxels_keep_the_expert_s_volume_and_the_mean_of_the_values(crop):
    coarse = coarser(crop, np.array((1.0, 1.0, 2.5)))
    assert coarse.truth_mm3 == crop.truth_mm3
    assert coarse.spacing_mm == pytest.approx((1.0, 1.0, 2.5))
    assert coarse.data.shape == (30, 44, 12)
    assert coarse.data.mean() == pytest.approx(crop.data.mean(), rel=0.01)
    drawn = sum(volumes_mm3(coarse.labels, coarse.affine).values())
    assert drawn == pytest.approx(sum(crop.truth_mm3.values()), rel=0.1)


def test_a_misplaced_crop_keeps_the_place_of_every_voxel(crop):
    """The labels that are left lie where they lay."""
    for seed in range(6):
        moved = EVERY["misplaced"](crop, np.random.default_rng(seed))
        where = np.argwhere(moved.labels == 1) + moved.affine[:3, 3]
        there = np.argwhere(crop.labels == 1)
        assert {tuple(p) for p in where.astype(int)} <= {tuple(p) for p in there}
