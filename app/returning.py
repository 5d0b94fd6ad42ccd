"""Sends the results of received studies back to the PACS, until they are there."""

import time
from collections.abc import Callable

from loguru import logger

from app.pacs import send_results
from app.services import Services
from core.cases.case import Case, confidence_of
from core.errors import HippoViewError, NotFoundError, PacsError, StorageError
from core.pacs.ready import Returns

# After a failure it is tried again after so long, and twice as long after each further one.
_AGAIN_S, _LONGEST_S, _MOST_DOUBLED = 30.0, 3600.0, 7
_LATER = (PacsError, StorageError)


class Returning:
    """The way back of one server. What waits is on the disk: a restart goes on with it.

    Parameters
    ----------
    shared
    clock
        Seconds, monotonic.
    """

    def __init__(self, shared: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared, self._clock = shared, clock
        self._returns = Returns(shared.settings.received_dir)
        self._not_before_s = 0.0
        # By case: how often it failed, and when it is tried again.
        self._later: dict[str, tuple[int, float]] = {}

    def add(self, case: Case) -> None:
        """Queue the results of a new case, if the setting asks for them.

        Raises
        ------
        StorageError
        """
        if self._is_asked_for(case):
            self._returns.add(case.id)

    def tick(self) -> None:
        """Send what waits, if it is time to.

        Raises
        ------
        StorageError
        """
        if not self._shared.settings.pacs_url or self._clock() < self._not_before_s:
            return
        # Those that never failed first: one that the PACS never takes stops no other.
        for case_id in sorted(self._returns.cases(), key=self._failures):
            failures, not_before_s = self._later.get(case_id, (0, 0.0))
            if self._clock() < not_before_s:
                continue
            if not self._is_done(case_id):
                wait_s = min(_AGAIN_S * 2 ** min(failures, _MOST_DOUBLED), _LONGEST_S)
                self._later[case_id] = failures + 1, self._clock() + wait_s
                self._not_before_s = self._clock() + _AGAIN_S
                return
            self._later.pop(case_id, None)
            self._returns.remove(case_id)

    def _is_asked_for(self, case: Case) -> bool:
        """Whether the rule sends a case as it is: not one that somebody has rejected since."""
        rule = self._shared.settings.pacs_return
        is_usable = confidence_of(case.report) != "unreliable"
        return case.review.state != "rejected" and (
            rule == "all" or (rule == "usable" and is_usable)
        )

    def _is_still_asked_for(self, case_id: str) -> bool:
        try:
            return self._is_asked_for(self._shared.cases.get(case_id))
        except NotFoundError:
            return True  # sending it says what is missing

    def _failures(self, case_id: str) -> int:
        return self._later.get(case_id, (0, 0.0))[0]

    def _is_done(self, case_id: str) -> bool:
        """Send the results of a case; whether they are there, or never can be."""
        from core.pacs.client import Pacs  # imports pydicom

        pacs = Pacs.of(self._shared.settings)
        try:
            if pacs is not None and self._is_still_asked_for(case_id):
                send_results(self._shared, pacs, case_id)
        except _LATER as error:
            logger.warning("{}: its results wait: {}. {}", case_id, error.message, error.hint)
            return False
        except NotFoundError as error:
            logger.warning("{}: it has no results to send ({})", case_id, error.code)
        except HippoViewError as error:
            logger.error("{}: its results cannot be sent: {}", case_id, error.message)
        except Exception as error:  # noqa: BLE001 - the others go on; it is tried again
            # Not its message, which may quote a header.
            logger.error("{}: its results failed unforeseen ({})", case_id, type(error).__name__)
            return False
        return True
