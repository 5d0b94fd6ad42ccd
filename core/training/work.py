"""`Work`: what the process of a training says of it, as long as the training is its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import Engine, select

from core.errors import ConflictError, StorageError
from core.state.database import reading, timestamp
from core.state.processes import this_process
from core.state.tables import EPOCHS, JOBS
from core.training import job_logs, job_rows
from core.training.job_rows import JobState
from core.training.kept import Kept


class Work:
    """Through which a job's child process reports, as long as the job is its own.

    Parameters
    ----------
    engine
    job_id
    on_step
        Called at each step of progress, however small; heartbeats do not count.
    attempt
        The number of this start of the job. None: `begin` starts the job, if it is queued.
    """

    def __init__(
        self,
        engine: Engine,
        job_id: int,
        on_step: Callable[[], None] = lambda: None,
        attempt: int | None = None,
    ) -> None:
        self._engine = engine
        self.job_id = job_id
        self.on_step = on_step
        self.attempt = attempt
        # What is kept of the training in the storage, once that is open.
        self.kept: Kept | None = None
        self._logged = ""

    @property
    def uid(self) -> str:
        """The job's unique name."""
        with reading(self._engine) as connection:
            return job_rows.get(connection, self.job_id).uid

    def begin(self) -> bool:
        """Take over the job for this process; returns False if the process must end instead.

        Then the job was cancelled, declared lost or started again in the meantime.
        """
        if self.attempt is None:
            with self._engine.begin() as connection:
                row = connection.execute(select(JOBS).where(JOBS.c.id == self.job_id)).one()
                if row.state != "queued" or not job_rows.run(connection, row):
                    return False
                self.attempt = row.attempt + 1
        return self._update(heartbeat_at=timestamp(), **this_process())

    def still_mine(self) -> bool:
        """Send a heartbeat; False if the job was cancelled or belongs to another process."""
        return self._update(heartbeat_at=timestamp())

    def check(self) -> None:
        """Raise a `ConflictError` if the job was cancelled or belongs to another process."""
        if not self.still_mine():
            raise not_ours()

    def log(self, file: Path) -> None:
        """Keep the end of the log where every page can read it, if it has changed."""
        content = job_logs.tail(file)
        if content != self._logged and job_logs.write(
            self._engine, self.job_id, -1 if self.attempt is None else self.attempt, content
        ):
            self._logged = content

    def phase(self, words: str) -> None:
        """Report what is being done; a database that fails does not end the training."""
        self.on_step()
        try:
            self._update(phase=words, heartbeat_at=timestamp())
        except StorageError as error:
            logger.warning("{}: not told that it is at: {}", error.message, words)

    def epoch(self, checkpoint_sha256: str, **values: Any) -> None:
        """Record a finished epoch and its checkpoint, replacing an earlier attempt at it.

        Raises
        ------
        ConflictError
            The job does not belong to this process any more: do not use the checkpoint.
        """
        row = {"job_id": self.job_id, "at": timestamp(), "checkpoint_sha256": checkpoint_sha256}
        with self._engine.begin() as connection:
            # A start that got on is none of those in a row that did not.
            own = self._own().values(heartbeat_at=timestamp(), restarts=0)
            if not connection.execute(own).rowcount:
                raise not_ours()
            connection.execute(
                EPOCHS.delete().where(
                    EPOCHS.c.job_id == self.job_id, EPOCHS.c.epoch >= values["epoch"]
                )
            )
            connection.execute(EPOCHS.insert().values(**row, **values))

    def checkpoints(self) -> set[str]:
        """The sha256 of every checkpoint that this job wrote."""
        return set(self.recorded())

    def recorded(self) -> list[str]:
        """The sha256 of the checkpoints that this job wrote, the newest first."""
        wrote = select(EPOCHS.c.checkpoint_sha256).where(EPOCHS.c.job_id == self.job_id)
        with reading(self._engine) as connection:
            return list(connection.scalars(wrote.order_by(EPOCHS.c.epoch.desc())))

    def restore(self, folder: Path) -> None:
        """See that a folder holds the checkpoint to go on from, which another machine may have."""
        if self.kept is not None:
            self.kept.fetch(self.recorded(), folder)

    def keep(self, checkpoint: Path, sha256: str, *, needed: bool) -> None:
        """Keep a recorded checkpoint for another machine; see `core.training.kept.Kept.keep`."""
        if self.kept is not None:
            self.kept.keep(checkpoint, sha256, needed=needed)

    def hand_back(self, folder: Path) -> bool:
        """Queue the job again, to go on from its last epoch; False if it is not ours any more.

        Whatever still writes in this process is not heard from now on.
        """
        if self.kept is not None:
            try:
                self.kept.keep_last(folder, self.recorded())
            except StorageError as error:
                logger.warning("{}: it goes on from an earlier epoch", error.message)
        return self._update(
            state="queued", pid=None, worker="",
            phase="Handed back by a worker that was stopped; waits for the next",
        )  # fmt: skip

    def succeed(self, version: int) -> bool:
        """Mark the job as succeeded with a model version; False if it was cancelled before."""
        return self._finish("succeeded", "", version=version)

    def fail(self, message: str) -> bool:
        """Mark the job as failed, with the reason; False if it was cancelled before."""
        return self._finish("failed", message)

    def _finish(self, state: JobState, message: str, **values: Any) -> bool:
        return self._update(state=state, message=message, ended_at=timestamp(), phase="", **values)

    def _update(self, **values: Any) -> bool:
        with self._engine.begin() as connection:
            return bool(connection.execute(self._own().values(**values)).rowcount)

    def _own(self) -> Any:
        return job_rows.running_at(self.job_id, -1 if self.attempt is None else self.attempt)


def not_ours() -> ConflictError:
    """The error for a process whose training was cancelled or given to another."""
    return ConflictError("The job was cancelled or given to another process")
