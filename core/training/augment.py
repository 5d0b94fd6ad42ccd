"""Augmentation beyond nnU-Net's own. Imports nnU-Net's transforms, so import it late."""

from typing import Any

import numpy as np
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.local.brightness_gradient import (
    BrightnessGradientAdditiveTransform,
)
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.noise.rician import RicianNoiseTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

# In standard deviations of the image: the z-score made them 1.
_LARGEST_BIAS, _LARGEST_NOISE = 1.5, 0.3


def repeatable(usual: Any) -> Any:
    """nnU-Net's augmentation (ComposeTransforms) without timing which way to blur is faster."""
    for part in usual.transforms:
        blur = getattr(part, "transform", None)
        if isinstance(blur, GaussianBlurTransform):
            blur.benchmark = False
    return usual


def with_scanners(usual: Any, share: float) -> Any:
    """nnU-Net's augmentation (ComposeTransforms), with the variation of other scanners added.

    After nnU-Net's first step, which rotates and scales, and before its others: a bias field,
    thick slices, 2 mm voxels (where the data has 1 mm), other contrasts, Rician noise.

    Parameters
    ----------
    share
        Factor of each added transform's full probability, 0 to 1.
    """
    added = [
        (0.2, BrightnessGradientAdditiveTransform(_bias_width, (-0.5, 1.5), _bias)),
        (0.15, _coarser(0.3, 1.0, in_all_axes=False)),
        (0.15, _coarser(0.4, 0.6, in_all_axes=True)),
        (0.2, GammaTransform(_gamma, 0.3, False, 1, 1)),
        (0.15, ContrastTransform((0.5, 1.5), False, False, 1)),
        (0.1, RicianNoiseTransform((0.0, _LARGEST_NOISE))),
    ]
    others = [RandomTransform(what, share * often) for often, what in added]
    return ComposeTransforms([*usual.transforms[:1], *others, *usual.transforms[1:]])


def _coarser(least: float, most: float, *, in_all_axes: bool) -> SimulateLowResolutionTransform:
    return SimulateLowResolutionTransform((least, most), False, in_all_axes, None)


def _bias_width(shape: tuple[int, ...], axis: int) -> float:
    return float(np.random.uniform(shape[axis] / 3, shape[axis] * 2))


def _bias(*_: Any) -> float:
    return float(np.random.uniform(-_LARGEST_BIAS, _LARGEST_BIAS))


def _gamma(*_: Any, **__: Any) -> float:
    return float(np.exp(np.random.uniform(np.log(0.4), np.log(2.5))))
