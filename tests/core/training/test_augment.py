import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from core.training.augment import with_scanners
from core.training.batches import seed_all
from core.training.config import AUGMENTATIONS

_CROPS = 300


def _share_changed(augmentation):
    seed_all(0)
    transform = with_scanners(ComposeTransforms([]), AUGMENTATIONS[augmentation])
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 12, 12, 12))).float()
    made = [transform(image=image.clone())["image"] for _ in range(_CROPS)]
    assert all(torch.isfinite(one).all() for one in made)
    return sum(not torch.equal(one, image) for one in made) / _CROPS


def test_what_other_scanners_bring_is_mixed_into_some_crops_and_strong_in_most():
    # The chance that none of the six is drawn, with all of their probabilities and with half.
    strong = 1 - 0.8**2 * 0.85**3 * 0.9
    mixed = 1 - 0.9**2 * 0.925**3 * 0.95
    assert _share_changed("usual") == 0
    assert abs(_share_changed("mixed") - mixed) < 0.1
    assert abs(_share_changed("strong") - strong) < 0.1


def test_nnunets_own_augmentation_is_left_as_it_is():
    usual = ComposeTransforms([])
    assert len(with_scanners(usual, 1.0).transforms) == 6
    assert usual.transforms == []
