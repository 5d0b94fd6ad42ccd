"""A queue of files on the Segment page: one after the other, each with its own outcome."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import streamlit as st

from app.services import Services
from core.errors import HippoViewError
from core.export import Outcome
from core.pipeline import STEPS, Step

_WORDS: dict[Step, str] = {
    "check": "Checking the file",
    "orient": "Turning it to the model's orientation",
    "segment": "Finding the hippocampus",
    "measure": "Measuring",
}


@dataclass
class Batch:
    """What one browser session segmented, in its session state."""

    outcomes: list[Outcome] = field(default_factory=list)
    round: int = 0


def process(shared: Services, batch: Batch, files: list[tuple[str, BinaryIO | bytes]]) -> None:
    """Segment files in turn and tell how far it is; one bad file does not stop the rest."""
    with st.status(f"0 of {len(files)} done", expanded=True) as status:
        bar = st.progress(0.0)

        for number, (name, content) in enumerate(files):

            def tell(step: Step, number: int = number, name: str = name) -> None:
                done = (number + STEPS.index(step) / len(STEPS)) / len(files)
                bar.progress(done, f"{name}: {_WORDS[step]}")

            source = io.BytesIO(content) if isinstance(content, bytes) else content
            batch.outcomes.append(_outcome(shared, source, name, tell))
            status.update(label=f"{number + 1} of {len(files)} done")


def _outcome(
    shared: Services, source: BinaryIO, name: str, tell: Callable[[Step], None]
) -> Outcome:
    try:
        analysis = shared.analyse(source, "page", on_step=tell)
        return Outcome(name, shared.cases.add(analysis, name))
    except HippoViewError as error:
        return Outcome(name, None, f"{error.message}. {error.hint}")
