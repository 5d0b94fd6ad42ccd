"""Trainings as jobs: rows that outlive every process, and child processes that do the work.

The page writes a row; the server's supervisor calls `Jobs.tick`, which starts the oldest
queued job when none runs and finds those whose process died. The child tells how it goes
through `Work`. It belongs to no browser and no server: both may end while it goes on.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import psutil
from loguru import logger
from sqlalchemy import Connection, Engine, Row, func, select

from core import limits
from core.database import EPOCHS, JOBS, timestamp
from core.errors import ConflictError, NotFoundError
from core.settings import ROOT, variable_of

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]
RESUMABLE: tuple[JobState, ...] = ("failed", "cancelled", "lost")
_ACTIVE: tuple[JobState, ...] = ("queued", "running")
_LOG_TAIL_BYTES = 64 * 1024
_LOST = "Its process ended without a word: it was killed, or the machine was restarted."
_STALLED = "It stood still, or broke off at once, again and again. Its log says where."
# How a process ends that stood still; see `core.training.__main__`.
STALLED_EXIT = 1


@dataclass(frozen=True)
class Job:
    """One training, as the page shows it.

    Attributes
    ----------
    spec : dict
        What was asked for; `core.training.config.TrainingRequest` as a dict.
    phase : str
        What it is doing, in words.
    message : str
        Why it failed or was lost, in words.
    version : int or None
        The model version that came of it.
    """

    id: int
    state: JobState
    created_at: str
    started_at: str | None
    ended_at: str | None
    heartbeat_at: str | None
    spec: dict[str, Any]
    phase: str
    message: str
    version: int | None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in _ACTIVE

    @property
    def resumable(self) -> bool:
        """Whether it can go on from its last epoch."""
        return self.state in RESUMABLE


@dataclass(frozen=True)
class Epoch:
    """One finished epoch. The Dice is nnU-Net's pseudo-Dice, of patches, not of cases."""

    epoch: int
    at: str
    train_loss: float
    val_loss: float
    dice_anterior: float
    dice_posterior: float
    seconds: float


class Jobs:
    """The jobs of one installation.

    Parameters
    ----------
    engine
    data_dir
        Each job has a folder ``jobs/<id>`` there, with its log and its checkpoints.
    """

    def __init__(self, engine: Engine, data_dir: Path) -> None:
        self._engine = engine
        self._data_dir = data_dir
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def folder(self, job_id: int) -> Path:
        """Where a job keeps its log and its checkpoints."""
        return self._data_dir / "jobs" / str(job_id)

    def submit(self, spec: dict[str, Any]) -> Job:
        """Queue a training."""
        with self._engine.begin() as connection:
            result = connection.execute(
                JOBS.insert().values(
                    state="queued", created_at=timestamp(), spec=json.dumps(spec),
                    phase="Waiting for its turn",
                )
            )  # fmt: skip
            number = result.inserted_primary_key
            return _get(connection, int(number[0] if number else 0))

    def get(self, job_id: int) -> Job:
        """One job.

        Raises
        ------
        NotFoundError
        """
        with self._engine.begin() as connection:
            return _get(connection, job_id)

    def find(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(JOBS).order_by(JOBS.c.id.desc()))
            return [_job(row) for row in rows]

    def epochs(self, job_id: int) -> list[Epoch]:
        """The finished epochs of a job, in order."""
        columns = [EPOCHS.c[field] for field in Epoch.__dataclass_fields__]
        with self._engine.begin() as connection:
            rows = connection.execute(
                select(*columns).where(EPOCHS.c.job_id == job_id).order_by(EPOCHS.c.epoch)
            )
            return [Epoch(*row) for row in rows]

    def log(self, job_id: int) -> str:
        """The end of a job's log."""
        path = self.folder(self.get(job_id).id) / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")

    def cancel(self, job_id: int) -> None:
        """End a job now. All that it writes is whole, so its process is simply killed.

        Raises
        ------
        ConflictError
            It has ended already.
        NotFoundError
        """
        with self._engine.begin() as connection:
            job = _get(connection, job_id)
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one()
            if not job.active:
                raise ConflictError(f"Job {job_id} has ended already: {job.state}")
            _end(connection, job_id, "cancelled", "")
        _kill(row)
        logger.info("Job {} was cancelled", job_id)

    def resume(self, job_id: int) -> None:
        """Queue a job again; it goes on from its last checkpoint.

        Raises
        ------
        ConflictError
            It waits, runs, or has succeeded.
        NotFoundError
        """
        with self._engine.begin() as connection:
            job = _get(connection, job_id)
            if not job.resumable:
                raise ConflictError(f"Job {job_id} is {job.state}: there is nothing to resume")
            _set(connection, job_id, state="queued", message="", ended_at=None, pid=None,
                 restarts=0, phase="Waiting for its turn")  # fmt: skip
        logger.info("Job {} is queued again", job_id)

    def tick(self) -> None:
        """Find jobs whose process died, and start the next one if none runs."""
        stalled = set()
        for job_id, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[job_id]
                if child.returncode == STALLED_EXIT:
                    stalled.add(job_id)
        with self._engine.begin() as connection:
            running = connection.execute(select(JOBS).where(JOBS.c.state == "running")).all()
            lost = [row for row in running if _is_dead(row)]
            for row in lost:
                _lose(connection, row, stood_still=row.id in stalled)
            following = None
            if len(lost) == len(running):
                queued = select(func.min(JOBS.c.id)).where(JOBS.c.state == "queued")
                following = connection.scalar(queued)
            if following is not None:
                _set(connection, following, state="running", started_at=timestamp(),
                     heartbeat_at=timestamp(), host=socket.gethostname(), pid=None,
                     phase="Starting")  # fmt: skip
        for row in lost:
            _kill(row)  # silent for long, but perhaps not dead
        if following is not None:
            self._start(following)

    def _start(self, job_id: int) -> None:
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, variable_of("data_dir"): str(self._data_dir)}
        environment.pop(variable_of("admin_password"), None)
        with (folder / "log.txt").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
                [sys.executable, "-m", "core.training", str(job_id)],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._children[job_id] = child
        with self._engine.begin() as connection:
            _set(connection, job_id, pid=child.pid, pid_started=_start_of(child.pid))
        logger.info("Job {} was started", job_id)


class Work:
    """What the child process of a job says of it. Ends the process if the job is not its own.

    Parameters
    ----------
    engine
    job_id
    on_step
        Called at each step forward, however small; a sign of life is none.
    """

    def __init__(
        self, engine: Engine, job_id: int, on_step: Callable[[], None] = lambda: None
    ) -> None:
        self._engine = engine
        self.job_id = job_id
        self.on_step = on_step
        self.pid = os.getpid()

    def begin(self) -> None:
        """Say that this process works on the job."""
        with self._engine.begin() as connection:
            _set(connection, self.job_id, state="running", pid=self.pid,
                 pid_started=_start_of(self.pid), host=socket.gethostname(),
                 heartbeat_at=timestamp())  # fmt: skip

    def still_mine(self) -> bool:
        """Give a sign of life; false if the job was cancelled or another process has it."""
        return self._update(heartbeat_at=timestamp())

    def phase(self, words: str) -> None:
        """Say what is being done."""
        self.on_step()
        self._update(phase=words, heartbeat_at=timestamp())

    def epoch(self, checkpoint_sha256: str, **values: Any) -> None:
        """Record a finished epoch and its checkpoint, in place of an earlier try at it."""
        row = {"job_id": self.job_id, "at": timestamp(), "checkpoint_sha256": checkpoint_sha256}
        with self._engine.begin() as connection:
            connection.execute(
                EPOCHS.delete().where(
                    EPOCHS.c.job_id == self.job_id, EPOCHS.c.epoch >= values["epoch"]
                )
            )
            connection.execute(EPOCHS.insert().values(**row, **values))

    def checkpoints(self) -> set[str]:
        """The sha256 of every checkpoint that this job wrote."""
        with self._engine.begin() as connection:
            return set(
                connection.scalars(
                    select(EPOCHS.c.checkpoint_sha256).where(EPOCHS.c.job_id == self.job_id)
                )
            )

    def succeed(self, version: int) -> None:
        """The job has become a model version."""
        self._finish("succeeded", "", version=version)

    def fail(self, message: str) -> None:
        """The job failed, and why."""
        self._finish("failed", message)

    def _finish(self, state: JobState, message: str, **values: Any) -> None:
        self._update(state=state, message=message, ended_at=timestamp(), phase="", **values)

    def _update(self, **values: Any) -> bool:
        with self._engine.begin() as connection:
            result = connection.execute(
                JOBS.update()
                .where(JOBS.c.id == self.job_id, JOBS.c.state == "running", JOBS.c.pid == self.pid)
                .values(**values)
            )
        return bool(result.rowcount)


def _get(connection: Connection, job_id: int) -> Job:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such job", "See the Retrain page for those there are.")
    return _job(row)


def _job(row: Row[Any]) -> Job:
    fields = {name: getattr(row, name) for name in Job.__dataclass_fields__}
    return Job(**(fields | {"spec": json.loads(row.spec)}))


def _set(connection: Connection, job_id: int, **values: Any) -> None:
    connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**values))


def _end(connection: Connection, job_id: int, state: JobState, message: str) -> None:
    _set(connection, job_id, state=state, message=message, ended_at=timestamp(), phase="")


def _lose(connection: Connection, row: Row[Any], *, stood_still: bool) -> None:
    """Give up a running job whose process is gone, or queue it again if that stood still."""
    if stood_still and row.restarts < limits.MAX_RESTARTS:
        _set(connection, row.id, state="queued", pid=None, restarts=row.restarts + 1,
             phase="It stood still and waits to go on from its last epoch")  # fmt: skip
        logger.warning("Job {} stood still while {!r}: it is started again", row.id, row.phase)
        return
    message = _STALLED if stood_still else _LOST
    _end(connection, row.id, "lost", message)
    logger.warning("Job {} is lost: {}", row.id, message)


def _is_dead(row: Row[Any]) -> bool:
    silent = datetime.now(UTC) - datetime.fromisoformat(row.heartbeat_at)
    if silent > timedelta(seconds=limits.LOST_AFTER_S):
        return True
    return row.pid is not None and _is_here(row) and not _is_alive(row)


def _is_here(row: Row[Any]) -> bool:
    return bool(row.host == socket.gethostname())


def _is_alive(row: Row[Any]) -> bool:
    """Whether the job's own process runs; a later one with the same number does not count."""
    try:
        process = psutil.Process(row.pid)
        same = abs(process.create_time() - row.pid_started) < 1
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _start_of(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _kill(row: Row[Any]) -> None:
    """End the process group of a job, if it is on this machine."""
    if row.pid is None or not _is_here(row) or not _is_alive(row):
        return
    try:
        os.killpg(row.pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended just now
        return
