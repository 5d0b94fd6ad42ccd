import itertools
import random
import threading

import numpy as np
import pytest
import torch

from core.training.batches import Batches


def loader(name):
    """Draws from all three generators, as nnU-Net's augmentation does."""
    while True:
        drawn = (random.random(), float(np.random.rand()), float(torch.rand(1)))  # noqa: S311
        yield {"from": name, "drawn": drawn}


def taken(count, seed=0, first_epoch=0):
    batches = Batches(loader("train"), loader("validation"), (3, 2), seed, first_epoch)
    try:
        return list(itertools.islice(batches, count))
    finally:
        batches.close()


def test_they_come_in_the_order_of_the_epochs():
    order = [batch["from"] for batch in taken(10)]
    assert order == 2 * (["train"] * 3 + ["validation"] * 2)


def test_the_same_seed_gives_the_same_and_another_gives_others():
    assert taken(10) == taken(10)
    assert taken(10) != taken(10, seed=1)


def test_a_training_that_is_resumed_sees_what_it_would_have_seen():
    assert taken(5, first_epoch=1) == taken(10)[5:]


def test_an_error_in_the_thread_is_raised_where_the_batch_is_asked_for():
    def broken():
        yield {"from": "train"}
        raise ValueError("no such case")

    batches = Batches(broken(), loader("validation"), (3, 2), 0, 0)
    next(batches)
    with pytest.raises(ValueError, match="no such case"):
        next(batches)
    batches.close()


def test_closing_ends_the_thread_even_if_nobody_takes_its_batches():
    before = threading.active_count()
    batches = Batches(loader("train"), loader("validation"), (3, 2), 0, 0)
    next(batches)
    batches.close()
    assert threading.active_count() == before
