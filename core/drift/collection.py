"""What the API is sent, kept as a setting says, so that a deployment behind it alone is watched.

``features`` keeps the numbers of `core.measures.features` in the database, without the scan, an id
or whose it is; ``cases`` keeps whole cases, as the Segment page does. Both end as cases do.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from loguru import logger
from sqlalchemy import Engine, func, select

from core.cases.store import Cases
from core.errors import HippoViewError
from core.measures.head_features import is_of_head
from core.people.acting import SERVER, acting_as, actor
from core.people.audit import record, record_alone, recording
from core.pipeline import Analysis
from core.state.database import reading, timestamp
from core.state.tables import API_SCANS
from core.wording import counted

Keep = Literal["nothing", "features", "cases"]
_EVERY_S = 3600.0


class Collection:
    """What an installation keeps of what its API is sent.

    Parameters
    ----------
    engine, cases
    keep
        ``nothing``, ``features`` or ``cases``.
    days
        After which features end; 0: never.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        cases: Cases,
        keep: str = "nothing",
        days: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._keep = keep
        self._days = days
        self._clock = clock
        self._due_at = 0.0

    def keep(self, analysis: Analysis) -> dict[str, Any]:
        """Keep what the setting says. Where that fails, who waits for the mask has it all the same.

        Returns
        -------
        dict
            ``kept``: ``nothing``, ``features`` or ``case``; of a case its ``case_id``; ``days``
            until it ends, None where it does not.

        Raises
        ------
        StorageError
            Not even the trail can be written.
        """
        try:
            if self._keep == "features":
                self._add(analysis)
                return {"kept": "features", "days": self._days or None}
            if self._keep == "cases":
                case_id = self._add_case(analysis)
                return {"kept": "case", "case_id": case_id, "days": self._days or None}
        except HippoViewError as error:
            logger.warning("A scan from the api could not be kept: {}", error.message)
        record_alone(self._engine, "upload", note="segmented for the api, not kept")
        return {"kept": "nothing", "days": None}

    def tick(self) -> None:
        """Remove the features whose days are over, now and then.

        Raises
        ------
        StorageError
        """
        if self._days <= 0 or self._clock() < self._due_at:
            return
        self._due_at = self._clock() + _EVERY_S
        before = (datetime.now(UTC) - timedelta(days=self._days)).isoformat(timespec="milliseconds")
        ended = API_SCANS.c.at < before
        with reading(self._engine) as connection:
            if not connection.scalar(select(func.count()).select_from(API_SCANS).where(ended)):
                return
        with recording(self._engine, needed=False) as connection:
            gone = connection.execute(API_SCANS.delete().where(ended)).rowcount
            if gone:
                record(connection, "remove", "features", note=f"of {counted(gone, 'API scan')}")

    def _add(self, analysis: Analysis) -> None:
        kind = "head" if is_of_head(analysis.features) else "crop"
        content = json.dumps(analysis.features)
        values = {"at": timestamp(), "kind": kind, "content": content}
        with recording(self._engine) as connection:
            connection.execute(API_SCANS.insert().values(**values))
            record(connection, "upload", note="segmented for the api, numbers kept")

    def _add_case(self, analysis: Analysis) -> str:
        # A service may keep no case of its own will: it is the setting that does, for the groups
        # of whoever sends.
        who = actor()
        with acting_as(replace(SERVER, id=who.id, name=who.name, groups=who.groups)):
            return self._cases.add(analysis, "").id
