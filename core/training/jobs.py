"""Trainings as jobs: rows that outlive every process, and child processes that do the work.

The page inserts a row; the server's supervisor calls `Jobs.tick`, which starts the oldest queued
job when none is running and detects jobs whose process died. The child process reports through
`core.training.work.Work`. It depends on no browser and no server: both may end while it goes on.

Each change of a state requires the state and the attempt that it started from, and changes nothing
if someone else was faster. So a cancelled job stays cancelled until a person resumes it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine, Row, func, select

from core import limits
from core.errors import ConflictError
from core.people.audit import record, recording
from core.people.permission import Guard
from core.settings import ROOT, variable_of
from core.state.database import reading, timestamp
from core.state.processes import is_alive, is_here, started_s, this_process
from core.state.tables import EPOCHS, JOBS
from core.training import job_folders, job_logs, job_rows
from core.training.job_rows import Epoch, Job, JobState
from core.training.leases import Leases, Signs
from core.training.work import Work

__all__ = ["Epoch", "Job", "JobState", "Jobs", "Work"]

_LOST = "Its process ended without a word: it was killed, or the machine was restarted."
_NOT_STARTED = "Its process could not be started. The server's log says why."
_STALLED = "It stood still, or broke off at once, again and again. Its log says where."
# Exit status of a process that stood still; see `core.training.__main__`.
STALLED_EXIT = 1
# Those that run as a child of a server, and not of a worker.
_OWN = (JOBS.c.state == "running") & (JOBS.c.worker == "")


class Jobs:
    """The jobs of one installation.

    Parameters
    ----------
    engine
    data_dir
        Each job has a folder ``jobs/<uid>`` there, with its log and its checkpoints.
    clock
        A monotonic clock, in seconds.
    lease_s
        Seconds of silence after which a job is taken from its worker.
    trains
        Whether `tick` starts jobs here. Else workers take them (`core.training.worker`).
    """

    def __init__(
        self,
        engine: Engine,
        data_dir: Path,
        clock: Callable[[], float] = time.monotonic,
        lease_s: float = limits.LOST_AFTER_S,
        *,
        trains: bool = True,
    ) -> None:
        self._engine = engine
        self._guard = Guard(engine)
        self._data_dir = data_dir
        self._children: dict[tuple[int, int], subprocess.Popen[bytes]] = {}
        self._signs = Signs(clock, limits.LOST_AFTER_S)
        self._leases = Leases(engine, lease_s, clock)
        self._trains = trains

    def folder(self, job_id: int) -> Path:
        """The folder of a job's log and checkpoints, which no other job ever had.

        Raises
        ------
        NotFoundError
        """
        return self._data_dir / job_folders.FOLDER / self.get(job_id).uid

    def submit(self, spec: dict[str, Any]) -> Job:
        """Queue a training."""
        self._guard.require("train")
        with recording(self._engine) as connection:
            return job_rows.queue(connection, spec)

    def get(self, job_id: int) -> Job:
        """One job.

        Raises
        ------
        NotFoundError
        """
        with reading(self._engine) as connection:
            return job_rows.get(connection, job_id)

    def find(self) -> list[Job]:
        """All jobs, the newest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(JOBS).order_by(JOBS.c.id.desc()))
            return [job_rows.as_job(row) for row in rows]

    def epochs(self, job_id: int) -> list[Epoch]:
        """The finished epochs of a job, in order."""
        columns = [EPOCHS.c[field] for field in Epoch.__dataclass_fields__]
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(*columns).where(EPOCHS.c.job_id == job_id).order_by(EPOCHS.c.epoch)
            )
            return [Epoch(*row) for row in rows]

    def log(self, job_id: int) -> str:
        """The end of a job's log, whichever machine it runs on."""
        job = self.get(job_id)
        is_own = not job.worker and job.host in (None, this_process()["host"])
        file = self.folder(job_id) / job_logs.LOG_NAME
        now = job_logs.tail(file) if is_own else ""
        return now or job_logs.read(self._engine, job_id)

    def cancel(self, job_id: int) -> None:
        """End a job now: its process is killed, since all of its writes are atomic.

        Raises
        ------
        ConflictError
            It has ended already.
        NotFoundError
        """
        self._guard.require("train")
        with recording(self._engine) as connection:
            job = job_rows.get(connection, job_id)
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one()
            if not job.active or not job_rows.end(connection, row, "cancelled", ""):
                raise ConflictError(f"Job {job_id} has ended already: {job.state}")
            record(connection, "training", f"job {job_id}", note="cancelled")
        # Without a pid yet its process is being started: `_start` ends it, or it ends itself.
        _kill(row)
        logger.info("Job {} was cancelled", job_id)

    def resume(self, job_id: int) -> None:
        """Queue a job again; it goes on from its last checkpoint.

        Raises
        ------
        ConflictError
            It is queued or running, or has succeeded.
        NotFoundError
        """
        self._guard.require("train")
        with recording(self._engine, needed=False) as connection:
            job = job_rows.get(connection, job_id)
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one()
            queued = job.resumable and job_rows.change(
                connection, row, state="queued", message="", ended_at=None, pid=None, restarts=0,
                phase="Waiting for its turn",
            )  # fmt: skip
            if queued:
                record(connection, "training", f"job {job_id}", note="resumed")
        if not queued:
            raise ConflictError(f"Job {job_id} is {job.state}: there is nothing to resume")
        logger.info("Job {} is queued again", job_id)

    def tick(self) -> None:
        """Detect jobs whose process died, and start the next one if none is running."""
        self._leases.tick()
        stalled = self._stalled()
        with reading(self._engine) as connection:
            running = connection.execute(select(JOBS).where(_OWN)).all()
            waiting = self._trains and connection.scalar(
                select(JOBS.c.id).where(JOBS.c.state == "queued").limit(1)
            )
        silent = self._signs.silent(running)
        dead = [row for row in running if row.id in silent or _is_dead(row)]
        if not dead and (running or not waiting):
            return  # nothing to write: do not block other writers
        # If the whole machine was suspended, a training's watchdog takes that for standing still.
        # Then it is restarted from its last epoch without counting against its restarts.
        halted = self._signs.halted
        with self._engine.begin() as connection:
            lost = [
                row for row in dead
                if _lose(connection, row, (row.id, row.attempt) in stalled, halted)
            ]  # fmt: skip
            following = _next(connection) if self._trains else None
        for row in lost:
            _kill(row)  # silent for long, but perhaps not dead
        if following is not None:
            self._start(following.id, following.attempt)

    def _stalled(self) -> set[tuple[int, int]]:
        """Starts whose process ended because it stood still."""
        stalled = set()
        for start, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[start]
                if child.returncode == STALLED_EXIT:
                    stalled.add(start)
        return stalled

    def _start(self, job_id: int, attempt: int) -> None:
        try:
            child = self._process(job_id, attempt)
        except OSError as error:  # no memory, no room on the disk
            logger.opt(exception=error).error("The process of job {} could not be started", job_id)
            with self._engine.begin() as connection:
                connection.execute(
                    job_rows.running_at(job_id, attempt).values(
                        state="failed", message=_NOT_STARTED, ended_at=timestamp(), phase=""
                    )
                )
            return
        self._children[job_id, attempt] = child
        started = {"pid": child.pid, "pid_started": started_s(child.pid)}
        with self._engine.begin() as connection:
            still = connection.execute(
                job_rows.running_at(job_id, attempt).values(**started)
            ).rowcount
        if not still:  # it was cancelled while the process came to life
            _end_group(child.pid)
            return
        logger.info("Job {} was started", job_id)

    def _process(self, job_id: int, attempt: int) -> "subprocess.Popen[bytes]":
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, variable_of("data_dir"): str(self._data_dir)}
        environment.pop(variable_of("admin_password"), None)
        with (folder / job_logs.LOG_NAME).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
                [sys.executable, "-m", "core.training", str(job_id), str(attempt)],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip


def _next(connection: Connection) -> Row[Any] | None:
    """Mark the oldest queued job as running, if none of a server is; returns its row."""
    if connection.scalar(select(func.count()).where(_OWN)):
        return None
    queued = select(JOBS).where(JOBS.c.state == "queued").order_by(JOBS.c.id).limit(1)
    row = connection.execute(queued).one_or_none()
    if row is None or not job_rows.run(connection, row):
        return None
    return connection.execute(select(JOBS).where(JOBS.c.id == row.id)).one()


def _lose(connection: Connection, row: Row[Any], stood_still: bool, halted: bool) -> bool:
    """Declare a job lost whose process is gone, or queue it again if that stood still."""
    restarts = row.restarts + (not halted)
    if stood_still and restarts <= limits.MAX_RESTARTS:
        logger.warning("Job {} stood still while {!r}: it is started again", row.id, row.phase)
        return job_rows.change(
            connection, row, state="queued", pid=None, restarts=restarts,
            phase="It stood still and waits to go on from its last epoch",
        )  # fmt: skip
    message = _STALLED if stood_still else _LOST
    logger.warning("Job {} is lost: {}", row.id, message)
    return job_rows.end(connection, row, "lost", message)


def _is_dead(row: Row[Any]) -> bool:
    return row.pid is not None and is_here(row) and not is_alive(row)


def _kill(row: Row[Any]) -> None:
    """End the process group of a job, if it is on this machine."""
    if row.pid is not None and is_here(row) and is_alive(row):
        _end_group(row.pid)


def _end_group(pid: int) -> None:
    if pid == os.getpgrp():  # a child has a group of its own
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended just now
        return
