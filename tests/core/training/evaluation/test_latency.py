"""Two versions timed in turn."""

from contextlib import nullcontext

from core import limits
from core.training.evaluation.latency import medians_in_turn


class Timed:
    """In the place of a predictor: takes a second, or two, of a clock of its own."""

    def __init__(self, name, seconds, clock, order):
        self._name, self._seconds, self._clock, self._order = name, seconds, clock, order

    def slot(self):
        return nullcontext()

    def segment(self, scan):
        self._order.append((self._name, scan))
        self._clock.now += self._seconds + self._clock.step * len(self._order)


class Clock:
    now = 0.0
    step = 0.0

    def __call__(self):
        return self.now


def test_each_scan_is_taken_by_both_and_either_is_first():
    clock, order = Clock(), []
    new, old = Timed("new", 2, clock, order), Timed("old", 1, clock, order)
    assert medians_in_turn(new, old, ["a", "b", "c"], clock) == (2, 1)
    assert len(order) == 2 * 3 * limits.LATENCY_ROUNDS
    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert all(first[1] == second[1] and first[0] != second[0] for first, second in pairs)
    firsts = [first[0] for first, _ in pairs]
    assert abs(firsts.count("new") - firsts.count("old")) <= 1


def test_a_machine_that_becomes_busy_slows_both():
    clock, order = Clock(), []
    new, old = Timed("new", 1, clock, order), Timed("old", 1, clock, order)
    clock.step = 0.1  # each scan takes longer than the one before
    own, other = medians_in_turn(new, old, ["a", "b", "c", "d"], clock)
    assert abs(own / other - 1) < 0.1
