"""Looks now and then whether a rule asks for a training, and queues it."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from loguru import logger

from app.operations import drift_of_cases
from app.services import Services
from core import limits
from core.errors import HippoViewError, InputError, TrainingError
from core.training.config import TrainingRequest, check_installed
from core.training.data.dataset import REVIEWED_NAME
from core.training.data.reviewed import follow_before
from core.training.rules import RuleSettings, now_utc


class RulesWatch:
    """The look of one server at the rules.

    Parameters
    ----------
    shared
    clock
        Seconds, monotonic.
    """

    def __init__(self, shared: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._clock = clock
        self._looked_at = -limits.RULES_EVERY_S + clock()
        self._settings = RuleSettings()
        self._unusable: list[str] | None = None

    def tick(self) -> None:
        """Look, if it is time to or the settings changed.

        Raises
        ------
        StorageError
        """
        settings = self._shared.rules.settings()
        is_due = self._clock() - self._looked_at >= limits.RULES_EVERY_S
        if not is_due and settings == self._settings:
            return
        self._looked_at, self._settings = self._clock(), settings
        if settings.any_on:
            self._look(settings)

    def _look(self, settings: RuleSettings) -> None:
        shared = self._shared
        try:
            check_installed()
        except TrainingError:
            return  # the page says so
        if settings.on_drift:
            try:
                shared.rules.saw(drift_of_cases(shared, limits.RULE_DRIFT_CASES).state, now_utc())
            except HippoViewError as error:  # the reviews are looked at all the same
                logger.info("Rules could not see the drift: {}", error.message)
        if not shared.rules.look(now_utc()).rules:
            return
        reviews = shared.rules.reviews()
        if reviews == self._unusable:
            return
        try:
            follow_before(REVIEWED_NAME, shared.cases, shared.storage)
        except HippoViewError as error:
            if isinstance(error, InputError):
                self._unusable = reviews  # until somebody reviews another case
            shared.rules.note(f"No training could be queued: {error.message}. {error.hint}")
            return
        job = shared.rules.ask(now_utc())
        if job is not None:
            logger.info("A rule asked for training {}: {}", job.id, job.reason)


def save(shared: Services, settings: RuleSettings) -> None:
    """Replace the settings of the rules.

    Raises
    ------
    InputError, TrainingError
        A value is out of its range, or this server cannot train so.
    """
    settings.checked()
    if settings.any_on:
        serving = shared.predictors.serving
        config = TrainingRequest(REVIEWED_NAME, settings.preset).config()
        if config.needs_gpu and (serving is None or serving.network.device != "cuda"):
            raise TrainingError(
                f"The preset {settings.preset} needs an NVIDIA GPU and this server has none",
                "Choose another preset.",
                code="needs_gpu",
            )
    shared.rules.set(settings)


def state(shared: Services) -> dict[str, Any]:
    """The settings, the drift alarm, and in words why no training is asked for now."""
    decision = shared.rules.look(now_utc())
    alarm = shared.rules.alarm()
    words = f"A training is due: {decision.reason}" if decision.rules else decision.waits
    return {
        **asdict(shared.rules.settings()),
        "alarm_since": alarm.since if alarm else None,
        "words": words,
        "trouble": shared.rules.trouble(),
    }
