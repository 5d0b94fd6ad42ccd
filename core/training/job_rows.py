"""Rows of the jobs table: what a page sees of one, and the only ways to change one."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from core.errors import NotFoundError
from core.state.database import JOBS, timestamp
from core.state.processes import this_process

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]
RESUMABLE: tuple[JobState, ...] = ("failed", "cancelled", "lost")
_ACTIVE: tuple[JobState, ...] = ("queued", "running")


@dataclass(frozen=True)
class Job:
    """One training, as the page shows it.

    Attributes
    ----------
    id : int
        For people. They begin at 1 again when the database is lost.
    uid : str
        Its name for all time.
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
    uid: str
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


def get(connection: Connection, job_id: int) -> Job:
    """One job; a `NotFoundError` if there is none."""
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such job", "See the Retrain page for those there are.")
    return as_job(row)


def as_job(row: Row[Any]) -> Job:
    """A row as a page sees it."""
    fields = {name: getattr(row, name) for name in Job.__dataclass_fields__}
    return Job(**(fields | {"spec": json.loads(row.spec)}))


def running_at(job_id: int, attempt: int) -> Any:
    """A change of a job that takes place only while this start of it runs."""
    return JOBS.update().where(
        JOBS.c.id == job_id, JOBS.c.state == "running", JOBS.c.attempt == attempt
    )


def change(connection: Connection, row: Row[Any], **values: Any) -> bool:
    """Change a job, if it is still as the row says; false if someone was faster."""
    unchanged = JOBS.update().where(
        JOBS.c.id == row.id, JOBS.c.state == row.state, JOBS.c.attempt == row.attempt
    )
    return bool(connection.execute(unchanged.values(**values)).rowcount)


def end(connection: Connection, row: Row[Any], state: JobState, message: str) -> bool:
    """End a job, if it is still as the row says."""
    return change(connection, row, state=state, message=message, ended_at=timestamp(), phase="")


def run(connection: Connection, row: Row[Any]) -> bool:
    """Say of a job that waits that it is being started once more, from this machine."""
    process = {"host": this_process()["host"], "pid": None, "pid_started": None}
    return change(connection, row, state="running", attempt=row.attempt + 1, phase="Starting",
                   started_at=timestamp(), heartbeat_at=timestamp(), **process)  # fmt: skip
