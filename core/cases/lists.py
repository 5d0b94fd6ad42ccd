"""Lists of the cases of an installation: of their rows alone, without a look into the storage."""

import json
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, func, select

from core.cases.case import CaseRow
from core.measures.features import Values
from core.people.permission import Guard
from core.state.database import reading
from core.state.private import clear
from core.state.tables import CASES, FEATURES


class CaseLists:
    """What is asked of all cases at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.guard = Guard(engine)

    def features(self) -> list[tuple[CaseRow, Values]]:
        """The drift features of every case on the list, the newest first.

        Raises
        ------
        AccessError, ForbiddenError
        """
        self.guard.require("watch")
        columns = [CASES.c[field] for field in CaseRow.__dataclass_fields__]
        query = (
            select(*columns, FEATURES.c.content)
            .join(FEATURES)
            .where(not_deleted())
            .order_by(CASES.c.created_at.desc(), CASES.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [(CaseRow(*row[:-1]), json.loads(row[-1])) for row in rows]

    def accepted_features(self) -> list[tuple[str, Values]]:
        """Ids and drift features of accepted and corrected cases, the earliest review first.

        Raises
        ------
        AccessError, ForbiddenError
        """
        self.guard.require("watch")
        query = (
            select(CASES.c.id, FEATURES.c.content)
            .join(FEATURES)
            .where(not_deleted(), CASES.c.review.in_(("accepted", "corrected")))
            .order_by(CASES.c.reviewed_at, CASES.c.created_at, CASES.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [(case_id, json.loads(content)) for case_id, content in rows]

    def scanners(self, case_ids: Sequence[str]) -> dict[str, str]:
        """By case id the manufacturer and the model that its DICOM header said; empty without it.

        Raises
        ------
        AccessError, ForbiddenError
        """
        self.guard.require("watch")
        query = select(CASES.c.id, CASES.c.report).where(CASES.c.id.in_(case_ids))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {case_id: json.loads(report).get("scanner") or "" for case_id, report in rows}

    def find(self, search: str = "", *, deleted: bool = False) -> list[CaseRow]:
        """Cases whose id, name or patient holds the words searched for, the newest first.

        Raises
        ------
        AccessError, ForbiddenError
            Whoever acts sees no cases. Of a reader's, those of other groups are left out.
        """
        self.guard.require("delete" if deleted else "see")
        columns = [CASES.c[field] for field in CaseRow.__dataclass_fields__]
        query = select(*columns).order_by(CASES.c.created_at.desc(), CASES.c.id)
        query = query.where(CASES.c.deleted_at.is_not(None) if deleted else not_deleted())
        query = query.where(self.guard.seen(CASES.c.owners))
        for word in search.split():
            query = query.where(
                CASES.c.id.icontains(word, autoescape=True)
                | clear(CASES.c.name).icontains(word, autoescape=True)
                | clear(CASES.c.patient).icontains(word, autoescape=True)
            )
        with reading(self._engine) as connection:
            return [CaseRow(*row) for row in connection.execute(query)]

    def patients(self) -> list[str]:
        """The pseudonyms of the cases on the list that whoever acts sees, in order.

        Raises
        ------
        AccessError, ForbiddenError
        """
        self.guard.require("see")
        patient = clear(CASES.c.patient)
        query = select(patient).where(not_deleted(), patient != "").distinct()
        query = query.where(self.guard.seen(CASES.c.owners))
        with reading(self._engine) as connection:
            return sorted(connection.scalars(query))

    def count(self) -> int:
        """How many cases are on the list."""
        with reading(self._engine) as connection:
            query = select(func.count()).select_from(CASES).where(not_deleted())
            return int(connection.scalar(query) or 0)

    def head_count(self) -> int:
        """How many cases on the list are whole heads."""
        is_head = CASES.c.report.contains('"head": {', autoescape=True)
        query = select(func.count()).select_from(CASES).where(not_deleted(), is_head)
        with reading(self._engine) as connection:
            return int(connection.scalar(query) or 0)


def not_deleted() -> ColumnElement[bool]:
    """The condition that a case is on the list: it was not deleted."""
    return CASES.c.deleted_at.is_(None)
