"""Drift reports that are written into the storage once a week or a month.

``reports/drift/2026-W49.html`` and ``.json`` are of the state at the first moment of that week in
which a server ran. Of two processes one writes each file.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from loguru import logger

from core.drift.of_cases import CaseDrift
from core.errors import ChangedError, InputError
from core.state.storage import Storage

if TYPE_CHECKING:
    from core.exports.drift_report import Part

FOLDER = "reports/drift"
# The newest cases of each kind that a report compares.
NEWEST = 200
_LOOK_EVERY_S = 300.0


class DriftReports:
    """The reports of an installation.

    Parameters
    ----------
    storage
    every
        ``off``, ``weekly`` or ``monthly``.
    clock
        Seconds, monotonic.
    today
        The day, UTC.
    """

    def __init__(
        self,
        storage: Storage,
        every: str,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._storage = storage
        self._every = every
        self._clock = clock
        self._today = today
        self._due_at = 0.0

    def write_if_due(self, compare: Callable[[int], CaseDrift]) -> None:
        """Write the report of this period, if there is none yet.

        Parameters
        ----------
        compare
            Compares so many of the newest cases of each kind; called where one is due.

        Raises
        ------
        HippoViewError
        """
        if self._every == "off" or self._clock() < self._due_at:
            return
        self._due_at = self._clock() + _LOOK_EVERY_S
        name = period_of(self._today(), self._every)
        missing = [kind for kind in ("json", "html") if f"{name}.{kind}" not in self.names()]
        if not missing:
            return
        drift = compare(NEWEST)
        for kind in missing:
            content = report_json(drift) if kind == "json" else _html(drift)
            try:
                self._storage.replace(f"{FOLDER}/{name}.{kind}", content, None)
            except ChangedError:  # another process was faster
                continue
            logger.info("The drift report {}.{} was written", name, kind)

    def names(self) -> list[str]:
        """The files that are there, the newest first.

        Raises
        ------
        StorageError
        """
        keys = self._storage.keys(FOLDER)
        return sorted((key.removeprefix(f"{FOLDER}/") for key in keys), reverse=True)

    def read(self, name: str) -> bytes:
        """A file of `names`.

        Raises
        ------
        InputError
            There is none of this name.
        StorageError
        """
        if name not in self.names():
            raise InputError("There is no such report", "Reload the page.", code="not_found")
        return self._storage.read(f"{FOLDER}/{name}")


def period_of(day: date, every: str) -> str:
    """The week or the month of a day.

    >>> period_of(date(2026, 11, 30), "weekly"), period_of(date(2026, 11, 30), "monthly")
    ('2026-W49', '2026-11')
    """
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}" if every == "weekly" else f"{day:%Y-%m}"


def _html(drift: CaseDrift) -> bytes:
    # matplotlib takes a second to import: a start need not wait for it.
    from core.exports.drift_report import report_html

    return report_html(parts_of(drift))


def parts_of(drift: CaseDrift) -> "Sequence[Part]":
    """What a report says of crops and of heads."""
    from core.exports.drift_report import Part

    return [
        Part(title, of.drift, of.reference, of.window, [case.id for case in of.cases], of.chain)
        for title, of in (("Crops", drift.crops), ("Heads", drift.heads))
    ]


def report_json(drift: CaseDrift) -> bytes:
    """The same for programs."""
    content: dict[str, Any] = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_version": drift.version,
        "state": drift.state,
        "crops": drift.crops.as_dict(),
        "heads": drift.heads.as_dict(),
    }
    return json.dumps(content, indent=1).encode()
