"""Checks the trail now and then while a server runs, and remembers what it found."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger
from sqlalchemy import Engine

from core.due import Due
from core.errors import HippoViewError
from core.people.audit_verify import verify
from core.state.storage import Storage

# It reads every line and copy: some milliseconds for a thousand lines.
_FIRST_AFTER_S, _EVERY_S = 60.0, 6 * 3600.0


@dataclass(frozen=True)
class AuditCheck:
    """What a check found.

    Attributes
    ----------
    at_s : float
        When, in seconds since 1970.
    lines, faults : int
        Lines of the trail, and what is not as it was written.
    """

    at_s: float
    lines: int
    faults: int


class AuditWatch:
    """The checks of one server.

    Parameters
    ----------
    engine, storage
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, engine: Engine, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._due = Due(_EVERY_S, clock, _FIRST_AFTER_S)
        self.began_at_s = time.time()
        self.latest: AuditCheck | None = None

    def tick(self) -> None:
        """Check, if it is due. Never raises for what the storage does."""
        if not self._due.is_now():
            return
        try:
            self.check()
        except HippoViewError as error:
            logger.warning("The trail could not be checked: {}", error.message)

    def check(self) -> AuditCheck:
        """Check now.

        Raises
        ------
        StorageError
        """
        verified = verify(self._engine, self._storage)
        self.latest = AuditCheck(time.time(), verified.lines, len(verified.faults))
        if verified.faults:
            logger.error("The trail is not as it was written: python -m core audit verify")
        return self.latest
