"""What waits below the folder of received studies: to be segmented, and to be sent back."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.state.failures import in_words

# Files of the folder `ready/`; a study is a folder there.
SUFFIX = ".dcm"
_CLAIM, _TRY, _CASE = "claim", "try-", "case-"
_REMOVED = ".removed-"


class ReadyStudies:
    """Studies that have come whole; the server makes cases of them.

    Parameters
    ----------
    folder
        Of all that was received; see `core.pacs.inbox`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "ready"

    def studies(self) -> list[Path]:
        """Their folders, the first one first; none where nothing was ever received."""
        came = []
        with in_words():
            if not self.folder.is_dir():
                return []
            for path in self.folder.iterdir():
                if path.name.startswith(_REMOVED):  # a process was killed as it removed it
                    shutil.rmtree(path, ignore_errors=True)
                    continue
                try:
                    came.append((path.stat().st_mtime_ns, path.name, path))
                except FileNotFoundError:  # somebody is done with it
                    continue
        return [path for _, _, path in sorted(came)]

    @contextmanager
    def claimed(self, study: Path) -> Iterator[bool]:
        """Whether a study is this caller's alone until the block ends.

        Of several servers on one data folder one has it. A process that ends gives it back.

        Raises
        ------
        StorageError
        """
        with in_words():
            handle = _claim(study / _CLAIM)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                os.close(handle)

    def begin(self, study: Path) -> int:
        """Note on the disk that somebody begins with a study; how often that was so.

        A study that kills the server would else kill it for ever.

        Raises
        ------
        StorageError
        """
        with in_words():
            number = 1 + sum(1 for _ in study.glob(f"{_TRY}*"))
            (study / f"{_TRY}{number}").touch()
        return number

    def end(self, study: Path) -> None:
        """Take back what `begin` noted: it was not the study's fault.

        Raises
        ------
        StorageError
        """
        with in_words():
            for note in study.glob(f"{_TRY}*"):
                note.unlink()

    def case_of(self, study: Path) -> str:
        """The id of the case that a study has become; else empty.

        Raises
        ------
        StorageError
        """
        with in_words():
            return next((p.name.removeprefix(_CASE) for p in study.glob(f"{_CASE}*")), "")

    def note_case(self, study: Path, case_id: str) -> None:
        """Note that a study has become a case. Takes no space: a try's file gets another name.

        Raises
        ------
        StorageError
        """
        with in_words():
            next(study.glob(f"{_TRY}*")).rename(study / f"{_CASE}{case_id}")

    def remove(self, study: Path) -> None:
        """Forget a study that is a case, or cannot be one.

        Raises
        ------
        StorageError
        """
        gone = study.with_name(_REMOVED + study.name)
        with in_words():
            study.rename(gone)
            # What stays is removed at the next look, which may be another server's.
            shutil.rmtree(gone, ignore_errors=True)


class Returns:
    """Cases whose results are still to be sent back.

    Parameters
    ----------
    folder
        Of all that was received.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "returns"

    def add(self, case_id: str) -> None:
        """Queue a case.

        Raises
        ------
        StorageError
        """
        with in_words():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self._folder / case_id).touch(0o600)

    def cases(self) -> list[str]:
        """Their ids."""
        with in_words():
            return sorted(p.name for p in self._folder.iterdir()) if self._folder.is_dir() else []

    def remove(self, case_id: str) -> None:
        """Forget a case.

        Raises
        ------
        StorageError
        """
        with in_words():
            (self._folder / case_id).unlink(missing_ok=True)


def _claim(path: Path) -> int | None:
    """Lock a study's file; its handle, or None where somebody else has the study or had it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    is_ours = False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Else it was removed between these lines, and its name may be another study's.
        is_ours = os.path.samestat(os.fstat(handle), path.stat())
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if not is_ours:
            os.close(handle)
    return handle if is_ours else None
