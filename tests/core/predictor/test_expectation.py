"""What a version's calibration expects, and when there is none."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.models.folder import CALIBRATION_NAME, calibrated_on, load_model, opened
from core.predictor.expectation import Calibration, calibration_of
from core.settings import Settings
from core.training.evaluation.calibration import calibration_file, fitted
from core.training.evaluation.shifts import CALIBRATED
from tests.calibrations import calibrated_model, rows

ABOUT = {"model_sha256": "0", "mirroring": "auto"}


@pytest.fixture(scope="module")
def known() -> list:
    return [row for row in rows(12, 1) if row.kind in CALIBRATED]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return calibrated_model(tmp_path_factory.mktemp("models") / "calibrated")


def test_a_file_says_what_was_fitted(known):
    made = fitted(known)
    read = Calibration.read(json.loads(calibration_file(made, ABOUT)))
    for row in known[::7]:
        one, other = made.expect(row.signals), read.expect(row.signals)
        assert one.dice == pytest.approx(other.dice, abs=1e-3)
        for part, ends in one.volume_factors.items():
            assert ends == pytest.approx(other.volume_factors[part], abs=2e-3)


def test_a_worse_mask_overlaps_less_and_its_volume_is_less_sure(known):
    calibration = fitted(known)
    good = known[0].signals
    bad = good | {name: value + 1.5 for name, value in good.items() if name.startswith("doubt")}
    one, other = calibration.expect(good), calibration.expect(bad)
    assert other.dice["whole"] < one.dice["whole"] - 0.1
    (low, high), (lowest, highest) = one.volume_factors["whole"], other.volume_factors["whole"]
    assert math.log(highest / lowest) > 1.3 * math.log(high / low)


def test_what_was_never_seen_counts_as_the_worst_that_was(known):
    calibration = fitted(known)
    far = dict.fromkeys(known[0].signals, 1000000.0)
    expected = calibration.expect(far)
    for part, dice in expected.dice.items():
        low, high = expected.volume_factors[part]
        assert 0 <= dice <= 0.97
        assert 0.01 <= low <= 1 <= high <= 100.001


def test_an_interval_holds_the_volume_that_it_stands_beside(known):
    calibration = fitted(known)
    for row in known:
        for low, high in calibration.expect(row.signals).volume_factors.values():
            assert low <= 1 <= high


def test_a_version_without_one_is_not_calibrated(tmp_path):
    embedded = calibrated_model(tmp_path / "model")
    card = json.loads((embedded.folder / "card.json").read_text())
    del card["files"][CALIBRATION_NAME], card["calibration"]
    (embedded.folder / "card.json").write_text(json.dumps(card))
    calibration, why = calibration_of(load_model(embedded.folder), "auto")
    assert calibration is None
    assert "has no calibration" in why
    assert calibrated_on(card).startswith("Not calibrated")


def test_one_of_other_weights_or_other_mirrors_is_not_used(model, tmp_path):
    assert calibration_of(model, "auto")[0] is not None
    assert "mirroring auto, not off" in calibration_of(model, "off")[1]
    other = calibrated_model(tmp_path / "other", sha256="f" * 64)
    assert "another model version" in calibration_of(other, "auto")[1]


def test_one_that_cannot_be_read_is_not_used(tmp_path, model):
    content = model.json(CALIBRATION_NAME)

    class Damaged:
        card, sha256, version = model.card, model.sha256, "1"

        def json(self, name):
            return content | {"dice": {"whole": "0.9"}}

    assert calibration_of(Damaged(), "auto") == (None, "its calibration cannot be read")


def test_the_card_has_its_hash_and_says_what_was_measured(model):
    assert CALIBRATION_NAME in model.card["files"]
    words = calibrated_on(model.card)
    assert "12 persons" in words
    assert "made up had not seen" in words
    assert "disease" not in words


def test_it_is_small_and_holds_numbers_alone(model):
    content = (Path(model.folder) / CALIBRATION_NAME).read_bytes()
    assert len(content) < 40_000
    assert np.isfinite(model.json(CALIBRATION_NAME)["dice"]["whole"]["intercept"])


def test_the_embedded_model_can_be_opened_with_or_without_one():
    with partial(opened, Settings().model_dir)() as embedded:
        calibration, why = calibration_of(embedded, "auto")
    assert (calibration is None) == bool(why)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("volumes whole margin", math.nan), ("volumes whole low", {"intercept": 0, "weights": [1]}),
        ("dice whole weights", [1.0]), ("signals", ["nonsense"] * 14),
        ("standard scale", [0.0] * 14), ("standard mean", [math.nan] * 14),
        ("dice whole intercept", math.inf),
    ],
)  # fmt: skip
def test_one_that_would_fail_on_a_scan_is_not_read(known, path, value):
    content = json.loads(calibration_file(fitted(known), ABOUT))
    Calibration.read(content)
    *groups, last = path.split()
    inner = content
    for group in groups:
        inner = inner[group]
    inner[last] = value
    with pytest.raises(ValueError, match="that"):
        Calibration.read(content)
