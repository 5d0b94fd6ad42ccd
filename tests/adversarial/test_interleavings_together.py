"""All acts at the same time in one process: on cases, on model versions, on trainings.

It has one database and one storage, which fails and stalls; it is killed anywhere. Afterwards
what holds for cases (`test_interleavings`) and for versions and jobs (`test_interleavings_models`)
holds for both, after a plain start and where the database is lost.
"""

from functools import cache, partial

import pytest

from tests.adversarial import test_interleavings as of_cases
from tests.adversarial import test_interleavings_models as of_models
from tests.adversarial.test_interleavings import few_ids as few_ids
from tests.adversarial.test_interleavings_models import interrupt, quick_folder
from tests.tiny_models import copied

RUNS, MANY, RUNS_A_TEST = 10, 1000, 10
KINDS = {
    "promote", "roll_back", "register", "submit", "cancel", "resume", "begin",
    "add", "correct", "review", "rename", "delete", "restore",
}  # fmt: skip
# The database lies in the data folder itself, as a server has it.
DATABASE = "."


@cache
def template():
    """The data folder that every run begins with, and the ids of its two cases."""
    folder = copied(of_models.template(), quick_folder() / "var")
    return folder, of_cases.begin(folder, DATABASE)


class Run(of_models.Run):
    """The models' run, and two threads at work on cases."""

    each = 2
    last_step = 240

    def workers(self):
        server = of_cases.Server(self.registry._engine, self.storage)
        shared = list(template()[1])
        work = partial(of_cases.work, server, self.journal, count=len(of_cases.ACTS), shared=shared)
        cases = [partial(work, seed=10 * self.seed + n, first=100 * (n + 1)) for n in range(2)]
        return [*super().workers(), *cases]


def check_runs(first, count):
    place, killed = quick_folder(), []
    source, ids = template()
    for seed in range(first, first + count):
        folder = copied(source, place / str(seed) / "var")
        was_killed, acts = interrupt(folder, Run, seed)
        killed.append(was_killed)
        if not was_killed:
            assert {act.kind for act in acts} == KINDS
        for _ in of_models.check(folder, acts):
            of_cases.check(folder, DATABASE, acts, ids)
    assert True in killed
    assert False in killed


@pytest.mark.parametrize("first", range(0, RUNS, RUNS_A_TEST))
def test_whatever_is_interrupted_all_agree(first, few_ids):
    check_runs(first, RUNS_A_TEST)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 1000 + MANY, 50))
def test_the_same_many_times(first, few_ids):
    check_runs(first, 50)
