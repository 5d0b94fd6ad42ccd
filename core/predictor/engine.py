"""Runs the networks of one model version: an image in, the localiser's heat or labels out."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.errors import GoneError
from core.predictor import window
from core.predictor.heads import CROP_STEP_MM
from core.predictor.networks import Network
from core.predictor.preprocess import prepare, probabilities, restore
from core.predictor.recipe import Recipe
from core.predictor.signals import Signals, Votes, signals_of

# Voxels of a head's crop, as `core.predictor.heads.crop_grid` lays them.
CROP_SPACING_MM = (CROP_STEP_MM,) * 3


@dataclass(frozen=True)
class ScanRun:
    """One scan on its way through the engine.

    Attributes
    ----------
    is_gone
        Says whether nobody waits for the result any more.
    timings_s : dict of str to float
        Seconds by step, filled in as the steps end.
    signals : list of dict
        Of each crop that the network looked at in full, in that order.
    of_masks : dict of str to dict
        Signals of each mask: by side of a head, and `core.predictor.signals.CROP` of a crop.
    """

    is_gone: Callable[[], bool] = lambda: False
    timings_s: dict[str, float] = field(default_factory=dict)
    signals: list[Signals] = field(default_factory=list)
    of_masks: dict[str, Signals] = field(default_factory=dict)

    def stop_if_gone(self) -> None:
        """Raise `GoneError` if nobody waits for the result any more."""
        if self.is_gone():
            raise GoneError("Nobody waits for this scan any more")

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the seconds of the block to a step."""
        start = time.perf_counter()
        yield
        self.timings_s[step] = self.timings_s.get(step, 0.0) + time.perf_counter() - start


class Engine:
    """The networks of one loaded model, run one after the other on a thread of their own.

    PyTorch keeps a team of threads for every thread that calls it, so calls from many threads
    would cost memory and speed.

    Parameters
    ----------
    network
        The model's: from a patch to the logits of the labels.
    localiser
        The small network that finds the hippocampi in a head (`core.predictor.localiser`).
    mirrors
        Sets of axes: the predictions of a patch flipped along each are averaged.
    """

    def __init__(
        self, recipe: Recipe, network: Network, localiser: Network, mirrors: list[window.Mirror]
    ) -> None:
        self.recipe = recipe
        self.network = network
        self.mirrors = mirrors
        self._localiser = localiser
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"network-{network.backend}")

    def localiser_heat(self, image: NDArray[np.float32], run: ScanRun) -> NDArray[np.float32]:
        """The localiser's output, shape (6, *GRID), for an image of shape `localiser.GRID`.

        Raises
        ------
        GoneError
        """
        run.stop_if_gone()
        with run.timed("locate"):
            output: NDArray[np.float32] = self._thread.submit(
                self._localiser.logits, image[None]
            ).result()[0]
        return output

    def crop_probabilities(
        self, crop: NDArray[np.float32], run: ScanRun, *, quick: bool
    ) -> NDArray[np.float32]:
        """Probabilities of background and labels in a crop, shape (classes, X, Y, Z).

        Parameters
        ----------
        crop : ndarray, shape (X, Y, Z)
            Voxels of `CROP_SPACING_MM`, RAS+, values from 0 to 1 (`core.image.volume.unit_range`).
        quick
            Without mirrored predictions.

        Raises
        ------
        GoneError
        """
        run.stop_if_gone()
        with run.timed("centre" if quick else "network"):
            prepared = prepare(crop, CROP_SPACING_MM, self.recipe)
            mirrors = self.mirrors[:1] if quick else self.mirrors
            work = partial(
                window.predict, prepared.data, self.network, self.recipe.patch, mirrors,
                run.stop_if_gone,
            )  # fmt: skip
            logits, votes = self._thread.submit(work).result()
            if not quick:
                self._note_signals(logits, votes, run)
            return probabilities(logits, prepared, self.recipe)

    def labels(
        self, data: NDArray[np.float32], spacing_mm: tuple[float, float, float], run: ScanRun
    ) -> NDArray[np.uint8]:
        """Labels of an image of any size and spacing, by a sliding window.

        Parameters
        ----------
        data : ndarray, shape (X, Y, Z)
            RAS+, values from 0 upwards (`core.image.volume.Volume.unit`).

        Returns
        -------
        ndarray of uint8, shape (X, Y, Z)

        Raises
        ------
        GoneError
        """
        started_at = list[float]()

        def predict() -> tuple[NDArray[np.float32], Votes]:
            started_at.append(time.perf_counter())
            return window.predict(
                prepared.data, self.network, self.recipe.patch, self.mirrors, run.stop_if_gone
            )

        with run.timed("prepare"):
            prepared = prepare(data, spacing_mm, self.recipe)
        submitted_at = time.perf_counter()
        logits, votes = self._thread.submit(predict).result()
        run.timings_s["network_wait"] = started_at[0] - submitted_at
        run.timings_s["network"] = time.perf_counter() - started_at[0]
        with run.timed("signals"):
            self._note_signals(logits, votes, run)
        with run.timed("restore"):
            return restore(logits, prepared, self.recipe)

    def _note_signals(self, logits: NDArray[np.float32], votes: Votes, run: ScanRun) -> None:
        # nnU-Net's own order is that of SimpleITK: z first.
        axes = self.recipe.backward[::-1]
        turned = logits.transpose(0, *(1 + axis for axis in axes))
        run.signals.append(signals_of(turned, votes.along(axes)))

    def close(self) -> None:
        """End the thread once it is idle."""
        self._thread.shutdown(wait=True)
