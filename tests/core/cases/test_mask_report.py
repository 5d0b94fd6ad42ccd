"""What a person hardly changed is doubted as the model's own mask is."""

import nibabel as nib
import numpy as np
import pytest

from core.cases.case import confidence_of
from core.cases.mask_report import report_of_mask
from core.image.header import LARGEST_HEADER_BYTES, parse_header
from core.limits import HARDLY_CHANGED_DICE
from core.predictor.heads import fingerprint
from tests.core.measures.test_trust import AFFINE, head, part, two
from tests.scans import as_bytes

CLEAN = {"warnings": [], "input": {}, "trust": {"reason": ""}}


@pytest.fixture(scope="module")
def header():
    """Of a file along the patient's axes: its grid is that of the labels."""
    return parse_header(as_bytes(nib.Nifti1Image(two(), AFFINE))[:LARGEST_HEADER_BYTES])


def expected(dice: float) -> dict:
    parts = ("whole", "anterior", "posterior")
    return {
        "dice": dict.fromkeys(parts, dice), "volume_factors": {p: [0.9, 1.2] for p in parts},
    }  # fmt: skip


def less(labels: np.ndarray, voxels: int) -> np.ndarray:
    """Without some voxels of the left one."""
    changed = labels.copy()
    changed[tuple(np.argwhere(part(labels, "left"))[:voxels].T)] = 0
    return changed


def doubted(report: dict) -> bool:
    return any("(Dice) only" in reason for reason in report["head"]["reasons"])


def test_one_voxel_does_not_make_an_unreliable_head_high(header):
    known = head(two(), expected=expected(0.5))
    report = CLEAN | {"head": known}
    one, all_it_takes = (
        report_of_mask(less(two(), n), two(), header, report)
        for n in (1, int((1 - HARDLY_CHANGED_DICE) * 2 * 4320) + 100)
    )
    assert confidence_of(CLEAN | one) == "unreliable"
    assert "by 0.50 (Dice) only" in one["head"]["reasons"][0]
    assert not doubted(all_it_takes)
    assert confidence_of(CLEAN | all_it_takes) == "high"
    assert one["measures"]["sides"]["left"]["total"]["volume_interval_mm3"] is None


def test_a_moved_border_does_not_end_what_was_doubted_of_the_whole(header):
    known = head(two(), expected=expected(0.5))
    relabelled = np.where(two() > 0, 1, 0).astype(np.uint8)
    assert doubted(report_of_mask(relabelled, two(), header, CLEAN | {"head": known}))


def test_a_side_that_was_segmented_where_a_person_pointed_is_compared_with_that_mask(header):
    pointed = two(left=(12, 24, 12))
    known = head(two(), expected=expected(0.5), model_mask=fingerprint(part(pointed, "left")))
    report = CLEAN | {"head": known}
    drawn = less(pointed, 1)
    assert doubted(report_of_mask(drawn, two(), header, report, earlier=[drawn, pointed]))
    assert not doubted(report_of_mask(two(), two(), header, report, earlier=[pointed]))


def test_a_side_that_can_be_compared_with_no_mask_keeps_its_doubt(header):
    """The other side was pointed at elsewhere, so that another plane tells the sides apart."""
    known = head(two(), expected=expected(0.5), model_mask="of other halves")
    drawn = less(two(), 1)
    assert doubted(report_of_mask(drawn, two(), header, CLEAN | {"head": known}, earlier=[drawn]))


def test_one_voxel_does_not_end_the_doubts_of_a_crop(header):
    model = part(two(), "left")
    crop = expected(0.5) | {"model_mask": fingerprint(model)}
    report = CLEAN | {"head": None, "trust": {"reason": "", "crop": crop}}
    for voxels, word in ((0, "unreliable"), (1, "unreliable"), (400, "")):
        found = report_of_mask(less(model, voxels), model, header, report)
        assert confidence_of(CLEAN | found) == word
