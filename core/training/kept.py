"""What a training needs to go on elsewhere, in the storage: where it began, and its checkpoint.

``trainings/<uid>`` holds ``data.json`` (sha256 of its data set), ``base.json`` (the version that it
fine-tunes) and a checkpoint, named by its sha256, from which another machine goes on. It goes when
the training has succeeded.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import Engine, select

from core import limits
from core.errors import ChangedError, NotFoundError, StorageError
from core.state.database import reading
from core.state.storage import Storage, write_whole
from core.state.tables import JOBS

FOLDER = "trainings"
# nnU-Net's names.
LATEST, FINAL = "checkpoint_latest.pth", "checkpoint_final.pth"
_DAY_S = 24 * 3600.0


class Kept:
    """What is kept of one training.

    Parameters
    ----------
    storage
    uid
        The training's name for all time.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, storage: Storage, uid: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._prefix = f"{FOLDER}/{uid}"
        self._clock = clock
        self._last: str | None = None
        self._took_s = 0.0
        self._rested_from = clock()

    def fact(self, name: str, folder: Path, value: Callable[[], Any]) -> Any:
        """What was found out once, at the first start, and holds for all later ones.

        Parameters
        ----------
        folder
            Of the training on this machine, where earlier versions kept it.
        value
            Finds it out.

        Raises
        ------
        StorageError
        """
        key = f"{self._prefix}/{name}.json"
        note = folder / f"{name}.json"
        try:
            return json.loads(self._storage.read(key))
        except NotFoundError:
            known = json.loads(note.read_bytes()) if note.is_file() else value()
        try:
            self._storage.replace(key, json.dumps(known).encode(), None)
        except ChangedError:  # another start was faster
            return json.loads(self._storage.read(key))
        return known

    def keep(self, file: Path, sha256: str, *, needed: bool = False) -> None:
        """Write a checkpoint that is recorded into the storage, in the place of the one before.

        It takes a twentieth of a training's time at most: a checkpoint that comes sooner is left
        out, unless ``needed``. A storage that fails ends no training.
        """
        begun = self._clock()
        if not needed and begun - self._rested_from < limits.CHECKPOINT_REST * self._took_s:
            return
        try:
            self._storage.write(self._key(sha256), file.read_bytes())
            if self._last not in (None, sha256):
                self._storage.delete(self._key(str(self._last)))
        except StorageError as error:
            logger.warning("{}: elsewhere it would go on from an earlier epoch", error.message)
        else:
            self._last = sha256
        self._rested_from = self._clock()
        self._took_s = self._rested_from - begun

    def keep_last(self, folder: Path, recorded: Sequence[str]) -> None:
        """Write the checkpoint that a training's folder holds, if it is not in the storage yet."""
        for file in sorted(folder.rglob("checkpoint_*.pth")):
            sha256 = _sha256(file)
            if file.name in (LATEST, FINAL) and sha256 in recorded:
                if self._key(sha256) not in self._storage.keys(self._prefix):
                    self.keep(file, sha256, needed=True)
                return

    def fetch(self, recorded: Sequence[str], folder: Path) -> None:
        """See that a folder holds the newest recorded checkpoint that there is, and no other.

        Parameters
        ----------
        recorded
            The sha256 of the training's checkpoints, the newest first: nothing else is loaded.

        Raises
        ------
        StorageError
        """
        here = {_sha256(p): p for p in (folder / LATEST, folder / FINAL) if p.is_file()}
        for sha256 in recorded:
            content = None if sha256 in here else self._read(sha256)
            if sha256 not in here and content is None:
                continue
            for other in here.keys() - {sha256}:
                here[other].unlink()
            if content is not None:
                write_whole(folder / LATEST, content)
                self._last = sha256
                logger.info("The checkpoint of the last epoch was taken from the storage")
            return
        for sha256, path in here.items():
            logger.warning("A checkpoint that is not recorded is not used: {}", sha256[:12])
            path.unlink()

    def drop(self) -> None:
        """Remove all of it: the training has a version."""
        try:
            self._storage.delete_folder(self._prefix)
        except StorageError as error:
            logger.warning("What was kept of the training is removed later: {}", error.message)

    def _read(self, sha256: str) -> bytes | None:
        try:
            content = self._storage.read(self._key(sha256))
        except NotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            logger.warning("A checkpoint in the storage is damaged: {}", sha256[:12])
            return None
        return content

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}/{sha256}.pth"


def purge(engine: Engine, storage: Storage) -> None:
    """Remove what is kept of trainings that need it no more.

    Those have succeeded, or are in no database and `limits.JOB_FOLDER_DAYS` old.

    Raises
    ------
    StorageError
    """
    with reading(engine) as connection:
        rows = connection.execute(select(JOBS.c.uid, JOBS.c.state)).all()
    states = {row.uid: row.state for row in rows}
    for uid in storage.folders(FOLDER):
        state = states.get(uid)
        if state is None:  # a database may come back from a backup
            ages_s = storage.ages_s(f"{FOLDER}/{uid}").values()
            is_done = min(ages_s, default=0.0) > limits.JOB_FOLDER_DAYS * _DAY_S
        else:
            is_done = state == "succeeded"
        if is_done:
            storage.delete_folder(f"{FOLDER}/{uid}")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
