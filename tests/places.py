"""An installation that a test breaks and starts again: three tiny versions, one of which serves."""

import atexit
import shutil
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

from core.state.storage import LocalStorage
from tests.ends import Steps, fail
from tests.faulty import FaultyStorage
from tests.tiny_models import (
    TinyPredictors,
    add,
    copied,
    lose_database,
    tiny_registry,
    truth_of,
)


def nothing(call, key, when):
    """The storage does as it is told."""


class Place:
    """An installation with three versions, of which the first serves."""

    def __init__(self, folder, action="promote"):
        self.folder = folder
        copied(made(action), folder)
        self.start_again()

    def act(self, action, number):
        change = partial(getattr(self.registry, action), number)
        self.predictors.swap(partial(self.registry.open, number), change)

    def follow(self):
        self.registry.settle()
        self.predictors.follow(lambda: self.registry.serving().number, self.registry.open)

    def truth(self):
        return truth_of(self.registry, self.predictors, self.storage)

    def start_again(self, *, lost=False):
        """As after a kill; ``lost``: the disk is new, the bucket is not."""
        if lost:
            lose_database(self.folder)
        self.storage = FaultyStorage(LocalStorage(self.folder / "storage"), nothing)
        self.registry = tiny_registry(self.folder, self.storage)
        self.predictors = TinyPredictors(self.registry)
        self.predictors.load(before=self.registry.prepare)
        self.predictors.check()


@cache
def made(action):
    """The data folder of an installation in which this can be done; to be copied only."""
    folder = Path(mkdtemp(prefix="hippoview-test-")) / "var"
    atexit.register(shutil.rmtree, folder.parent)
    registry = tiny_registry(folder)
    registry.prepare()
    for tag in ("second", "third"):
        add(registry, tag)
    if action == "roll_back":
        registry.promote(2)
    registry._engine.dispose()
    return folder


def steps_of(place, work):
    """How many steps a piece of work takes of the storage."""
    counted = Steps(0, fail)
    place.storage.hook = counted
    work()
    return counted.count
