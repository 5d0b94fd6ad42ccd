"""A single scan that is unlike anything that is known."""

import numpy as np
import pytest

from core.drift.kinds import followed
from core.drift.unlike import CODE, LEAST_SCANS, SHARE, Span
from core.image.example import example_file, values_of
from core.measures.features import features_of
from tests.core.drift.test_watch import Place
from tests.drift import table

IMAGE = [feature for feature in followed("crop") if not feature.note]


def test_it_says_in_what_a_scan_is_beyond_all_others_and_nothing_of_one_within():
    rng = np.random.default_rng(1)
    span = Span(table(rng, 220), IMAGE, 2)
    (plain,), (blurred,) = table(rng, 1, sd=0.3), table(rng, 1, sd=0.3, sharpness=-9, bias=7)
    assert span.findings(plain, "crop") == ()
    (finding,) = span.findings(blurred, "crop")
    assert (finding.level, finding.code) == ("warning", CODE)
    assert "unlike all 220 crops that are known here: sharpness (" in finding.message
    assert " SD below the lowest); shading across the image (" in finding.message
    assert "noise" not in finding.message


def test_false_alarms_are_as_rare_as_said_among_persons_that_were_not_seen():
    rng = np.random.default_rng(2)
    told = []
    for _ in range(10):
        span = Span(table(rng, 220), IMAGE, 2)
        assert span.told <= SHARE * span.scans
        told += [bool(span.beyond(values)) for values in table(rng, 100)]
    assert np.mean(told) <= 2.5 * SHARE  # of 1,000 scans


def test_a_feature_that_a_scan_lacks_says_nothing():
    rng = np.random.default_rng(3)
    span = Span(table(rng, LEAST_SCANS), IMAGE)
    (values,) = table(rng, 1, sd=0.1)
    del values["sharpness"]
    assert span.beyond(values) == []


def test_the_example_that_ships_is_what_it_is_and_its_like_is_told(tmp_path):
    place = Place(tmp_path)
    data, spacing_mm = values_of(example_file())
    example = features_of(data, spacing_mm)
    assert place.watch.findings(example)  # an average of brains is like none of them
    assert place.watch.findings(example, example) == ()
    upside_down = features_of(np.ascontiguousarray(data.transpose(2, 0, 1)), spacing_mm)
    assert place.watch.findings(upside_down, example)


def test_what_was_accepted_as_normal_is_known(tmp_path):
    place = Place(tmp_path)
    (values,) = table(place.rng, 1, sd=0.3, sharpness=-9)
    assert [finding.code for finding in place.watch.findings(values)] == [CODE]
    place.add("crop", 12, sharpness=-9)
    place.watch.accept(
        "crop", [row.id for row, _ in place.house.cases.features()], "the new scanner",
        place.known("crop"),
    )  # fmt: skip
    place.watch.look()
    assert place.watch.findings(values) == ()


def test_where_too_little_is_known_nothing_is_said(tmp_path):
    place = Place(tmp_path)
    (head,) = table(place.rng, 1, kind="head", sharpness=-9)
    assert place.watch.findings(head) == ()


@pytest.mark.parametrize("neighbours", [1, 2])
def test_all_the_same_values_are_no_span_of_zero(neighbours):
    scans = [{feature.key: 1.0 for feature in IMAGE} for _ in range(40)]
    assert Span(scans, IMAGE, neighbours).beyond(scans[0]) == []
