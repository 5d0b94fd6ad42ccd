import dataclasses

import numpy as np
import pytest

from core.errors import ModelError
from core.models.folder import load_model
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import Settings
from core.state.storage import LocalStorage
from core.training.data.prepare import prepare
from core.training.join import join
from tests.datasets import made

EMBEDDED = Settings().model_dir


@pytest.fixture(scope="module")
def joined(other, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined")
    storage = LocalStorage(folder / "storage")
    dataset, _ = prepare(made(folder / "source", 10), storage, "ten")
    with storage.local("datasets/ten") as files:
        join([load_model(EMBEDDED), other], dataset, files, folder).write(folder / "model")
    return load_model(folder / "model")


@pytest.mark.long
def test_the_predictions_are_averaged(other, joined):
    patch = np.random.default_rng(0).normal(size=(1, 40, 56, 40)).astype(np.float32)
    options = InferenceOptions(device="cpu", precision="float32")
    logits = []
    for model in (load_model(EMBEDDED), other, joined):
        predictor = loaded(model, options)
        logits.append(predictor.network.logits(patch))
        predictor.close()
    assert np.abs(logits[0] - logits[1]).max() > 0.1
    np.testing.assert_allclose((logits[0] + logits[1]) / 2, logits[2], atol=1e-3)


def test_what_either_has_seen_is_known(joined):
    seen = {case["content_sha256"] for case in joined.json("reference.json")["cases"]}
    first = load_model(EMBEDDED).json("reference.json")["cases"]
    assert seen == {"f" * 64} | {case["content_sha256"] for case in first}


def test_the_card_says_what_it_is_of_and_has_no_figures_of_one_alone(joined):
    assert "other" in joined.name
    assert joined.card["network"]["Networks"].startswith("2,")
    assert "metrics" not in joined.card


@pytest.mark.parametrize("models", [1, 2])
def test_only_networks_of_one_kind_are_joined(models, other, tmp_path):
    card = other.card | {"mirror_axes": [0]}
    strange = [dataclasses.replace(other, card=card), other][:models]
    with pytest.raises(ModelError, match=r"only one|same kind"):
        join(strange, None, tmp_path, tmp_path)  # refused before the data set is looked at
