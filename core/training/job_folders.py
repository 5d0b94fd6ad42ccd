"""Folders of training jobs, and the removal of those whose job is in no database any more.

Each is marked as HippoView's (`core.state.claim`), and locked while a process works in it. The
result of a training is a model version in the storage; its folder holds checkpoints, hundreds of
MB, which only its own job can use.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loguru import logger
from sqlalchemy import Engine, select

from core import limits
from core.errors import InputError
from core.state.claim import MARK_NAME, claim, is_marked
from core.state.database import reading
from core.state.storage import Storage
from core.state.tables import JOBS
from core.training.kept import purge

FOLDER = "jobs"
_KIND: Final = "job"
# An empty file in a folder, written when its job was first missing from the database.
_LOST_NAME = ".unknown"
_DAY_S = 24 * 3600.0


def occupy(folder: Path) -> int:
    """Mark a job's folder, and lock it until this process and its children have ended.

    Returns
    -------
    int
        The file descriptor that holds the lock.
    """
    _mark(folder)
    handle = os.open(folder / MARK_NAME, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def is_free(folder: Path) -> bool:
    """Whether a folder is a job's, and no process works in it."""
    if folder.is_symlink() or not is_marked(folder, _KIND):
        return False
    with (folder / MARK_NAME).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class JobFolders:
    """Looks after the folders below ``jobs``.

    Parameters
    ----------
    engine, data_dir
    now, clock
        Seconds since 1970, as in files' times; and a monotonic clock.
    storage
        Where what is kept of trainings is looked after as well.
    """

    def __init__(
        self,
        engine: Engine,
        data_dir: Path,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        storage: Storage | None = None,
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._folder = data_dir / FOLDER
        self._now = now
        self._clock = clock
        self._due_at = clock()

    def tick(self) -> None:
        """Call `purge_expired` if it is due: at the start and once a day."""
        if self._clock() >= self._due_at:
            self._due_at = self._clock() + limits.CARE_EVERY_S
            self.purge_expired()
            if self._storage is not None:
                purge(self._engine, self._storage)

    def purge_expired(self) -> int:
        """Remove folders that no job has, `limits.JOB_FOLDER_DAYS` days old; returns how many."""
        folders = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        # Read after the folders: a job has its row before its folder.
        with reading(self._engine) as connection:
            job_uids = set(connection.scalars(select(JOBS.c.uid)))
        removed = 0
        for folder in folders:
            if folder.is_symlink() or not folder.is_dir():
                continue
            try:
                if folder.name in job_uids:
                    _mark(folder)  # earlier versions did not
                    (folder / _LOST_NAME).unlink(missing_ok=True)
                else:
                    removed += self._remove(folder)
            except (OSError, InputError) as error:
                logger.warning("A training's folder stays as it is: {}", type(error).__name__)
        return removed

    def _remove(self, folder: Path) -> bool:
        if not is_marked(folder, _KIND):
            return False
        # The days count from the loss: a database may come back from a backup.
        if not (folder / _LOST_NAME).exists():
            (folder / _LOST_NAME).touch()
            os.utime(folder / _LOST_NAME, (self._now(), self._now()))
            return False
        if self._now() - _changed_at(folder) < limits.JOB_FOLDER_DAYS * _DAY_S:
            return False
        mark = folder / MARK_NAME
        with mark.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # a process is at work in it
                return False
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path != mark:
                    path.unlink()
            mark.unlink()  # last: an interrupted removal is continued
        folder.rmdir()
        logger.info("The folder of a training that no database knows was removed")
        return True


def _mark(folder: Path) -> None:
    claim(folder, _KIND, known=lambda folder: True)


def _changed_at(folder: Path) -> float:
    """Time of the last change of anything in a folder, seconds since 1970."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
