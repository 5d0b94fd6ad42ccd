"""Cases that end by themselves, and all of a patient's at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from loguru import logger
from sqlalchemy import func, select

from core.cases.acts import Acts
from core.cases.records import Record, unknown_case
from core.errors import HippoViewError
from core.state.database import reading
from core.state.private import clear
from core.state.tables import CASES
from core.wording import counted


def retire(acts: Acts, now: datetime, days: int) -> int:
    """Delete the cases whose last review is too long ago; returns how many.

    They can be restored as others can. One that is not reviewed after that is deleted again.

    Parameters
    ----------
    acts
    now
        UTC.
    days
        After the last review, or after the upload of a case that nobody reviewed; 0: none ends.
    """
    if days <= 0:
        return 0
    before = (now - timedelta(days=days)).isoformat(timespec="milliseconds")
    last = func.coalesce(CASES.c.reviewed_at, CASES.c.created_at)
    query = select(CASES.c.id).where(CASES.c.deleted_at.is_(None), last < before)
    with reading(acts.engine) as connection:
        case_ids = connection.scalars(query).all()

    def edit(record: Record) -> dict[str, str]:
        is_old = (record["reviewed_at"] or record["created_at"]) < before
        if record["deleted_at"] is not None or not is_old:
            raise unknown_case()
        return {"deleted_at": now.isoformat(timespec="milliseconds")}

    ended = 0
    for case_id in case_ids:
        try:
            acts.update_record(case_id, edit, act="delete", note=f"{days} days after its review")
        except HippoViewError as error:  # reviewed or deleted meanwhile, or it is tried again
            logger.debug("{} does not end yet: {}", case_id, error.code)
        else:
            ended += 1
    if ended:
        logger.info("Deleted, as their days are over: {}", counted(ended, "case"))
    return ended


def of_patient(acts: Acts, patient: str) -> Sequence[str]:
    """The ids of all cases of a patient, deleted ones too."""
    query = select(CASES.c.id).where(clear(CASES.c.patient) == patient).order_by(CASES.c.id)
    with reading(acts.engine) as connection:
        return connection.scalars(query).all()
