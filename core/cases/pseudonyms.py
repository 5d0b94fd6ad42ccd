"""Under which pseudonym the patient of a new scan is kept here."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine, select

from core.cases.origins import Origins
from core.errors import StorageError
from core.state.database import reading
from core.state.encryption import DAMAGED_CODE
from core.state.private import clear
from core.state.tables import CASES

if TYPE_CHECKING:
    from core.image.dicom.origin import Origin

# Cases of one pseudonym that are looked into.
_MOST_CASES = 50


def pseudonym_here(origin: "Origin", origins: Origins, engine: Engine) -> str:
    """The pseudonym of a scan's patient; see `Origins.pseudonym`.

    Earlier versions left the date of birth out of it. A patient who has one of these, and the same
    date of birth, keeps it.

    Raises
    ------
    StorageError
    """
    own, earlier = origins.pseudonym(origin), origins.earlier_pseudonym(origin)
    if not own:
        return ""
    patient = clear(CASES.c.patient)
    query = select(CASES.c.id, CASES.c.patient).where(patient.in_((own, earlier)))
    query = query.order_by(patient != own, CASES.c.created_at.desc()).limit(_MOST_CASES)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    if any(row.patient == own for row in rows):
        return own
    for row in rows:
        try:
            kept = origins.load(row.id)
        except StorageError as error:
            if error.code not in ("origins_key", DAMAGED_CODE):
                raise
            continue  # one that was damaged: it says nothing of whom it is
        if kept is not None and origins.pseudonym(kept) == own:
            return earlier
    return own
