"""Rows of the jobs table: how pages see them, and the only ways to change them."""

import json
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from core.errors import NotFoundError
from core.people.audit import record
from core.state.database import timestamp
from core.state.processes import this_process
from core.state.tables import JOBS

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]
RESUMABLE: tuple[JobState, ...] = ("failed", "cancelled", "lost")
_ACTIVE: tuple[JobState, ...] = ("queued", "running")


@dataclass(frozen=True)
class Job:
    """One training, as the page shows it.

    Attributes
    ----------
    id : int
        For people. Ids begin at 1 again when the database is lost.
    uid : str
        Unique for all time.
    spec : dict
        The request: `core.training.config.TrainingRequest` as a dict.
    phase : str
        What it is doing now, in words.
    message : str
        Why it failed or was lost, in words.
    version : int or None
        The model version that it produced.
    rule, reason : str
        Which rule asked for it and why, in words (`core.training.rules`); empty where a person
        did.
    host, worker : str
        The machine that it runs on, or ran on last; and the worker (`core.training.worker`), empty
        for a child of a server.
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
    rule: str
    reason: str
    host: str | None = None
    worker: str = ""

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.state in _ACTIVE

    @property
    def resumable(self) -> bool:
        """Whether it can be resumed from its last epoch."""
        return self.state in RESUMABLE


@dataclass(frozen=True)
class Epoch:
    """One finished epoch. The Dice is nnU-Net's pseudo-Dice, over patches instead of cases."""

    epoch: int
    at: str
    train_loss: float
    val_loss: float
    dice_anterior: float
    dice_posterior: float
    seconds: float


def queue(connection: Connection, spec: dict[str, Any], rule: str = "", reason: str = "") -> Job:
    """Insert a job, in a `core.people.audit.recording`; see `Job` for ``rule`` and ``reason``."""
    result = connection.execute(
        JOBS.insert().values(
            uid=uuid.uuid4().hex, state="queued", created_at=timestamp(), spec=json.dumps(spec),
            phase="Waiting for its turn", rule=rule, reason=reason,
        )
    )  # fmt: skip
    number = result.inserted_primary_key
    job = get(connection, int(number[0] if number else 0))
    record(
        connection,
        "training",
        f"job {job.id}",
        note=f"queued by rule: {rule}" if rule else "queued",
    )
    return job


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
    """An update of a job that applies only while this start of it is running."""
    return JOBS.update().where(
        JOBS.c.id == job_id, JOBS.c.state == "running", JOBS.c.attempt == attempt
    )


def change(connection: Connection, row: Row[Any], **values: Any) -> bool:
    """Change a job, if state and attempt are still as in the row; returns whether it changed."""
    unchanged = JOBS.update().where(
        JOBS.c.id == row.id, JOBS.c.state == row.state, JOBS.c.attempt == row.attempt
    )
    return bool(connection.execute(unchanged.values(**values)).rowcount)


def end(connection: Connection, row: Row[Any], state: JobState, message: str) -> bool:
    """End a job, if state and attempt are still as in the row; returns whether it ended."""
    return change(connection, row, state=state, message=message, ended_at=timestamp(), phase="")


def run(connection: Connection, row: Row[Any], worker: str = "") -> bool:
    """Mark a queued job as started by this machine, with the next attempt number.

    Parameters
    ----------
    worker
        Which worker takes it (`core.training.worker`); empty for a child of a server.
    """
    process = {"host": this_process()["host"], "pid": None, "pid_started": None}
    return change(
        connection, row, state="running", attempt=row.attempt + 1, phase="Starting", worker=worker,
        started_at=timestamp(), heartbeat_at=timestamp(), **process,
    )  # fmt: skip
