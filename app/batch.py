"""A queue of files on the Segment page: one after the other, each with its own outcome."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import streamlit as st

from app.services import Services
from app.widgets import plain
from core.errors import BusyError, HippoViewError, NotFoundError
from core.export import Outcome, archive
from core.pipeline import STEPS, Step

_BUSY_S = 1.0
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


@dataclass(frozen=True)
class Upload:
    """One file to segment."""

    id: str
    name: str
    source: BinaryIO


def process(shared: Services, batch: Batch, uploads: list[Upload]) -> None:
    """Segment files in turn and tell how far it is; one bad file does not stop the rest."""
    todo = [upload for upload in uploads if upload.id not in batch.done]
    with st.status(f"0 of {len(todo)} done", expanded=True) as status:
        bar = st.progress(0.0)
        for number, upload in enumerate(todo):

            def tell(step: Step, number: int = number, name: str = upload.name) -> None:
                done = (number + STEPS.index(step) / len(STEPS)) / len(todo)
                bar.progress(done, f"{plain(name)}: {_WORDS[step]}")

            outcome = _outcome(shared, upload, tell)
            batch.outcomes.append(outcome)
            batch.done.add(upload.id)
            status.update(label=f"{number + 1} of {len(todo)} done")


def zip_of(shared: Services, outcomes: list[Outcome], with_names: bool) -> bytes:
    """All masks, records and the summary; a case deleted meanwhile is named as such."""
    present, masks = [], []
    for outcome in outcomes:
        if outcome.case is not None:
            try:
                masks.append((outcome.case.id, shared.cases.mask_file(outcome.case.id)))
            except NotFoundError:
                outcome = Outcome(outcome.name, None, f"{outcome.case.id} was deleted.")
        present.append(outcome)
    return archive(present, masks, with_names=with_names)


def _outcome(shared: Services, upload: Upload, tell: Callable[[Step], None]) -> Outcome:
    while True:
        try:
            upload.source.seek(0)
            analysis = shared.analyse(upload.source, "page", on_step=tell)
            return Outcome(upload.name, shared.cases.add(analysis, upload.name))
        except BusyError:
            tell("wait")
            time.sleep(_BUSY_S)
        except HippoViewError as error:
            return Outcome(upload.name, None, f"{error.message}. {error.hint}")
