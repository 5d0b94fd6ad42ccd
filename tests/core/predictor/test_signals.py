"""Signals of how good a mask is: agreement of mirrored predictions, and doubt."""

import numpy as np
import pytest

from core.predictor import window
from core.predictor.signals import CROP, NAMES, is_empty, mean_of, signals_of
from tests.calibrations import crop_labels, logits_of, votes_of
from tests.scans import example


def test_predictions_that_agree_have_a_dice_of_one_and_disjoint_ones_of_zero():
    labels = crop_labels()
    assert votes_of(labels, labels).agreement() == dict.fromkeys(
        ("whole", "anterior", "posterior"), 1.0
    )
    swapped = np.where(labels > 0, 3 - labels, 0)
    assert votes_of(labels, swapped).agreement() == {
        "whole": 1.0, "anterior": 0.0, "posterior": 0.0,
    }  # fmt: skip


def test_agreement_is_the_dice_of_two_masks():
    a, b = np.zeros((2, 8, 8, 8), np.uint8)
    a[:4], b[2:6] = 1, 1
    assert votes_of(a, b).agreement()["whole"] == pytest.approx(0.5)


def test_a_part_that_one_window_saw_more_often_counts_by_its_pairs():
    votes = votes_of(crop_labels(), crop_labels())
    votes.add((slice(0, 15),) * 3, logits_of(crop_labels()[:15, :15, :15]))
    assert votes.agreement()["whole"] == 1.0


def test_less_sure_networks_leave_more_doubt():
    labels = crop_labels()
    doubts = [
        signals_of(logits_of(labels, sureness), votes_of(labels)) for sureness in (6.0, 3.0, 1.5)
    ]
    for part in ("whole", "anterior", "posterior"):
        first, second, third = (signals[f"doubt_{part}"] for signals in doubts)
        assert first < second < third
    assert doubts[0]["border"] < doubts[2]["border"]


def test_a_mask_at_the_end_of_its_crop_is_told():
    labels = crop_labels()
    inner, outer = (
        signals_of(logits_of(part), votes_of(part))["near_end"] for part in (labels, labels[:, :37])
    )
    assert inner == 0 < outer


def test_of_an_empty_mask_nothing_is_said():
    labels = np.zeros((30, 44, 30), np.uint8)
    found = signals_of(logits_of(labels), votes_of(labels))
    assert is_empty(found)
    full = signals_of(logits_of(crop_labels()), votes_of(crop_labels()))
    assert found.keys() == full.keys() == set(NAMES)
    assert not is_empty(full)


def test_a_mask_of_two_crops_has_their_mean():
    assert mean_of([{"a": 1.0}, {"a": 3.0}]) == {"a": 2.0}
    assert mean_of([]) == {}


def test_votes_are_of_the_original_image_whatever_its_size():
    """Wider than the network's patch, and narrower."""

    class Threshold:
        backend, device, precision, batch = "torch-cpu", "cpu", "float32", 2

        @staticmethod
        def logits(patches):
            return np.stack([0 * patches, patches, patches - 1], axis=1).astype(np.float32)

    for shape in ((20, 12, 9), (8, 8, 8), (5, 12, 7)):
        picture = np.random.default_rng(2).normal(size=shape).astype(np.float32)
        logits, votes = window.predict(picture, Threshold(), (8, 8, 8), [(), (0, 1)], lambda: None)
        assert logits.shape[1:] == votes.runs.shape == shape
        assert votes.runs.min() >= 2
        assert np.array_equal(votes.of_label[0] > 0, picture > 0)
        assert votes.agreement()["whole"] == 1.0


def test_a_crop_and_both_sides_of_a_head_have_signals(segmented):
    analysis = segmented(example())
    assert set(analysis.segmentation.signals) == {CROP}
    assert analysis.segmentation.signals[CROP]["volume_whole"] == pytest.approx(
        np.log(analysis.measures.total.voxels + 1), abs=0.05
    )
