"""What every page and every API call shares: one set of services for the process."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from loguru import logger

from app import metrics
from core import example
from core.cases import Cases
from core.database import connect
from core.errors import BusyError, HippoViewError, InputError, ModelError
from core.intake import Source
from core.limits import MIB
from core.pipeline import Analysis, Step, analyse
from core.predictor.service import Predictors
from core.settings import Settings
from core.storage import LocalStorage


@dataclass(frozen=True)
class Services:
    """The parts that make up a running HippoView."""

    settings: Settings
    predictors: Predictors
    cases: Cases
    incoming: Path

    def analyse(
        self,
        source: Source,
        origin: str,
        *,
        device: str = "auto",
        on_step: Callable[[Step], None] = lambda step: None,
    ) -> Analysis:
        """Segment and measure one file, counted and logged (never with its name).

        Parameters
        ----------
        origin
            ``page`` or ``api``, for the metrics.

        Raises
        ------
        HippoViewError
        """
        try:
            self.predictors.check()
            analysis = analyse(
                source,
                self.predictors.on(device),
                self.incoming,
                max_bytes=self.settings.max_upload_mib * MIB,
                on_step=on_step,
            )
        except HippoViewError as error:
            outcome = "refused" if isinstance(error, InputError) else "failed"
            metrics.count(origin, "busy" if isinstance(error, BusyError) else outcome)
            logger.info("A scan from the {} was not segmented: {}", origin, error.code)
            raise
        metrics.count(origin, "segmented")
        metrics.time_steps(analysis.timings_s)
        logger.info(
            "A scan from the {} was segmented in {:.2f} s", origin, analysis.timings_s["total"]
        )
        return analysis


@st.cache_resource(show_spinner=False)
def services() -> Services:
    """The services of this process; the model is loaded in the background."""
    settings = Settings.from_environment()
    incoming = settings.data_dir / "incoming"
    incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in incoming.iterdir():  # of a process that was killed
        leftover.unlink()
    cases = Cases(connect(settings.data_dir), LocalStorage(settings.data_dir / "storage"))
    removed = cases.sweep()
    if removed:
        logger.info("{} cases deleted long ago or half-written were removed", removed)
    predictors = Predictors(settings.model_dir, settings.device, settings.queue_size)
    metrics.watch(predictors)
    threading.Thread(target=_warm_up, args=(predictors,), name="warm-up", daemon=True).start()
    return Services(settings, predictors, cases, incoming)


def _warm_up(predictors: Predictors) -> None:
    predictors.load()
    example_file()  # so that its first visitor does not wait for it


@st.cache_data(show_spinner=False)
def example_file() -> bytes:
    """The example scan, cut once."""
    return example.example_file()


def wait_for_model(predictors: Predictors, timeout_s: float, poll_s: float = 0.2) -> None:
    """Return once the model serves.

    Raises
    ------
    ModelError
        It cannot serve, or not in time.
    """
    deadline = time.monotonic() + timeout_s
    while predictors.serving is None:
        predictors.check()
        if time.monotonic() > deadline:
            raise ModelError("The model is still being loaded", "Try again in a minute.")
        time.sleep(poll_s)
