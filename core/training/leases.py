"""Which process may train a job: taken by one, kept by heartbeats, lost by silence.

A start of a job (`JOBS.c.attempt`) is what fences: every process that works on a job names its
start in each change, and one that lost the job changes nothing more. Silence is measured by whoever
looks, between two looks of its own, never by comparing the clocks of two machines.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine, Row, select

from core import limits
from core.state.database import reading, timestamp
from core.state.tables import JOBS
from core.state.worker_tables import WORKERS
from core.training import job_rows

_GIVEN_UP = (
    "It was begun {} times in a row and ended each time before an epoch was done: its workers were "
    "killed, or had no memory. Its log says how far it came."
)


def claim(engine: Engine, worker: str, job_id: int | None = None) -> Row[Any] | None:
    """Take the oldest queued job, or one of them; returns its row, None if there is none.

    Of several that ask at once each gets a job of its own: a job is taken only as it was seen.
    """
    queued = select(JOBS).where(JOBS.c.state == "queued").order_by(JOBS.c.id)
    if job_id is not None:
        queued = queued.where(JOBS.c.id == job_id)
    with reading(engine) as connection:  # most looks find nothing: they hold up no writer
        candidates = connection.execute(queued).all()
    for row in candidates:
        with engine.begin() as connection:
            if job_rows.run(connection, row, worker):
                taken = connection.execute(select(JOBS).where(JOBS.c.id == row.id)).one()
                logger.info("Job {} was taken", row.id)
                return taken
    return None


class Signs:
    """Heartbeats of running jobs, as one process observes them.

    Heartbeats are compared with each other, never with the time of day. A long gap between two
    looks counts as a short one: a machine that slept did so for the job as well.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    patience_s
        Seconds without a heartbeat after which a job is silent.
    """

    def __init__(self, clock: Callable[[], float], patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._looked_at = clock()
        self._halted_at = float("-inf")
        # By start: the last heartbeat, and for how many seconds it has been the last.
        self._signs: dict[tuple[int, int], tuple[str, float]] = {}

    def silent(self, running: Sequence[Row[Any]]) -> set[int]:
        """Ids of the jobs that sent no heartbeat for too long."""
        now = self._clock()
        if now - self._looked_at > limits.STALLED_AFTER_S / 2:
            self._halted_at = now
        gap_s = min(max(0.0, now - self._looked_at), limits.HEARTBEAT_S)
        self._looked_at = now
        before, self._signs = self._signs, {}
        for row in running:
            sign, silent_s = before.get((row.id, row.attempt), (None, 0.0))
            silent_s = silent_s + gap_s if sign == row.heartbeat_at else 0.0
            self._signs[row.id, row.attempt] = row.heartbeat_at, silent_s
        return {
            job_id for (job_id, _), (_, silent_s) in self._signs.items()
            if silent_s > self._patience_s
        }  # fmt: skip

    @property
    def halted(self) -> bool:
        """Whether this machine stood still until just now, and perhaps all of them."""
        return self._clock() - self._halted_at < limits.LOST_AFTER_S


class Leases:
    """Takes jobs back from workers that have gone silent; every server and worker does so."""

    def __init__(
        self, engine: Engine, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._signs = Signs(clock, lease_s)

    def tick(self) -> None:
        """Look once; to be called every second or so."""
        of_workers = select(JOBS).where(JOBS.c.state == "running", JOBS.c.worker != "")
        with reading(self._engine) as connection:
            running = connection.execute(of_workers).all()
        silent = self._signs.silent(running)
        if not silent:
            return
        with self._engine.begin() as connection:
            for row in running:
                if row.id in silent:
                    take_back(connection, row, "Its worker went silent", self._signs.halted)


def take_back(connection: Connection, row: Row[Any], why: str, blameless: bool = False) -> bool:
    """Queue a job again whose worker is gone, or give it up; False if someone else was faster.

    Parameters
    ----------
    blameless
        Whether this start does not count: the whole machine was suspended.
    """
    restarts = row.restarts + (not blameless)
    if restarts > limits.MAX_TAKEOVERS:
        logger.warning("Job {} is lost: {} starts without an epoch", row.id, restarts)
        return job_rows.end(connection, row, "lost", _GIVEN_UP.format(restarts))
    logger.warning("Job {} is queued again: {}", row.id, why)
    return job_rows.change(
        connection, row, state="queued", pid=None, worker="", restarts=restarts,
        phase=f"{why}; waits for another, which goes on after its last epoch",
    )  # fmt: skip


def alive(engine: Engine, lease_s: float) -> list[Row[Any]]:
    """The workers that gave a sign just now, by the clocks of their machines; for words only."""
    since = timestamp(-(lease_s + limits.HEARTBEAT_S))
    query = select(WORKERS).where(WORKERS.c.seen_at > since).order_by(WORKERS.c.started_at)
    with reading(engine) as connection:
        return list(connection.execute(query).all())
