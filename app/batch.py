"""Batches: the files that one browser session segments, also while its page is left."""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from loguru import logger

from app.services import WAITING_PREFIX, Services
from core import limits
from core.cases.case import Case
from core.errors import BusyError, GoneError, HippoViewError, NotFoundError
from core.exports.tables import Outcome, archive
from core.pipeline import STEPS, Caller, Step

_BUSY_S = 1.0
# While the network works on one file, the next is read and the last one measured.
_AT_ONCE = 2
_WORDS: dict[Step, str] = {
    "wait": "Waiting for other scans",
    "check": "Checking the file",
    "orient": "Turning it to the model's orientation",
    "segment": "Finding the hippocampus",
    "measure": "Measuring",
}
_GIVEN_UP = "It was given up before it was segmented. Drop it again."
_FAILED = "The server failed on this file. Try it again; the log says more."
_NOT_KEPT = "The server could not keep the file. Its disk may be full: tell the administrator."

# Segments one file and keeps it under its name, as a scan of a patient.
Work = Callable[[BinaryIO, str, Caller, str], Case]


@dataclass(frozen=True)
class Upload:
    """One file to segment, and its patient's pseudonym, if there is one."""

    name: str
    source: BinaryIO
    patient: str = ""


@dataclass(frozen=True)
class Progress:
    """Progress of a batch: files done, total, share from 0 to 1, and the current file and step."""

    done: int
    total: int
    share: float
    name: str
    words: str


@dataclass(eq=False)
class _File:
    name: str
    path: Path | None
    patient: str = ""
    step: Step = "check"
    words: str = ""
    given_up: bool = False
    outcome: Outcome | None = None


class Batch:
    """The files that one browser session has segmented or still waits for.

    Files are copied to the disk when they come and segmented by threads of the batch's own, two
    at a time. One bad file does not stop the rest. Each copy is removed with its outcome.

    Parameters
    ----------
    work
        Segments a file and keeps it as a case.
    folder
        Where the copies lie.
    here
        Whether the session is connected.
    gone_after_s
        When a session was not connected for so long, its files are given up.
    clock
        Seconds, monotonic.

    Attributes
    ----------
    round : int
        Counts uploads, for the page.
    """

    def __init__(
        self,
        work: Work,
        folder: Path,
        here: Callable[[], bool],
        gone_after_s: float = limits.BATCH_GONE_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.round = 0
        self._work, self._folder, self._here = work, folder, here
        self._gone_after_s, self._clock = gone_after_s, clock
        self._user = uuid4().hex
        self._changed = threading.Condition()
        self._files: list[_File] = []
        self._waiting: list[_File] = []
        self._first = 0  # index of the first file that `progress` counts
        self._threads = 0
        self._seen_s = clock()

    def add(self, uploads: Iterable[Upload]) -> None:
        """Copy files and start segmenting them; returns before they are done."""
        files = [self._copied(upload) for upload in uploads]
        with self._changed:
            if not self.active:
                self._first = len(self._files)
            self._seen_s = self._clock()
            self._files += files
            self._waiting += [file for file in files if file.outcome is None]
            while self._threads < min(_AT_ONCE, len(self._waiting)):
                self._threads += 1
                threading.Thread(target=self._run, name="batch", daemon=True).start()

    @property
    def active(self) -> bool:
        """Whether any file has no outcome yet."""
        with self._changed:
            return any(file.outcome is None for file in self._files)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes so far, in the order of the files."""
        with self._changed:
            return [file.outcome for file in self._files if file.outcome is not None]

    def progress(self) -> Progress:
        """Progress of the files that were added since the batch was last idle."""
        with self._changed:
            files = self._files[self._first :]
            shares = [1.0 if f.outcome else STEPS.index(f.step) / len(STEPS) for f in files]
            file = next((f for f in files if f.outcome is None), None)
            return Progress(
                sum(file.outcome is not None for file in files), len(files),
                sum(shares) / len(files) if files else 1.0,
                file.name if file else "", file.words if file else "",
            )  # fmt: skip

    def wait(self, timeout_s: float) -> None:
        """Return when something has changed, or after some seconds."""
        with self._changed:
            self._changed.wait(timeout_s)

    def give_up(self) -> None:
        """Cancel all files that are not done; their outcomes say so."""
        with self._changed:
            for file in self._files:
                file.given_up = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the outcomes; unfinished files stay."""
        with self._changed:
            self._files = [file for file in self._files if file.outcome is None]
            self._first = 0

    def _copied(self, upload: Upload) -> _File:
        try:
            handle, name = tempfile.mkstemp(prefix=WAITING_PREFIX, dir=self._folder)
        except OSError:
            return self._not_kept(upload.name)
        try:
            with open(handle, "wb") as out:  # noqa: PTH123 - a file that is open already
                shutil.copyfileobj(upload.source, out)
        except OSError:
            Path(name).unlink(missing_ok=True)
            return self._not_kept(upload.name)
        return _File(upload.name, Path(name), upload.patient)

    def _not_kept(self, name: str) -> _File:
        logger.exception("A file of the page could not be kept in the data folder")
        return _File(name, None, outcome=Outcome(name, None, _NOT_KEPT))

    def _run(self) -> None:
        """The work of one thread: file after file until none waits."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._threads -= 1
                    return
                file = self._waiting.pop(0)
            outcome = self._outcome(file)
            if file.path is not None:
                with contextlib.suppress(OSError):  # the next start removes it
                    file.path.unlink()
            with self._changed:
                file.outcome = outcome
                self._changed.notify_all()

    def _outcome(self, file: _File) -> Outcome:
        def gone() -> bool:
            return file.given_up or self._is_gone()

        caller = Caller(
            self._user,
            lambda step: self._tell(file, step, _WORDS[step]),
            lambda place: self._tell(file, "wait", f"Place {place} in the queue"),
            gone,
        )
        while not gone() and file.path is not None:
            try:
                with file.path.open("rb") as source:
                    return Outcome(
                        file.name, self._work(source, file.name, caller, file.patient)
                    )  # fmt: skip
            except BusyError as error:
                self._tell(file, "wait", f"{error.message}; it is tried again")
                self.wait(_BUSY_S)
            except GoneError:
                break
            except HippoViewError as error:
                return Outcome(file.name, None, f"{error.message}. {error.hint}")
            except Exception as error:  # noqa: BLE001 - the other files go on
                logger.opt(exception=error).error("A file of a batch failed unforeseen")
                return Outcome(file.name, None, _FAILED)
        return Outcome(file.name, None, _GIVEN_UP)

    def _tell(self, file: _File, step: Step, words: str) -> None:
        with self._changed:
            file.step, file.words = step, words
            self._changed.notify_all()

    def _is_gone(self) -> bool:
        """Whether the session was disconnected for too long; the threads ask now and then."""
        now_s = self._clock()
        if self._here():
            self._seen_s = now_s
        return now_s - self._seen_s > self._gone_after_s


def current(shared: Services, outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes with the current state of their cases: corrected, renamed or deleted."""
    outcomes_now = []
    for outcome in outcomes:
        if outcome.case is not None:
            case_id = outcome.case.id
            try:
                outcome = Outcome(outcome.name, shared.cases.get(case_id))
            except NotFoundError:
                outcome = Outcome(outcome.name, None, f"{case_id} was deleted.")
        outcomes_now.append(outcome)
    return outcomes_now


def zip_of(shared: Services, outcomes: list[Outcome], with_names: bool) -> bytes:
    """A ZIP of all masks, records and the summary; it names cases deleted meanwhile."""
    present = current(shared, outcomes)
    # The masks that the records are about, whatever is saved meanwhile.
    masks = [
        (o.case.id, shared.cases.mask_file(o.case.id, o.case.mask_version))
        for o in present
        if o.case is not None
    ]
    return archive(present, masks, with_names=with_names)
