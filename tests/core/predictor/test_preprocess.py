"""What the network is given is made of a copy: the caller's image stays as it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.models.folder import load_model
from core.predictor.preprocess import prepare, probabilities, restore
from core.predictor.recipe import recipe_of
from core.settings import Settings


@pytest.fixture(scope="module")
def recipe():
    return recipe_of(load_model(Settings().model_dir))


@settings(max_examples=60)
@given(
    order=st.sampled_from(["C", "F", "turned", "part"]),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (1.0, 1.2, 0.8)]),
    masks_background=st.booleans(),
    zeros=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_argument_is_changed(recipe, order, spacing, masks_background, zeros, seed):
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.1, 1, (9, 8, 7)).astype(np.float32)
    if zeros:  # a border that is cropped, so that a part is taken
        image[0], image[:, -2:] = 0, 0
    given_as = {
        "C": np.ascontiguousarray(image),
        "F": np.asfortranarray(image),
        "turned": np.ascontiguousarray(image.transpose(2, 1, 0)).transpose(2, 1, 0),
        "part": np.asfortranarray(np.pad(image, 2))[2:-2, 2:-2, 2:-2],
    }[order]
    own = replace(recipe, masks_background=masks_background)
    before = given_as.copy()
    prepared = prepare(given_as, spacing, own)
    assert np.array_equal(given_as, before)
    assert not np.shares_memory(prepared.data, given_as)
    assert np.array_equal(prepared.data, prepare(before, spacing, own).data)

    kept = prepared.data.copy()
    logits = rng.normal(size=(3, *prepared.data.shape)).astype(np.float32)
    raw = logits.copy()
    restore(logits, prepared, own)
    probabilities(logits, prepared, own)
    assert np.array_equal(logits, raw)
    assert np.array_equal(prepared.data, kept)
