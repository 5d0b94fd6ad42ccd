"""Cases over one storage that fails where a test says, and any number of databases."""

from datetime import UTC, datetime

from core.cases.caretaker import Caretaker
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.faulty import FaultyStorage, outage


class Clock:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


class Seconds:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class House:
    """Cases over one storage that fails where a test says, and any number of databases."""

    def __init__(self, folder):
        self.folder = folder
        self.inner = LocalStorage(folder / "storage")
        self.storage = FaultyStorage(self.inner, self._hook)
        self.failing = lambda call, key, when: False
        self.calls = []
        self.clock = Clock()
        self.cases, self.corrections = self.opened()

    def _hook(self, call, key, when):
        if when == "before":
            self.calls.append((call, key))
        if self.failing(call, key, when):
            raise outage()

    def opened(self, database="db"):
        engine = connect(self.folder / database)
        cases = Cases(engine, self.storage, self.clock)
        return cases, Corrections(engine, self.storage, cases, self.clock)

    def files(self, case_id):
        return {key: self.inner.read(key) for key in self.inner.keys(f"cases/{case_id}")}

    def watched(self):
        """A caretaker as the server's thread has one, with the clock that it goes by."""
        seconds = Seconds()
        self.cases.caretaker = Caretaker(self.cases.acts, self.clock, seconds)
        return self.cases.caretaker, seconds
