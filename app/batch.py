"""Batches: the files that one browser session segments, also while its page is left."""

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from loguru import logger

from app.services import WAITING_PREFIX, Services
from core import limits
from core.cases.case import Case
from core.errors import BusyError, GoneError, HippoViewError, NotFoundError
from core.exports.tables import Outcome, archive
from core.image.dicom.offers import Offer, SeveralSeriesError
from core.people.acting import Actor, acting_as, actor
from core.pipeline import STEPS, Caller, Step
from core.state.encryption import NO_KEYS, Keyring
from core.state.short_lived import copy_encrypted, opened_clear

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

# Segments one file and keeps it under its name, as a scan of a patient; the last is the UID of the
# DICOM series to take, where a person has chosen one.
Work = Callable[[BinaryIO, str, Caller, str, str], Case]


# Writes a file that comes from elsewhere: where to, whom to tell how far it is, and whether it is
# given up.
Fetch = Callable[[BinaryIO, Callable[[str], None], Callable[[], bool]], None]


@dataclass(frozen=True)
class Upload:
    """One file to segment, or what fetches it; and its patient's pseudonym, if there is one."""

    name: str
    source: BinaryIO | Fetch
    patient: str = ""


@dataclass(frozen=True)
class Progress:
    """Progress of a batch: files done, total, share from 0 to 1, and the current file and step."""

    done: int
    total: int
    share: float
    name: str
    words: str


@dataclass(frozen=True)
class Question:
    """A file in which somebody has to choose the series; ``number`` is its own."""

    number: int
    name: str
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class Moment:
    """A batch at one moment, so that what is read of it fits together.

    Attributes
    ----------
    outcomes
        So far, in the order of the files.
    questions
        The files that wait for somebody to choose their series.
    active
        Whether any file has no outcome yet, and asks nothing.
    """

    outcomes: list[Outcome]
    questions: list[Question]
    active: bool


@dataclass(eq=False)
class _File:
    name: str
    path: Path | None
    patient: str = ""
    fetch: Fetch | None = None
    step: Step = "check"
    words: str = ""
    given_up: bool = False
    is_clear: bool = False  # as it was fetched
    series: str = ""
    question: Question | None = None
    outcome: Outcome | None = None
    actor: Actor = field(default_factory=actor)


class Batch:
    """The files that one browser session has segmented or still waits for.

    Files are copied to the disk when they come and segmented by threads of the batch's own, two
    at a time. One bad file does not stop the rest. Each copy is removed with its outcome. One in
    which several series may be meant waits on the disk until somebody chooses.

    Parameters
    ----------
    work
        Segments a file and keeps it as a case.
    folder
        Where the copies lie.
    encrypt
        Encrypt the copies, with a key that nobody else has.
    here
        Whether the session is connected.
    gone_after_s
        When a session was not connected for so long, its files are given up.
    clock
        Seconds, monotonic.
    prepare
        Called with the last case once its outcome is there: a page that opens it now needs files
        of it in a moment.

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
        prepare: Callable[[Case], None] = lambda case: None,
        *,
        encrypt: bool = False,
    ) -> None:
        self._keys = Keyring.of_this_process() if encrypt else NO_KEYS
        self.round = 0
        self._work, self._folder, self._here = work, folder, here
        self._gone_after_s, self._clock, self._prepare = gone_after_s, clock, prepare
        self._user = uuid4().hex
        self._changed = threading.Condition()
        self._files: list[_File] = []
        self._cleared: list[_File] = []
        self._waiting: list[_File] = []
        self._first = 0  # index of the first file that `progress` counts
        self._threads = 0
        self._asked = 0
        self._seen_s = clock()

    def add(self, uploads: Iterable[Upload]) -> None:
        """Copy files and start segmenting them; returns before they are done."""
        files = [self._copied(upload) for upload in uploads]
        with self._changed:
            if not self._is_active():
                self._first = len(self._files)
            self._seen_s = self._clock()
            self._files += files
            self._cleared = []
            self._waiting += [file for file in files if file.outcome is None]
            self._start_threads()

    def _start_threads(self) -> None:
        while self._threads < min(_AT_ONCE, len(self._waiting)):
            self._threads += 1
            threading.Thread(target=self._run, name="batch", daemon=True).start()

    def now(self) -> Moment:
        """What has come out of the files, what they ask, and whether anything is under way."""
        with self._changed:
            return Moment(
                [file.outcome for file in self._files if file.outcome is not None],
                [file.question for file in self._files if file.question is not None],
                self._is_active(),
            )

    def _is_active(self) -> bool:
        return any(file.outcome is None and not file.question for file in self._files)

    def choose(self, number: int, series: str) -> None:
        """Segment a series of a file that asked; an empty UID gives the file up.

        It does nothing where the file asks no more.
        """
        with self._changed:
            asked = [f for f in self._files if f.question and f.question.number == number]
            for file in asked:
                file.question, file.series, file.given_up = None, series, not series
            if not asked:
                return
            if series:  # the newest now: the page opens what a person has just asked for
                self._files = [file for file in self._files if file not in asked] + asked
            self._first = min(self._first, self._files.index(asked[0]))
            self._waiting += asked
            self._start_threads()
            self._changed.notify_all()

    def progress(self) -> Progress:
        """Progress of the files that were added since the batch was last idle."""
        with self._changed:
            files = self._files[self._first :]
            shares = [1.0 if f.outcome else STEPS.index(f.step) / len(STEPS) for f in files]
            file = next((f for f in files if f.outcome is None and not f.question), None)
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
        """Cancel all files that are not done and ask nothing; their outcomes say so."""
        with self._changed:
            for file in self._files:
                file.given_up = file.given_up or file.question is None
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the outcomes until `undo_clear`, or files are added; unfinished stay."""
        with self._changed:
            self._cleared += [file for file in self._files if file.outcome is not None]
            self._files = [file for file in self._files if file.outcome is None]
            self._first = 0

    @property
    def cleared(self) -> int:
        """How many outcomes `undo_clear` brings back."""
        return len(self._cleared)

    def undo_clear(self) -> None:
        """Bring back what `clear` has forgotten."""
        with self._changed:
            self._files = self._cleared + self._files
            self._first = len(self._cleared)
            self._cleared = []

    def _copied(self, upload: Upload) -> _File:
        try:
            handle, name = tempfile.mkstemp(prefix=WAITING_PREFIX, dir=self._folder)
        except OSError:
            return self._not_kept(upload.name)
        try:
            with open(handle, "wb") as out:  # noqa: PTH123 - a file that is open already
                if callable(upload.source):  # it is fetched in its turn
                    return _File(upload.name, Path(name), upload.patient, upload.source)
                copy_encrypted(upload.source, out, self._keys, Path(name).name)
        except OSError:
            Path(name).unlink(missing_ok=True)
            return self._not_kept(upload.name)
        return _File(upload.name, Path(name), upload.patient)

    def _not_kept(self, name: str) -> _File:
        logger.exception("A file of the page could not be kept in the data folder")
        return _File(name, None, outcome=Outcome(name, None, _NOT_KEPT))

    def _run(self) -> None:
        """The work of one thread: file after file until none waits or asks."""
        while (file := self._next()) is not None:
            try:
                with acting_as(file.actor):  # whoever has added it
                    outcome = self._outcome(file)
            except SeveralSeriesError as error:
                with self._changed:
                    self._asked += 1
                    file.question = Question(self._asked, file.name, error.offers)
                    self._changed.notify_all()
                continue
            if file.path is not None:
                with contextlib.suppress(OSError):  # the next start removes it
                    file.path.unlink()
            with self._changed:
                file.outcome = outcome
                self._changed.notify_all()
                is_last = not self._is_active()
            if is_last and outcome.case is not None:
                try:
                    with acting_as(file.actor):
                        self._prepare(outcome.case)
                except HippoViewError as error:  # the viewer will ask, and say so
                    logger.warning("A case could not be prepared: {}", error.message)

    def _next(self) -> _File | None:
        """The next file. While one asks, its thread stays to see whether its session is gone."""
        with self._changed:
            while not self._waiting:
                asking = [file for file in self._files if file.question is not None]
                if not asking or self._threads > 1:
                    self._threads -= 1
                    return None
                self._changed.wait(_BUSY_S)
                if self._is_gone():
                    for file in asking:
                        file.question = None
                        self._waiting.append(file)  # its outcome says that it was given up
            return self._waiting.pop(0)

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
                if file.fetch is not None:
                    with file.path.open("wb") as target:
                        file.fetch(target, lambda words: self._tell(file, "check", words), gone)
                    file.fetch, file.is_clear = None, True
                keys = NO_KEYS if file.is_clear else self._keys
                with opened_clear(file.path, keys, file.path.name) as source:
                    case = self._work(source, file.name, caller, file.patient, file.series)
                    return Outcome(file.name, case)
            except BusyError as error:
                self._tell(file, "wait", f"{error.message}; it is tried again")
                self.wait(_BUSY_S)
            except GoneError:
                break
            except SeveralSeriesError:
                raise
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
    what = "batch.zip, with names" if with_names else "batch.zip"
    for case_id, _ in masks:
        shared.cases.acts.lines.exported(case_id, what)
    return archive(present, masks, with_names=with_names)
