import dataclasses
import hashlib

import numpy as np
import pytest
import safetensors.numpy

from core.drift.reference import training_crops, training_heads
from core.errors import ModelError
from core.models.folder import load_model
from core.models.registry import reference_of
from core.settings import Settings
from core.training.mix import mix

EMBEDDED = Settings().model_dir


@pytest.fixture(scope="module")
def mixed(other, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed") / "model"
    mix(load_model(EMBEDDED), other, 0.25).write(folder)
    return load_model(folder)


def weights(model):
    return safetensors.numpy.load_file(model.weights[0])


def test_each_weight_is_the_mean_of_both(other, mixed):
    first, second, both = (weights(model) for model in (load_model(EMBEDDED), other, mixed))
    assert first.keys() == both.keys()
    for name, values in both.items():
        np.testing.assert_allclose(values, 0.75 * first[name] + 0.25 * second[name], atol=1e-6)


def test_what_either_has_seen_is_known_and_drift_is_compared_with_the_first(mixed):
    before, after = reference_of(load_model(EMBEDDED)), reference_of(mixed)
    assert {c["content_sha256"] for c in after} == {
        "f" * 64, *(c["content_sha256"] for c in before)
    }  # fmt: skip
    assert training_crops(after) == training_crops(before)
    assert training_heads(after) == training_heads(before)


def test_the_card_has_the_shares_and_nothing_that_was_of_one_of_them(mixed):
    assert mixed.card["training"]["Weights"].startswith("0.75 of hippocampus-3d-16 and 0.25 of")
    assert "metrics" not in mixed.card
    assert "int8" not in mixed.card
    content = (mixed.folder / "weights.safetensors").read_bytes()
    assert mixed.card["files"]["weights.safetensors"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_lies_between_both(share, other):
    with pytest.raises(ModelError, match="share"):
        mix(load_model(EMBEDDED), other, share)


def test_networks_of_another_kind_are_not_mixed(other):
    strange = dataclasses.replace(other, card=other.card | {"mirror_axes": [0]})
    with pytest.raises(ModelError, match="same kind"):
        mix(load_model(EMBEDDED), strange, 0.5)
