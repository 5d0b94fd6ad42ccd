"""What browsers drew on cases and did not save yet.

A draft is of one browser and one of its drawings: two pages that draw on one case have one each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Engine, select

from core import limits
from core.cases.case import MODEL_MASK
from core.cases.packing import ras_shape, unpacked
from core.cases.store import Cases
from core.image import nifti
from core.state.database import reading
from core.state.tables import DRAFTS


@dataclass(frozen=True)
class Draft:
    """What was drawn and not saved: labels in RAS+ as gzip, over the version ``base``."""

    base: int
    at: str
    labels: bytes
    drawing: str = ""


class Drafts:
    """The drafts of all cases."""

    def __init__(
        self, engine: Engine, cases: Cases, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._now = now

    def keep(
        self, case_id: str, visitor: str, packed: bytes, base: int, drawing: str = "",
        replaces: str = "",
    ) -> None:  # fmt: skip
        """Keep what a browser drew so far, in place of what it sent before.

        Parameters
        ----------
        drawing
            Two pages of one browser that draw on one case have a draft each, by this name.
        replaces
            The drawing that this one began with; it ends.

        Raises
        ------
        InputError, NotFoundError
        """
        self._cases.acts.admit(case_id, "correct")
        header = nifti.header_of(self._cases.mask_file(case_id, MODEL_MASK))
        unpacked(packed, ras_shape(header))
        key = draft_key(visitor, drawing)
        at = self._now().isoformat(timespec="milliseconds")
        row = {"case_id": case_id, "visitor": key, "base": base, "at": at}
        with self._engine.begin() as connection:
            if replaces:
                drop_one(connection, case_id, draft_key(visitor, replaces))
            drop_one(connection, case_id, key)
            connection.execute(DRAFTS.insert().values(**row, labels=packed))
            of_this = DRAFTS.c.case_id == case_id, _is_of(visitor)
            kept = select(DRAFTS.c.visitor).where(*of_this).order_by(DRAFTS.c.at.desc())
            for older in connection.scalars(kept.offset(limits.MOST_DRAFTS)).all():
                drop_one(connection, case_id, older)

    def of_browser(self, case_id: str, visitor: str, drawing: str = "") -> Draft | None:
        """What this browser drew and did not save: this drawing, or else the newest.

        Raises
        ------
        NotFoundError, AccessError, ForbiddenError
            Whoever acts does not see the case.
        """
        self._cases.acts.admit(case_id, "see")
        query = select(DRAFTS).where(DRAFTS.c.case_id == case_id, _is_of(visitor))
        query = query.order_by(DRAFTS.c.at.desc())
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        key = draft_key(visitor, drawing)
        row = next((row for row in rows if row.visitor == key), rows[0])
        return Draft(row.base, row.at, row.labels, row.visitor[len(visitor) + 1 :])

    def drop(self, case_id: str, visitor: str, drawing: str = "") -> None:
        """Forget a draft, or all of a browser; none there is no error.

        Raises
        ------
        NotFoundError, AccessError, ForbiddenError
            Whoever acts does not see the case.
        """
        self._cases.acts.admit(case_id, "correct")
        with self._engine.begin() as connection:
            _drop(connection, case_id, draft_key(visitor, drawing))


def draft_key(visitor: str, drawing: str) -> str:
    """What stands in the column ``visitor``: the browser, and which of its drawings."""
    return f"{visitor}.{drawing}" if drawing else visitor


def _is_of(visitor: str) -> ColumnElement[bool]:
    """Drafts of a browser; of one drawing, where the key holds its name."""
    column = DRAFTS.c.visitor
    return (column == visitor) | column.startswith(f"{visitor}.", autoescape=True)


def _drop(connection: Connection, case_id: str, visitor: str) -> None:
    connection.execute(DRAFTS.delete().where(DRAFTS.c.case_id == case_id, _is_of(visitor)))


def drop_one(connection: Connection, case_id: str, key: str) -> None:
    """Drop the draft with exactly this key; one without a drawing's name matches no other."""
    connection.execute(DRAFTS.delete().where(DRAFTS.c.case_id == case_id, DRAFTS.c.visitor == key))
