"""The batches of a training on a CPU, prepared by one thread, reproducible by seed."""

import itertools
import queue
import random
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

Batch = dict[str, Any]
# Enough to smooth over a slow augmentation; a batch of crops takes a MiB.
_AHEAD = 4


class Batches:
    """The batches of one training, in the order in which it uses them.

    nnU-Net's own loader forks processes, which may inherit a lock that is never released
    (docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods), and seeds them
    anew each time. Here each epoch has a seed of its own, so that a resumed training sees the
    batches that it would have seen uninterrupted.

    Parameters
    ----------
    training, validation
        nnU-Net's loaders, without processes of their own.
    counts
        Batches per epoch from each.
    seed
        The seed of the whole training.
    first_epoch
        The epoch to begin with.
    """

    def __init__(
        self,
        training: Iterable[Batch],
        validation: Iterable[Batch],
        counts: tuple[int, int],
        seed: int,
        first_epoch: int,
    ) -> None:
        self._loaders = tuple(zip((iter(training), iter(validation)), counts, strict=True))
        self._seed, self._first_epoch = seed, first_epoch
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(_AHEAD)
        self._ended = threading.Event()
        self.waited_s = 0.0
        self._thread = threading.Thread(target=self._make, name="batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch, of the training or of the validation, as the epoch has them.

        ``waited_s`` is how long callers have waited for batches so far.
        """
        began = time.perf_counter()
        batch = self._ready.get()
        self.waited_s += time.perf_counter() - began
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        while self._thread.is_alive():
            while not self._ready.empty():
                self._ready.get_nowait()
            self._thread.join(0.01)

    def _make(self) -> None:
        try:
            for epoch in itertools.count(self._first_epoch):
                seed_all(self._seed, epoch)
                for loader, count in self._loaders:
                    for batch in itertools.islice(loader, count):
                        if self._ended.is_set():
                            return
                        self._ready.put(batch)
        except BaseException as error:  # noqa: BLE001 - it is raised where the batch is asked for
            self._ready.put(error)


def seed_all(*numbers: int) -> None:
    """Seed the generators that nnU-Net draws from: Python's, NumPy's and PyTorch's."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
