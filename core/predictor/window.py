"""nnU-Net's sliding window: patches weighted by a Gaussian, mirrored predictions averaged.

After nnU-Net 2.8.1, ``inference/sliding_window_prediction.py`` and
``inference/predict_from_raw_data.py`` (Apache 2.0). It sums in float32 where nnU-Net sums in
float16; an image of one patch is not weighted at all, which changes nothing but rounding.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.predictor.networks import Network
from core.predictor.signals import Votes

_STEP = 0.5
_SIGMA = 1 / 8
Mirror = tuple[int, ...]


def predict(
    image: NDArray[np.float32],
    network: Network,
    patch: tuple[int, int, int],
    mirrors: Sequence[Mirror],
    on_run: Callable[[], None],
) -> tuple[NDArray[np.float32], Votes]:
    """Logits of an image of any size, and what the single predictions say.

    Parameters
    ----------
    image : ndarray, shape (A, B, C)
    patch
        Size of the network's input, voxels.
    mirrors
        Sets of axes; the predictions of the image flipped along each are averaged.
    on_run
        Called before each run of the network; raises to end the work.

    Returns
    -------
    logits : ndarray, shape (classes, A, B, C)
        Their mean.
    votes : Votes
    """
    padded, original = _padded(image, patch)
    votes = Votes.none(padded.shape)
    if padded.shape == patch:
        everywhere = (slice(None),) * 3
        logits = _mirrored(padded, network, mirrors, on_run, votes, everywhere)
        return logits[:, *original], votes.within(original)

    weights = _gaussian(patch)
    total = np.zeros(padded.shape, np.float32)
    result: NDArray[np.float32] | None = None
    for position in _patch_positions(padded.shape, patch):
        logits = _mirrored(padded[position], network, mirrors, on_run, votes, position)
        if result is None:
            result = np.zeros((len(logits), *padded.shape), np.float32)
        logits *= weights
        result[:, *position] += logits
        total[position] += weights
    if result is None:
        raise ValueError("an image without voxels")
    result /= total
    return result[:, *original], votes.within(original)


def first_patch(image: NDArray[np.float32], patch: tuple[int, int, int]) -> NDArray[np.float32]:
    """The first patch of an image."""
    padded, _ = _padded(image, patch)
    return padded[next(_patch_positions(padded.shape, patch))]


def mirrors_of(axes: Sequence[int], mirroring: str) -> list[Mirror]:
    """Sets of axes to flip along, in nnU-Net's order, the image as it is first.

    Parameters
    ----------
    axes
        Those along which the training data was mirrored.
    mirroring
        The setting: ``off``, ``full``, or ``auto``: only the sets with an even number of axes.
        Of all halves of the sets, this one gives the masks nearest to those of ``full``
        (``benchmarks/mirroring.py``, ``docs/performance.md``).
    """
    every = [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
    even = [c for c in every if len(c) % 2 == 0]
    return {"off": every[:1], "auto": even, "full": every}[mirroring]


def _padded(
    image: NDArray[np.float32], patch: Sequence[int]
) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """An image padded with zeros to at least a patch, and the box that the image fills in it."""
    missing = [max(0, p - n) for p, n in zip(patch, image.shape, strict=True)]
    before = [m // 2 for m in missing]
    padded = np.pad(image, [(b, m - b) for b, m in zip(before, missing, strict=True)])
    return padded, tuple(slice(b, b + n) for b, n in zip(before, image.shape, strict=True))


def _mirrored(
    values: NDArray[np.float32], network: Network, mirrors: Sequence[Mirror],
    on_run: Callable[[], None], votes: Votes, position: tuple[slice, ...],
) -> NDArray[np.float32]:  # fmt: skip
    total: NDArray[np.float32] | None = None
    for start in range(0, len(mirrors), network.batch):
        some = mirrors[start : start + network.batch]
        on_run()
        flipped = np.stack([np.flip(values, axes) for axes in some])
        for axes, logits in zip(some, network.logits(flipped), strict=True):
            straight = np.flip(logits, tuple(axis + 1 for axis in axes))
            votes.add(position, straight)
            if total is None:
                total = straight.copy()
            else:
                total += straight
    if total is None:
        raise ValueError("no mirror to predict with, not even the image itself")
    total /= len(mirrors)
    return total


def _patch_positions(shape: Sequence[int], patch: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    starts = []
    for n, p in zip(shape, patch, strict=True):
        count = math.ceil((n - p) / (p * _STEP)) + 1
        step = (n - p) / (count - 1) if count > 1 else 0.0
        starts.append([round(step * i) for i in range(count)])
    for corner in itertools.product(*starts):
        yield tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))


@functools.cache
def _gaussian(patch: tuple[int, int, int]) -> NDArray[np.float32]:
    point = np.zeros(patch)
    point[tuple(n // 2 for n in patch)] = 1
    weights = ndimage.gaussian_filter(point, [n * _SIGMA for n in patch], mode="constant")
    half = (weights / weights.max() * 10).astype(np.float16)  # as nnU-Net holds them
    half[half == 0] = half[half > 0].min()
    result: NDArray[np.float32] = half.astype(np.float32)
    return result
