"""A queue of files on the Segment page: two at a time, each with its own outcome."""

import threading
import uuid
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import BinaryIO

import streamlit as st

from app.services import Services
from app.words import plain
from core.errors import BusyError, GoneError, HippoViewError, NotFoundError
from core.export import Outcome, archive
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


@dataclass
class Batch:
    """What one browser session segmented, in its session state.

    ``done`` holds the ids of uploads that have their outcome: when another click interrupts
    the page at work, its next run goes on with the rest.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    round: int = 0
    user: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Upload:
    """One file to segment."""

    id: str
    name: str
    source: BinaryIO


def process(shared: Services, batch: Batch, uploads: list[Upload]) -> None:
    """Segment files and tell how far it is; one bad file does not stop the rest.

    A click elsewhere, or a browser that is closed, ends the script at one of its calls of
    Streamlit: files that wait are given up then, and those that are finished are kept.
    """
    todo = [upload for upload in uploads if upload.id not in batch.done]
    told: SimpleQueue[tuple[int, Step, str]] = SimpleQueue()
    gone = threading.Event()
    workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="batch")
    futures: list[Future[Outcome]] = []
    # Not `st.status`: its wheel, turned without a GPU, takes a core from the segmentation.
    with st.container(border=True):
        count = st.empty()
        count.markdown(f"**0 of {len(todo)} done**")
        bar = st.progress(0.0)
        try:
            for number, upload in enumerate(todo):
                work = _Work(shared, batch.user, number, upload, told, gone)
                future = workers.submit(work.outcome)
                future.add_done_callback(partial(_wake, told, number))
                futures.append(future)
            steps: dict[int, Step] = {}
            for number, upload in enumerate(todo):
                while not futures[number].done():
                    which, step, words = told.get()
                    steps[which] = step
                    share = sum(
                        1 if futures[n].done() else STEPS.index(s) / len(STEPS)
                        for n, s in steps.items()
                    )
                    if which == number and words:
                        bar.progress(share / len(todo), f"{plain(upload.name)}: {words}")
                _keep(batch, [(upload, futures[number])])
                count.markdown(f"**{number + 1} of {len(todo)} done**")
        finally:
            gone.set()
            workers.shutdown(wait=True, cancel_futures=True)
            _keep(batch, zip(todo, futures, strict=False))


def current(shared: Services, outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes with their cases as they are now: corrected, renamed, or deleted."""
    found = []
    for outcome in outcomes:
        if outcome.case is not None:
            case_id = outcome.case.id
            try:
                outcome = Outcome(outcome.name, shared.cases.get(case_id))
            except NotFoundError:
                outcome = Outcome(outcome.name, None, f"{case_id} was deleted.")
        found.append(outcome)
    return found


def zip_of(shared: Services, outcomes: list[Outcome], with_names: bool) -> bytes:
    """All masks, records and the summary; a case deleted meanwhile is named as such."""
    present = current(shared, outcomes)
    masks = [(o.case.id, shared.cases.mask_file(o.case.id)) for o in present if o.case is not None]
    return archive(present, masks, with_names=with_names)


def _wake(told: SimpleQueue[tuple[int, Step, str]], number: int, done: Future[Outcome]) -> None:
    told.put((number, STEPS[-1], ""))


def _keep(batch: Batch, files: Iterable[tuple[Upload, Future[Outcome]]]) -> None:
    """Note the outcomes that are there and not noted yet."""
    for upload, future in files:
        if upload.id in batch.done or future.cancelled():
            continue
        error = future.exception()
        if error is None:
            batch.outcomes.append(future.result())
            batch.done.add(upload.id)
        elif not isinstance(error, GoneError):
            raise error


@dataclass(frozen=True)
class _Work:
    """One file on its way, on a thread of its own."""

    shared: Services
    user: str
    number: int
    upload: Upload
    told: SimpleQueue[tuple[int, Step, str]]
    gone: threading.Event

    def outcome(self) -> Outcome:
        """Segment the file and keep it as a case.

        Raises
        ------
        GoneError
            The script that asked has ended.
        """
        caller = Caller(self.user, self._on_step, self._on_place, self.gone.is_set)
        while True:
            try:
                self.upload.source.seek(0)
                analysis = self.shared.analyse(self.upload.source, "page", caller)
                return Outcome(self.upload.name, self.shared.cases.add(analysis, self.upload.name))
            except BusyError as error:
                self.told.put((self.number, "wait", f"{error.message}; it is tried again"))
                if self.gone.wait(_BUSY_S):
                    raise GoneError("Nobody waits for this scan any more") from error
            except GoneError:
                raise
            except HippoViewError as error:
                return Outcome(self.upload.name, None, f"{error.message}. {error.hint}")

    def _on_step(self, step: Step) -> None:
        self.told.put((self.number, step, _WORDS[step]))

    def _on_place(self, place: int) -> None:
        self.told.put((self.number, "wait", f"Place {place} in the queue"))
