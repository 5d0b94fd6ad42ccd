"""Studies that modalities and archives sent here: the folder is the queue.

``arriving/`` has a folder a study while it comes, ``ready/`` those that have come whole. A file is
on the disk before its sender is told so, and a study changes folders by one rename: a process that
is killed loses nothing, and the next one goes on with what it finds.
"""

import fcntl
import fnmatch
import hashlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loguru import logger
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import Tag

from core import limits
from core.errors import ConflictError, PacsError, StorageError
from core.pacs.ready import SUFFIX, ReadyStudies
from core.state.failures import in_words
from core.state.storage import sync_folder, write_whole

# What the rule goes by.
_TOLD = ("Modality", "SeriesDescription")
# Studies that lie here: a day's of several scanners, about 100 MiB each.
_MOST_STUDIES = 200


@dataclass(frozen=True)
class Rule:
    """Which series are taken; the others are dropped when their study has come.

    Parameters
    ----------
    modality
        ``MR``; "" takes any.
    description
        Pattern of the series's description, such as ``*t1*``, in any case; "" takes any.
    """

    modality: str = "MR"
    description: str = ""

    def takes(self, modality: str, description: str) -> bool:
        """Whether a series fits."""
        pattern = self.description.casefold() or "*"
        return (not self.modality or modality == self.modality) and fnmatch.fnmatchcase(
            description.casefold(), pattern
        )


class Inbox:
    """Received studies, below one folder; one process receives into it.

    Parameters
    ----------
    folder
    rule
    quiet_s
        A study has come whole when nothing of it came for so many seconds.
    clock
        Seconds, monotonic.
    most_bytes, most_studies
        What a study may have, and how many may lie here.

    Raises
    ------
    ConflictError
        Another process receives into it.
    StorageError
    """

    def __init__(
        self, folder: Path, rule: Rule, quiet_s: float,
        clock: Callable[[], float] = time.monotonic,
        most_bytes: int = limits.PACS_SERIES_BYTES, most_studies: int = _MOST_STUDIES,
    ) -> None:  # fmt: skip
        self._arriving, self._ready = folder / "arriving", ReadyStudies(folder)
        self._rule, self._quiet_s, self._clock = rule, quiet_s, clock
        self._most_bytes, self._most_studies = most_bytes, most_studies
        self._changed = threading.Lock()
        with in_words():
            for one in (folder, self._arriving, self._ready.folder):
                one.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(folder / "lock")
            # What an earlier process was receiving has as long as if it had come just now.
            self._came_s = {path.name: clock() for path in self._arriving.iterdir()}
            # By study: which of its files were refused and did not come again; and when.
            self._refused: dict[str, tuple[set[str], float]] = {}
            self._held = {name: _sizes(self._arriving / name) for name in self._came_s}

    def add(self, study_uid: str, instance_uid: str, file: bytes) -> None:
        """Keep a file of a study; the same one again takes the first one's place.

        A study of which a file was refused, and did not come again, is dropped.

        Raises
        ------
        PacsError
            The study, or the inbox, is full. Nothing of the file is kept.
        StorageError
        """
        study, instance = self._arriving / _name(study_uid), _name(instance_uid)
        with self._changed:
            refused, _ = self._refused.get(study.name, (set[str](), 0.0))
            try:
                self._add(study, instance, file)
            except (PacsError, StorageError):
                self._refused[study.name] = refused | {instance}, self._clock()
                raise
            refused.discard(instance)

    def _add(self, study: Path, instance: str, file: bytes) -> None:
        with in_words():
            held = self._held.get(study.name)
            if held is None and len(self._held) + len(self._ready.studies()) >= self._most_studies:
                raise _full(f"holds {self._most_studies:,} studies")
            size, count = held or (0, 0)
            if size + len(file) > self._most_bytes or count >= limits.PACS_FILES:
                raise _full("has no room for a study of this size")
            if held is None:
                study.mkdir(exist_ok=True, mode=0o700)
                sync_folder(self._arriving)
            write_whole(study / f"{instance}{SUFFIX}", file, 0o600)
            sync_folder(study)
            self._came_s[study.name] = self._clock()
            self._held[study.name] = (size + len(file), count + 1)

    def settle(self) -> list[Path]:
        """Move the studies that have come whole to ``ready``; those that moved.

        Raises
        ------
        StorageError
        """
        moved = []
        with self._changed, in_words():
            for name, came_s in list(self._came_s.items()):
                if self._clock() - came_s < self._quiet_s:
                    continue
                study = self._arriving / name
                self._drop_others(study)
                if self._refused.pop(name, (set(), 0.0))[0]:
                    # A part of a head would be segmented as a whole one. Its sender has it still.
                    logger.warning("A study was dropped: some of its files were not received")
                    shutil.rmtree(study)
                elif any(study.iterdir()):
                    target = self._free(name)
                    study.rename(target)
                    sync_folder(self._ready.folder)
                    sync_folder(self._arriving)
                    moved.append(target)
                else:
                    study.rmdir()
                del self._came_s[name], self._held[name]
            for name, (_, at_s) in list(self._refused.items()):
                if name not in self._came_s and self._clock() - at_s >= self._quiet_s:
                    del self._refused[name]
        return moved

    def close(self) -> None:
        """Let another process receive."""
        os.close(self._lock)

    def _drop_others(self, study: Path) -> None:
        """Remove what the rule does not take, and what a killed process was writing."""
        for path in study.iterdir():
            if path.suffix != SUFFIX or not self._takes(path):
                path.unlink()

    def _takes(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                head = header_of(file.read(limits.RECEIVED_HEAD_BYTES), *_TOLD)
            return self._rule.takes(
                str(head.get("Modality", "")), str(head.get("SeriesDescription", ""))
            )
        except OSError as error:
            if error.errno is not None:  # the disk's: pydicom's own have none
                raise
            return False
        except Exception:  # noqa: BLE001 - of whatever a stranger's bytes raise in the parser
            return False

    def _free(self, name: str) -> Path:
        """A place for a study of which a part may be ready already."""
        number = 1
        while (target := self._ready.folder / f"{name}-{number}").exists():
            number += 1
        return target


def header_of(file: bytes, *names: str) -> Dataset:
    """Some attributes of a file, read up to the last of them: a stranger wrote what comes later.

    Parameters
    ----------
    file
        Its begin is enough.

    Raises
    ------
    Exception
        Of whatever kind pydicom meets a damaged file with.
    """
    tags = [Tag(name) for name in names]
    begin = io.BytesIO(file[: limits.RECEIVED_HEAD_BYTES])
    last = max(tags)
    return read_partial(begin, lambda tag, vr, length: tag > last, specific_tags=list(tags))


def _locked(path: Path) -> int:
    """Take a lock for as long as the process lives; its handle."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ConflictError(
            "Another process receives into this data folder already", "End it first, or use it."
        ) from error
    return handle


def _sizes(study: Path) -> tuple[int, int]:
    """Bytes and files of a study."""
    sizes = [path.stat().st_size for path in study.iterdir()]
    return sum(sizes), len(sizes)


def _name(uid: str) -> str:
    """A name for a file or folder that says nothing, and leads nowhere."""
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _full(what: str) -> PacsError:
    return PacsError(f"The inbox {what}", "Send it again later.", code="inbox_full")
