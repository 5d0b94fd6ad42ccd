"""Two versions timed in turn, on a quiet machine and on a busy one."""

from contextlib import nullcontext

import numpy as np
import pytest

from core import limits
from core.training.evaluation.latency import shortest_in_turn

SCANS = ["a", "b", "c", "d", "e", "f"]


class Machine:
    """A clock, and what else the machine does: it makes a scan take longer, never shorter."""

    def __init__(self, load=lambda: 1.0):
        self.now, self.order, self._load = 0.0, [], load

    def __call__(self):
        return self.now

    def work(self, name, scan, seconds):
        self.order.append((name, scan))
        self.now += seconds * self._load()


class Timed:
    """In the place of a predictor: takes so many seconds of a quiet machine."""

    def __init__(self, name, seconds, machine):
        self._name, self._seconds, self._machine = name, seconds, machine

    def slot(self):
        return nullcontext()

    def segment(self, scan):
        self._machine.work(self._name, scan, self._seconds)


def ratio(machine, new_s, old_s=1.0):
    new, old = Timed("new", new_s, machine), Timed("old", old_s, machine)
    own, other = shortest_in_turn(new, old, SCANS, machine)
    return own / other


def spiky(random):
    """Seven scans of ten share the processor, for as long as it happens to be."""
    return lambda: 1 + (random.exponential(1.0) if random.random() < 0.7 else 0.0)


def never_alone(random):
    """Every scan has company."""
    return lambda: 1 + random.exponential(0.6)


def in_slices(random):
    """The scheduler takes the processor away for slices of a tenth of a scan."""
    return lambda: 1 + 0.1 * random.poisson(1.0)


def test_each_scan_is_taken_by_both_and_either_is_first():
    machine = Machine()
    assert ratio(machine, 2.0) == 2.0
    pairs = list(zip(machine.order[::2], machine.order[1::2], strict=True))
    assert all(first[1] == second[1] and first[0] != second[0] for first, second in pairs)
    for scan in SCANS:
        firsts = [first[0] for first, _ in pairs if first[1] == scan]
        assert abs(firsts.count("new") - firsts.count("old")) <= 1


def test_a_quiet_machine_needs_few_rounds_and_a_busy_one_more():
    quiet, busy = Machine(), Machine(never_alone(np.random.default_rng(0)))
    ratio(quiet, 1.0)
    ratio(busy, 1.0)
    a_round = 2 * len(SCANS)
    assert len(quiet.order) == (1 + limits.LATENCY_CALM_ROUNDS) * a_round
    assert len(quiet.order) < len(busy.order) <= limits.LATENCY_ROUNDS * a_round


@pytest.mark.parametrize("load", [spiky, never_alone, in_slices])
def test_on_a_busy_machine_an_equal_version_passes_and_a_slower_one_does_not(load):
    for seed in range(40):
        random = np.random.default_rng(seed)
        assert ratio(Machine(load(random)), 1.0) <= limits.GATE_TIMES, seed
        assert ratio(Machine(load(random)), 1.4) > limits.GATE_TIMES, seed


def test_a_machine_that_becomes_busy_slows_both():
    times = iter(np.linspace(1, 5, 10_000))
    assert abs(ratio(Machine(lambda: next(times)), 1.0) - 1) < 0.1


@pytest.mark.parametrize("scans", [["a"], ["a", "b"]])
def test_few_scans_are_timed_as_well(scans):
    machine = Machine()
    new, old = Timed("new", 3.0, machine), Timed("old", 2.0, machine)
    assert shortest_in_turn(new, old, scans, machine) == (3.0, 2.0)
