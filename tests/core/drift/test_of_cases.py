"""The newest cases of an installation, crops and heads each against their own reference."""

import json
from datetime import timedelta

import numpy as np
import pytest

from core import limits
from core.drift.baseline import KEY
from core.drift.of_cases import IN_BASELINE, OLDER, WAITING, drift_of_cases
from core.drift.reference import training_crops, training_heads
from core.measures.head_features import CROP_FEATURES
from core.models.registry import REFERENCE_NAME
from tests import tiny_models
from tests.drift import analysis, table
from tests.house import House

CROPS = 40


def reference_of(rng, crops=0, heads=0, inherited=0):
    """A version's training cases: crops that came as such, and heads with both sides."""
    cases = [
        {"content_sha256": f"c{n}", "inherited": n < inherited, "features": features}
        for n, features in enumerate(table(rng, crops))
    ]
    for number in range(heads):
        of_head = {"inherited": number < inherited, "head": f"h{number}"}
        left, right = table(rng, 2)
        for name, features in (("left", left), ("right", right), ("left2", None)):
            case = {"content_sha256": f"h{number}{name}", "features": features}
            cases.append(of_head | case)
    return cases


class Installation:
    """Cases, and versions whose training is made by hand."""

    def __init__(self, folder):
        self.house = House(folder / "house")
        self.house.cases.import_from_storage()
        self.registry = tiny_models.tiny_registry(folder / "models")
        self.registry.prepare()
        self.rng = np.random.default_rng(0)
        self.serve(reference_of(self.rng, crops=CROPS))

    def serve(self, cases):
        tag, content = str(len(self.registry.find())), json.dumps({"cases": cases}).encode()
        version = tiny_models.add(self.registry, tag, {REFERENCE_NAME: content})
        self.registry.promote(version.number)

    def add(self, kind, count, review="new", **shifts):
        for features in table(self.rng, count, kind=kind, **shifts):
            case = self.house.cases.add(analysis(1, features, is_head=kind == "head"), "x")
            self.house.clock.now += timedelta(minutes=1)
            if review != "new":
                self.house.cases.review(case.id, review, "Dr A")

    def drift(self, last=20):
        return drift_of_cases(self.house.cases, self.registry, self.house.storage, last)


@pytest.fixture
def installation(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BASELINE_HEADS", 15)
    return Installation(tmp_path)


def test_at_first_there_is_too_little_of_both(installation):
    report = installation.drift()
    assert report.crops.drift.state == "not enough yet"
    assert report.heads.drift.state == "learning the baseline"
    assert report.crops.counted_words == (
        f"0 crops counted, against the {CROPS} crops that model version 2 was trained on."
    )
    assert report.heads.drift.reasons == ("0 of 15 accepted heads are there",)


def test_while_it_learns_it_says_how_far_it_is(installation):
    installation.add("head", 7, "accepted")
    installation.add("head", 1)
    heads = installation.drift().heads
    assert heads.drift.reasons == ("7 of 15 accepted heads are there",)
    assert heads.left_out == {IN_BASELINE: 7, WAITING: 1}
    assert heads.counted_words == (
        "0 heads counted, against the first 15 heads to be accepted here. Left out: 7 heads of the "
        "baseline itself; 1 head until the baseline is complete."
    )
    assert heads.as_dict()["state"] == "learning the baseline"


def test_later_heads_are_compared_with_the_baseline(installation):
    installation.add("head", 15, "accepted")
    installation.add("head", 9, "accepted")
    heads = installation.drift().heads
    assert heads.drift.state == "not enough yet"  # the baseline is not compared with itself
    assert heads.left_out == {IN_BASELINE: 15}
    installation.add("head", 6)
    heads = installation.drift().heads
    assert (heads.drift.state, heads.drift.window_cases) == ("quiet", 15)
    installation.add("head", 20, spacing_z=4)
    assert installation.drift().heads.drift.state == "act"


def test_crops_and_heads_never_disturb_each_other(installation):
    installation.add("crop", 20)
    installation.add("head", 15, "accepted")
    crops = installation.drift().crops
    assert crops.drift.state == "quiet"
    installation.add("head", 20, sharpness=-6, spacing_z=4)
    report = installation.drift()
    assert report.heads.drift.state == "act"
    assert (report.crops.drift, report.crops.cases) == (crops.drift, crops.cases)
    heads = report.heads
    installation.add("crop", 20, sharpness=-6)
    report = installation.drift()
    assert report.crops.drift.state == "act"
    assert (report.heads.drift, report.heads.cases) == (heads.drift, heads.cases)


def test_a_baseline_that_cannot_be_read_hides_no_crops(installation):
    installation.add("crop", 20)
    installation.add("head", 3)
    installation.house.inner.write(KEY, b"{}")
    report = installation.drift()
    assert report.crops.drift.state == "quiet"
    assert report.heads.drift.state == "not enough yet"
    assert "damaged" in report.heads.drift.reasons[0]
    assert KEY in report.heads.drift.reasons[0]


def test_what_an_earlier_version_segmented_is_counted_as_left_out(installation):
    for is_head in (True, True, False):
        installation.house.cases.add(analysis(1, None, is_head=is_head), "x")
    installation.add("crop", 12)
    report = installation.drift()
    assert (report.heads.left_out, report.crops.left_out) == ({OLDER: 2}, {OLDER: 1})
    assert "Left out: 2 heads segmented by an earlier version" in report.heads.counted_words
    assert "12 crops counted" in report.crops.counted_words


def test_a_version_trained_on_heads_is_their_reference(installation):
    installation.add("head", 20, "accepted", sharpness=-6)
    installation.serve(reference_of(installation.rng, crops=CROPS, heads=12))
    report = installation.drift()
    assert report.heads.drift.state == "act"  # not against those that were accepted here
    assert report.heads.drift.reference_cases == 12
    assert "the 12 heads that model version 3 was trained on" in report.heads.counted_words
    assert "Not known of the reference: voxel width (mm)" in report.heads.counted_words
    assert IN_BASELINE not in report.heads.left_out
    assert report.crops.drift.reference_cases == CROPS


def test_a_head_of_the_training_is_the_mean_of_its_sides_and_further_cuts_do_not_count():
    cases = reference_of(np.random.default_rng(1), crops=3, heads=11)
    heads = training_heads(cases)
    assert len(heads) == 11
    left, right = (case["features"] for case in cases[3:5])
    assert heads[0] == {f.key: pytest.approx((left[f.key] + right[f.key]) / 2)
                        for f in CROP_FEATURES}  # fmt: skip


def test_what_a_version_before_was_trained_on_counts_where_its_own_is_too_little():
    rng = np.random.default_rng(2)
    assert len(training_crops(reference_of(rng, crops=30, inherited=10))) == 20
    assert len(training_crops(reference_of(rng, crops=30, inherited=25))) == 30
    assert len(training_heads(reference_of(rng, heads=30, inherited=10))) == 20
    assert len(training_heads(reference_of(rng, heads=30, inherited=25))) == 30
    assert training_heads(reference_of(rng, crops=30)) == []
