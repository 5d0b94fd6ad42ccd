"""A worker: a process that trains queued jobs, one at a time, on any machine.

It shares database and storage with the server, and nothing else: a training works in a folder of
this machine that is its own for one start, and goes on from what the storage keeps of it
(`core.training.kept`). The training itself is a child process, the same one that a server starts.

- Stopped (SIGTERM), it hands its job back at once; killed, its child does so. Where both are killed
  or the machine is gone, the job is free when its lease has run out (`core.training.leases`).
- A child that was killed (cancelled, no memory) ends nothing here: the next job is taken.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from loguru import logger
from sqlalchemy import Engine, Row, select

from core import limits
from core.errors import HippoViewError, NotFoundError
from core.settings import ROOT, variable_of
from core.state.database import reading, timestamp
from core.state.processes import this_process
from core.state.storage import Storage
from core.state.tables import JOBS
from core.state.worker_tables import WORKERS
from core.training import job_logs
from core.training.job_folders import is_free, occupy
from core.training.kept import Kept
from core.training.leases import Leases, claim, take_back
from core.training.work import Work

FOLDER = "worker"
_TICK_S = 0.5
_DAY_S = 24 * 3600.0
# For a child that ends by itself, its last words.
_ENDED_UNSAID = "The process of the training ended without a word"


class Worker:
    """One worker.

    Parameters
    ----------
    engine, storage
    folder
        Where its trainings work; below it each start has a folder of its own.
    lease_s
        Seconds of silence after which a job is taken from another worker.
    """

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        folder: Path,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._engine = engine
        self._storage = storage
        self._folder = folder
        self._clock = clock
        self._leases = Leases(engine, lease_s, clock)
        self._stop = threading.Event()
        self._training: _Training | None = None
        self._next_sign_at = clock()

    def stop(self) -> None:
        """End `run` soon, which hands its job back. From a signal or another thread."""
        self._stop.set()

    def run(self, job_id: int | None = None) -> int:
        """Train jobs until it is stopped.

        Parameters
        ----------
        job_id
            Train this one and return. Left out, whatever is queued.

        Returns
        -------
        int
            0, or 1 if the one job was not taken or has no version in the end.
        """
        self._remove_left_folders()
        logger.info("Worker {} waits for trainings on {}", self.id[:8], this_process()["host"])
        began = False
        try:
            while not self._stop.is_set():
                try:
                    self._leases.tick()
                    self._give_sign()
                    began |= self._take_or_follow(None if began else job_id)
                    if job_id is not None and self._training is None:
                        return self._outcome(job_id) if began else 1
                except HippoViewError as error:
                    logger.warning("{}: the worker tries again", error.message)
                except Exception as error:  # noqa: BLE001 - a database that fails now, not for ever
                    logger.opt(exception=error).error("The worker tries again")
                self._stop.wait(_TICK_S)
            return 0
        finally:
            self._leave()

    def _take_or_follow(self, job_id: int | None) -> bool:
        """Follow the training that runs, or begin one; returns whether one began."""
        if self._training is not None:
            if self._training.follow():
                self._training, self._next_sign_at = None, self._clock()
            return False
        row = claim(self._engine, self.id, job_id)
        if row is None:
            return False
        self._training = _Training(self._engine, self._storage, self._folder, row)
        self._training.start()
        self._next_sign_at = self._clock()
        return True

    def _give_sign(self) -> None:
        if self._clock() < self._next_sign_at:
            return
        self._next_sign_at = self._clock() + limits.HEARTBEAT_S
        training = self._training
        if training is not None:
            training.give_sign()
        values = {"seen_at": timestamp(), "job_id": training.row.id if training else None}
        with self._engine.begin() as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.seen_at < timestamp(-_DAY_S)))
            mine = WORKERS.update().where(WORKERS.c.id == self.id).values(**values)
            if not connection.execute(mine).rowcount:
                first = {"id": self.id, "host": this_process()["host"], "started_at": timestamp()}
                connection.execute(WORKERS.insert().values(**first, **values))

    def _leave(self) -> None:
        """Hand the job back, and be no worker any more."""
        if self._training is not None:
            self._training.hand_back()
        with self._engine.begin() as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.id == self.id))
        logger.info("Worker {} has ended", self.id[:8])

    def _outcome(self, job_id: int) -> int:
        with reading(self._engine) as connection:
            state = connection.scalar(select(JOBS.c.state).where(JOBS.c.id == job_id))
        return 0 if state == "succeeded" else 1

    def _remove_left_folders(self) -> None:
        """Remove what killed trainings left on this machine: scans lie in it."""
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if is_free(folder):
                shutil.rmtree(folder, ignore_errors=True)


class _Training:
    """One start of a job, and its child process."""

    def __init__(self, engine: Engine, storage: Storage, parent: Path, row: Row[Any]) -> None:
        self.row = row
        self._engine = engine
        self._folder = parent / f"{row.uid}-{row.attempt}"
        self._log = self._folder / job_logs.LOG_NAME
        self._work = Work(engine, row.id, attempt=row.attempt)
        self._work.kept = Kept(storage, row.uid)
        self._child: subprocess.Popen[bytes] | None = None
        self._shown: IO[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Start the child. What fails is told as its end is."""
        try:
            self._folder.mkdir(parents=True, mode=0o700)
            self._lock = occupy(self._folder)
            self._log.write_text(job_logs.read(self._engine, self.row.id))
            self._shown = self._log.open("rb")
            self._shown.seek(0, os.SEEK_END)
            environment = dict(os.environ)
            environment.pop(variable_of("admin_password"), None)
            words = [str(self.row.id), str(self.row.attempt), str(self._folder)]
            with self._log.open("ab") as log:
                self._child = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
                    [sys.executable, "-m", "core.training", *words], cwd=ROOT, env=environment,
                    stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
        except OSError as error:  # no memory, no room on the disk
            logger.opt(exception=error).error("Job {} could not be started here", self.row.id)

    def give_sign(self) -> None:
        """Keep the lease: a child of a busy machine takes long until it gives its first sign.

        One that stands still ends itself (`core.limits.STALLED_AFTER_S`).
        """
        self._work.still_mine()

    def follow(self) -> bool:
        """Show what the child has logged; True once it has ended and all is tidied up."""
        self._show_log()
        if self._child is not None and self._child.poll() is None:
            return False
        # Not if the database fails: then once more.
        self._work.log(self._log)
        with self._engine.begin() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == self.row.id)).one_or_none()
            if row is not None and (row.state, row.attempt) == ("running", self.row.attempt):
                take_back(connection, row, _ENDED_UNSAID)
        self._tidy()
        return True

    def hand_back(self) -> None:
        """End the child now, and queue the job again with the checkpoint of its last epoch."""
        if self._child is not None:
            self._kill(self._child)
        self._show_log()
        try:
            if self._work.hand_back(self._folder):
                logger.info("Job {} was handed back", self.row.id)
            self._work.log(self._log)
        except (HippoViewError, NotFoundError) as error:
            logger.warning("{}: the job is free once its lease has run out", error.message)
        self._tidy()

    def _kill(self, child: "subprocess.Popen[bytes]") -> None:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)  # all that it writes is whole or not there
        child.wait()

    def _show_log(self) -> None:
        """Copy what is new in the log to where this process logs: a container's log, or Ray's."""
        if self._shown is not None:
            sys.stderr.write(self._shown.read().decode(errors="replace"))
            sys.stderr.flush()

    def _tidy(self) -> None:
        for file in (self._shown, self._child.stdin if self._child else None):
            if file is not None:
                file.close()
        if self._lock is not None:
            os.close(self._lock)
        shutil.rmtree(self._folder, ignore_errors=True)
