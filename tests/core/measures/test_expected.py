"""Expected overlap and intervals: beside the measures, in the judgement, in all that leaves."""

import csv
import io
import json

import numpy as np
import pytest

from app.views.trust import show_trust
from core.cases.case import Case, confidence_of
from core.cases.mask_report import report_of_mask
from core.exports.tables import Outcome, report_csv, summary_csv
from core.image.volume import from_ras
from core.measures.expected import (
    DRAWN,
    findings_of_crop,
    masks_in_words,
    trust_record,
    with_intervals,
)
from core.measures.measure import appraise_head, measure
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions, loaded
from tests.calibrations import calibrated_model
from tests.core.measures.test_trust import AFFINE, head, part, two
from tests.scans import as_bytes, example

PARTS = ("whole", "anterior", "posterior")


def expected(dice: float = 0.9, low: float = 0.9, high: float = 1.2) -> dict:
    return {
        "dice": dict.fromkeys(PARTS, dice), "volume_factors": {p: [low, high] for p in PARTS},
    }  # fmt: skip


def known_head(**sides) -> dict:
    known = head(two())
    for name, dice in sides.items():
        known["sides"][name]["expected"] = expected(dice)
    return known


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    """The example, by a calibrated model."""
    folder = tmp_path_factory.mktemp("calibrated")
    predictor = loaded(calibrated_model(folder / "model"), InferenceOptions(device="cpu"))
    yield analyse(io.BytesIO(as_bytes(example())), predictor, folder)
    predictor.close()


@pytest.fixture
def case(analysis):
    report = json.loads(json.dumps(analysis.as_dict()))
    return Case("HV-AAAAAA", "a", "2026-11-30T00:00:00+00:00", report)


def test_each_volume_of_a_crop_has_an_interval():
    labels = part(two(), "left")
    measures = with_intervals(measure(labels, AFFINE), {"crop": expected()})
    for sizes in (measures.anterior, measures.posterior, measures.total):
        low, high = sizes.volume_interval_mm3
        assert (low, high) == pytest.approx((0.9 * sizes.volume_mm3, 1.2 * sizes.volume_mm3), abs=1)
    assert with_intervals(measure(labels, AFFINE), {}).total.volume_interval_mm3 is None


def test_two_hippocampi_may_both_be_off_in_one_direction():
    found = appraise_head(two(), AFFINE, known_head(left=0.9, right=0.85)).measures
    ends = [side["total"].volume_interval_mm3 for side in found.sides.values()]
    assert found.total.volume_interval_mm3 == pytest.approx(
        tuple(map(sum, zip(*ends, strict=True)))
    )


def test_a_side_that_a_person_drew_has_none_and_the_other_keeps_its_own():
    drawn = two()
    drawn[30, 50, 45:50] = 0
    found = appraise_head(drawn, AFFINE, known_head(left=0.9, right=0.85))
    assert found.measures.sides["left"]["total"].volume_interval_mm3 is None
    assert found.measures.sides["right"]["total"].volume_interval_mm3 is not None
    assert found.measures.total.volume_interval_mm3 is None
    assert trust_record(found.expected, "")["expected_dice"]["whole"] == 0.85
    assert list(trust_record(found.expected, "")["sides"]) == ["right"]


@pytest.mark.parametrize(("dice", "word"), [(0.9, "high"), (0.75, "check"), (0.5, "unreliable")])
def test_a_low_expected_overlap_lowers_the_confidence_of_a_head(dice, word):
    judgement = appraise_head(two(), AFFINE, known_head(left=dice, right=0.9)).judgement
    assert judgement.confidence == word
    assert (word == "high") == (judgement.reasons == ())
    assert word == "high" or f"by {dice:.2f} (Dice)" in judgement.reasons[0]


def test_a_high_expected_overlap_takes_no_doubt_away():
    known = known_head(left=0.95, right=0.95)
    known["sides"]["left"]["agreement"] = 0.6
    assert appraise_head(two(), AFFINE, known).judgement.confidence == "unreliable"


def test_a_crop_is_high_without_any_warning_only():
    trust = trust_record({"crop": expected()}, "")
    assert confidence_of({"warnings": [], "trust": trust}) == "high"
    for code in ("touches_border", "coarse", "spacing"):
        warned = {"warnings": [{"level": "warning", "code": code}], "trust": trust}
        assert confidence_of(warned) != "high"
    assert confidence_of({"warnings": []}) == ""
    assert confidence_of({"warnings": [], "trust": trust_record({}, "no calibration")}) == ""


def test_a_crop_of_low_expected_overlap_is_flagged():
    for dice, level in ((0.75, "check"), (0.5, "unreliable")):
        (finding,) = findings_of_crop({"crop": expected(dice)})
        report = {"warnings": [finding.as_dict()], "trust": trust_record({"crop": expected()}, "")}
        assert confidence_of(report) == level
    assert findings_of_crop({"crop": expected(0.85)}) == []


def test_the_record_of_a_calibrated_version(analysis):
    record = json.loads(json.dumps(analysis.as_dict()))
    assert set(record["trust"]["expected_dice"]) == set(PARTS)
    assert record["trust"]["reason"] == ""
    for label in ("anterior", "posterior", "total"):
        sizes = record["measures"][label]
        low, high = sizes["volume_interval_mm3"]
        assert low <= sizes["volume_mm3"] <= high


def test_the_record_of_a_version_that_is_not(segmented):
    record = trust_record({}, "this model version has no calibration")
    assert record["expected_dice"] is None
    assert record["reason"] == "not calibrated: this model version has no calibration"
    assert record["sides"] == {}
    assert "trust" in segmented(example()).as_dict()


def test_a_drawn_mask_loses_its_numbers_and_going_back_returns_them(analysis, case):
    header = analysis.segmentation.volume.header
    model = from_ras(analysis.segmentation.labels, header)
    drawn = model.copy()
    drawn[tuple(np.argwhere(model > 0)[0])] = 0
    report = report_of_mask(drawn, model, header, case.report)
    assert report["trust"]["expected_dice"] is None
    assert report["trust"]["reason"] == DRAWN
    assert report["measures"]["total"]["volume_interval_mm3"] is None
    again = report_of_mask(model, model, header, case.report | report)
    assert again["trust"]["expected_dice"] == case.report["trust"]["expected_dice"]
    assert again["measures"]["total"] == case.report["measures"]["total"]


def test_tables_have_the_numbers(case):
    rows = list(csv.DictReader(io.StringIO(report_csv(case).decode())))
    found = {(row["quantity"], row["label"]): row["value"] for row in rows}
    low, high = case.report["measures"]["total"]["volume_interval_mm3"]
    assert float(found["volume_interval_low", "total"]) == low
    assert float(found["volume_interval_high", "total"]) == high
    whole = case.report["trust"]["expected_dice"]["whole"]
    assert float(found["expected_dice", "whole"]) == whole
    (row,) = csv.DictReader(io.StringIO(summary_csv([Outcome("a", case)]).decode()))
    assert float(row["expected_dice"]) == whole
    assert (float(row["total_low_mm3"]), float(row["total_high_mm3"])) == (low, high)
    (refused,) = csv.DictReader(io.StringIO(summary_csv([Outcome("b", None, "no")]).decode()))
    assert None not in refused
    assert refused["total_high_mm3"] == ""


def test_a_case_of_an_earlier_version_says_nothing(case):
    old = {k: v for k, v in case.report.items() if k != "trust"}
    for sizes in ("anterior", "posterior", "total"):
        del old["measures"][sizes]["volume_interval_mm3"]
    assert masks_in_words(old) == []
    show_trust(old)
    earlier = Case(case.id, "a", case.created_at, old)
    assert b"expected_dice" not in report_csv(earlier)


def test_the_sentence(case):
    case.report["measures"]["total"] |= {
        "volume_mm3": 2109.0, "volume_interval_mm3": [1980.0, 2240.0],
    }  # fmt: skip
    case.report["trust"]["expected_dice"]["whole"] = 0.9
    assert masks_in_words(case.report) == [
        ("2,109 mm³, 90 % interval 1,980 to 2,240 mm³; expected overlap with an expert 0.90", 0.9)
    ]
