"""Many at once, a storage that fails or stalls, a process that is killed: what tests of it share.

A test brings its acts and what must be true afterwards; here are the storage's hook, which may
kill the process, the journal of what was begun and what was acknowledged, the threads, and the
rule for values of which the last one holds. The child to be killed is `tests.ends.in_child`.
"""

import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from core.errors import HippoViewError, StorageError
from tests.faulty import outage

KILLED = -signal.SIGKILL
_STALL_S = 0.003


class Chaos:
    """A hook for `tests.faulty.FaultyStorage` and for databases: fails, stalls and kills at random.

    Parameters
    ----------
    seed
    fail, stall
        Share of the calls that fail (before or after they were done) and that wait a moment.
    kill_at
        The number of the step (of calls, and of begun, committed and ended transactions) at which
        this process ends, as by the kernel; None: never.
    """

    def __init__(
        self, seed: int, fail: float = 0.0, stall: float = 0.0, kill_at: int | None = None
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._lock = threading.Lock()
        self._fail = fail
        self._stall = stall
        self._kill_at = kill_at
        self._steps = 0

    def __call__(self, call: str, key: str, when: str) -> None:
        self._step()
        with self._lock:
            chance = self._random.random()
        if chance < self._fail:
            raise outage()
        if chance < self._fail + self._stall:
            time.sleep(_STALL_S)  # a slow network, not a wait for anybody

    def watch(self, engine: Engine) -> None:
        """Count the steps of a database too."""
        for name in ("begin", "commit"):
            event.listen(engine, name, lambda connection: self._step())
        event.listen(engine.pool, "checkin", lambda *_: self._step())  # after the commit

    def calm(self) -> None:
        """From now on nothing fails."""
        self._fail = self._stall = 0.0
        self._kill_at = None

    def _step(self) -> None:
        with self._lock:
            self._steps += 1
            if self._steps == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Act:
    """One act: what it would do to what, and how it ended.

    Attributes
    ----------
    state : str
        ``begun`` (killed in it), ``done`` (acknowledged), ``unknown`` (the storage failed: it may
        have happened) or ``refused`` (nothing has changed).
    start, end : int
        Places in the order of all beginnings and ends.
    """

    kind: str
    subject: str
    value: Any
    start: int
    end: int = 1_000_000_000
    state: str = "begun"
    result: Any = None


class Journal:
    """Every act with its end, in a file that outlives the process."""

    def __init__(self, path: Path, first: int = 1) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._time = itertools.count(first)

    def close(self) -> None:
        os.close(self._handle)

    @contextmanager
    def act(self, kind: str, subject: str, value: Any) -> Iterator[Act]:
        """Note an act; what it raises in words ends here."""
        act = Act(kind, subject, value, next(self._time))
        self._note(act)
        try:
            yield act
        except StorageError:
            act.state = "unknown"
        except HippoViewError:
            act.state = "refused"
        else:
            act.state = "done"
        act.end = next(self._time)
        self._note(act)

    def _note(self, act: Act) -> None:
        os.write(self._handle, (json.dumps(asdict(act)) + "\n").encode())


def acts_of(path: Path) -> list[Act]:
    """The acts of a journal, each as it was noted last."""
    acts = {}
    for line in path.read_text().splitlines():
        act = Act(**json.loads(line))
        acts[act.start] = act
    return list(acts.values())


def at_once(workers: Sequence[Callable[[], None]]) -> None:
    """Run all at the same time; what one raises, this raises."""
    failures: list[BaseException] = []
    together = threading.Barrier(len(workers))

    def run(worker: Callable[[], None]) -> None:
        together.wait()
        try:
            worker()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


def check_last(value: Any, acts: Iterable[Act], first: Any = None) -> None:
    """Whether a value of which the last one holds may be what it is.

    Somebody must have set it, and nobody may have been told that he set another one afterwards.

    Parameters
    ----------
    value
    acts
        Those that set it, whose `Act.value` is what they set it to.
    first
        What it was before them.
    """
    acts = [act for act in acts if act.state != "refused"]
    ends = [act.end for act in acts if act.value == value]
    if value == first:
        ends.append(0)
    assert ends, f"nobody set {value!r}"
    later = [
        act for act in acts if act.state == "done" and act.value != value and act.start > max(ends)
    ]
    assert not later, f"{later[0]} was acknowledged, and {value!r} holds"
