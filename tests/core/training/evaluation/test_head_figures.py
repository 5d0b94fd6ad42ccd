"""What is counted of masks whose figures are known beforehand."""

import json

import numpy as np
import pytest

from core.anatomy import SIDES
from core.training.evaluation.head_figures import (
    BY_LABEL,
    WHOLE,
    head_figures,
    key_of,
    side_rows,
    summary,
)

SHAPE = (40, 20, 10)
AFFINE = np.diag((2.0, 1.0, 1.0, 1.0))


def block(first, length=8):
    """A hippocampus of 4 x length x 4 voxels, half of it anterior."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[first : first + 4, 4 : 4 + length, 3:7] = 2
    labels[first : first + 4, 4 + length // 2 : 4 + length, 3:7] = 1
    return labels


TRUTH = {"left": block(4), "right": block(30)}
EMPTY = np.zeros(SHAPE, np.uint8)


def rows(masks, *, flagged=False, protocol=BY_LABEL, truth=TRUTH):
    return {r["side"]: r for r in side_rows(masks, truth, AFFINE, protocol, flagged=flagged)}


def test_the_reference_itself_is_found_without_an_error():
    for row in rows(TRUTH).values():
        assert row == {
            "side": row["side"], "outcome": "found", "side_error": False, "centre_error_mm": 0.0,
            "dice": 1.0, "dice_anterior": 1.0, "dice_posterior": 1.0,
            "volume_mm3": 256.0, "truth_mm3": 256.0,
        }  # fmt: skip


def test_mirrored_masks_are_side_errors():
    swapped = rows({"left": TRUTH["right"], "right": TRUTH["left"]})
    assert [swapped[side]["side_error"] for side in SIDES] == [True, True]
    assert swapped["left"]["centre_error_mm"] == pytest.approx(52)
    assert swapped["left"]["outcome"] == "missed"  # nothing says so


def test_one_mask_on_the_other_side_is_one_side_error():
    only = rows({"left": TRUTH["right"], "right": TRUTH["right"]})
    assert [only[side]["side_error"] for side in SIDES] == [True, False]


@pytest.mark.parametrize("masks", [{}, {"left": EMPTY, "right": EMPTY}])
def test_without_a_mask_a_side_is_missed_unless_it_is_said(masks):
    for row in rows(masks).values():
        assert row["outcome"] == "missed"
        assert (row["dice"], row["volume_mm3"], row["centre_error_mm"]) == (0, 0, None)
        assert row["side_error"] is False
    assert {row["outcome"] for row in rows(masks, flagged=True).values()} == {"flagged"}


def test_a_mask_beside_the_hippocampus_is_missed_and_one_that_overlaps_is_found():
    near, far = np.roll(TRUTH["left"], 1, 0), np.roll(TRUTH["left"], 3, 0)
    found = rows({"left": near, "right": far})["left"]
    assert (found["outcome"], found["dice"], found["centre_error_mm"]) == ("found", 0.75, 2.0)
    missed = rows({"left": far})["left"]
    assert (missed["outcome"], missed["dice"]) == ("missed", 0.25)
    assert rows({"left": far}, flagged=True)["left"]["outcome"] == "flagged"


def test_a_reference_of_another_protocol_gives_no_figures_by_label():
    whole = {side: (labels > 0).astype(np.uint8) for side, labels in TRUTH.items()}
    for row in rows(TRUTH, protocol=WHOLE, truth=whole).values():
        assert row["dice"] == 1.0
        assert row["dice_anterior"] is row["dice_posterior"] is None


def test_only_a_side_that_the_reference_has_is_counted():
    assert rows(TRUTH, truth={"left": TRUTH["left"], "right": EMPTY}).keys() == {"left"}


def test_the_summary_counts_every_side_once():
    longer = {"left": block(4, 10), "right": block(30, 6)}
    found = side_rows(longer, TRUTH, AFFINE, BY_LABEL, flagged=False)
    refused = side_rows({}, TRUTH, AFFINE, BY_LABEL, flagged=True)
    missed = side_rows({}, TRUTH, AFFINE, BY_LABEL, flagged=False)
    named = [{"head": "h", "files": f"f{n}", "seen": False, **row}
             for n, row in enumerate([*found, *refused, *missed])]  # fmt: skip
    figures = head_figures("made", BY_LABEL, named, [{"head": "h", "seconds": 1.0}])
    assert json.loads(json.dumps(figures)) == figures
    assert figures["kind"] == "heads"
    assert figures["test_key"].startswith("heads-")
    both, left = figures["summary"]["both"], figures["summary"]["left"]
    counts = ("sides", "found", "flagged", "missed", "side_errors", "measured")
    assert [both[c] for c in counts] == [6, 2, 2, 2, 0, 2]
    assert [left[c] for c in counts] == [3, 1, 1, 1, 0, 1]
    # A side without a mask has a Dice of 0, and no volume to compare.
    assert left["dice"]["mean"] == pytest.approx((found[0]["dice"] + 0 + 0) / 3, abs=1e-4)
    assert left["volume_bias_percent"] == 25.0
    assert both["volume_bias_percent"] == 0.0
    assert both["volume_agreement_mm3"]["bias"] == 0.0
    assert both["r"] is None  # two sides tell nothing


def test_the_correlation_is_that_of_the_volumes():
    row = {"outcome": "found", "side_error": False, "centre_error_mm": 1.0, "dice": 0.8,
           "dice_anterior": None, "dice_posterior": None}  # fmt: skip
    some = [row | {"volume_mm3": v, "truth_mm3": t} for v, t in ((1, 2), (2, 4), (3, 6))]
    assert summary(some)["r"] == 1.0
    assert summary(some)["dice_anterior"] is None
    assert summary([])["dice"] is None


def test_the_key_follows_the_content_and_not_the_order():
    assert key_of(["a", "b"]) == key_of(["b", "a"]) != key_of(["a", "c"])
