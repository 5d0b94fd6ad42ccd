"""Studies that modalities and archives sent here: the folder is the queue.

``arriving/`` has a folder a study while it comes, ``ready/`` those that have come whole. A file is
on the disk before its sender is told so, and a study changes folders by one rename: a process that
is killed loses nothing, and the next one goes on with what it finds.
"""

import fnmatch
import hashlib
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from core import limits
from core.errors import PacsError
from core.state.failures import in_words
from core.state.storage import write_whole

_TAGS = ["Modality", "SeriesDescription"]


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
    StorageError
    """

    def __init__(
        self, folder: Path, rule: Rule, quiet_s: float,
        clock: Callable[[], float] = time.monotonic,
        most_bytes: int = limits.PACS_SERIES_BYTES, most_studies: int = limits.RECEIVED_STUDIES,
    ) -> None:  # fmt: skip
        self._arriving, self._ready = folder / "arriving", folder / "ready"
        self._rule, self._quiet_s, self._clock = rule, quiet_s, clock
        self._most_bytes, self._most_studies = most_bytes, most_studies
        self._changed = threading.Lock()
        with in_words():
            for one in (folder, self._arriving, self._ready):
                one.mkdir(parents=True, exist_ok=True, mode=0o700)
            # What an earlier process was receiving has as long as if it had come just now.
            self._came_s = {path.name: clock() for path in self._arriving.iterdir()}
            self._held = {name: _sizes(self._arriving / name) for name in self._came_s}

    def add(self, study_uid: str, instance_uid: str, file: bytes) -> None:
        """Keep a file of a study; the same one again takes the first one's place.

        Raises
        ------
        PacsError
            The study, or the inbox, is full. Nothing of the file is kept.
        StorageError
        """
        study = self._arriving / _name(study_uid)
        with self._changed, in_words():
            held = self._held.get(study.name)
            if held is None and len(self._held) + len(self.ready()) >= self._most_studies:
                raise _full(f"holds {self._most_studies:,} studies")
            size, count = held or (0, 0)
            if size + len(file) > self._most_bytes or count >= limits.PACS_FILES:
                raise _full("has no room for a study of this size")
            study.mkdir(exist_ok=True, mode=0o700)
            write_whole(study / f"{_name(instance_uid)}.dcm", file)
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
                if any(study.iterdir()):
                    target = self._free(name)
                    study.rename(target)
                    moved.append(target)
                else:
                    study.rmdir()
                del self._came_s[name], self._held[name]
        return moved

    def ready(self) -> list[Path]:
        """Studies that have come whole, the first one first; who is done with one removes it."""
        return sorted(self._ready.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name))

    def remove(self, study: Path) -> None:
        """Forget a study that is a case, or cannot be one.

        Raises
        ------
        StorageError
        """
        with in_words():
            shutil.rmtree(study)

    def _drop_others(self, study: Path) -> None:
        """Remove what the rule does not take, and what a killed process was writing."""
        for path in study.iterdir():
            if path.suffix != ".dcm" or not self._takes(path):
                path.unlink()

    def _takes(self, path: Path) -> bool:
        try:
            head = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            return self._rule.takes(
                str(head.get("Modality", "")), str(head.get("SeriesDescription", ""))
            )
        except (InvalidDicomError, ValueError, KeyError, TypeError, AttributeError, EOFError):
            return False

    def _free(self, name: str) -> Path:
        """A place for a study of which a part may be ready already."""
        number = 1
        while (target := self._ready / f"{name}-{number}").exists():
            number += 1
        return target


def _sizes(study: Path) -> tuple[int, int]:
    """Bytes and files of a study."""
    sizes = [path.stat().st_size for path in study.iterdir()]
    return sum(sizes), len(sizes)


def _name(uid: str) -> str:
    """A name for a file or folder that says nothing, and leads nowhere."""
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _full(what: str) -> PacsError:
    return PacsError(f"The inbox {what}", "Send it again later.", code="inbox_full")
