"""The patients of an installation, and each one's scans in time."""

import json
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select

from core.cases.case import Case, confidence_of
from core.cases.store import Cases
from core.cases.study import study_of
from core.errors import NotFoundError
from core.measures.change import Measured, volumes_of
from core.measures.measure import why_scan_too_small
from core.state.database import reading
from core.state.private import clear
from core.state.tables import CASES

_COLUMNS = (
    CASES.c.id, CASES.c.name, CASES.c.created_at, CASES.c.report, CASES.c.patient,
    CASES.c.scan_date, CASES.c.sex, CASES.c.age_years,
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A patient, as a list shows it.

    Attributes
    ----------
    patient : str
        The pseudonym.
    case_ids : tuple of str
        The earliest scan first; see `in_time`.
    first_day, last_day : str
        Of the scans whose date is known, ISO 8601; empty if none is.
    sex : str
        As the latest scan has it that has one.
    ages : tuple of int
        In years, at the scans where it is known, the youngest first.
    """

    patient: str
    case_ids: tuple[str, ...]
    first_day: str
    last_day: str
    sex: str
    ages: tuple[int, ...]


def persons(cases: Cases, search: str = "") -> list[Person]:
    """The patients of the cases on the list, by pseudonym.

    Parameters
    ----------
    cases
    search
        Words that one of a patient's scans must be found by; see `Cases.find`.

    Raises
    ------
    AccessError, ForbiddenError
    """
    cases.guard.require("see")
    wanted = {row.patient for row in cases.find(search)} if search.strip() else None
    query = select(*_COLUMNS).where(CASES.c.deleted_at.is_(None), clear(CASES.c.patient) != "")
    query = query.where(cases.guard.seen(CASES.c.owners))
    with reading(cases.acts.engine) as connection:
        rows = connection.execute(query).all()
    by_patient: dict[str, list[Case]] = {}
    for row in rows:
        if wanted is None or row.patient in wanted:
            by_patient.setdefault(row.patient, []).append(
                Case(**dict(row._mapping) | {"report": json.loads(row.report)})
            )
    return [_person(name, in_time(scans)) for name, scans in sorted(by_patient.items())]


def scans_of(cases: Cases, patient: str) -> list[Case]:
    """The cases of a patient, `in_time`, each with the report on its current mask."""
    query = select(CASES.c.id).where(clear(CASES.c.patient) == patient)
    query = query.where(CASES.c.deleted_at.is_(None))
    with reading(cases.acts.engine) as connection:
        case_ids = connection.scalars(query).all()
    scans = []
    for case_id in case_ids:
        with suppress(NotFoundError):  # deleted meanwhile
            scans.append(cases.get(case_id))
            cases.acts.lines.viewed(case_id)
    return in_time(scans)


def in_time(scans: list[Case]) -> list[Case]:
    """The earliest first: by the date of the scan, else by when it was segmented."""
    return sorted(scans, key=lambda case: (day_of(case), case.created_at, case.id))


def day_of(case: Case) -> str:
    """The day of a scan, or that of its segmentation where it is not known."""
    return study_of(case).date or case.created_at[:10]


def measured(case: Case) -> Measured:
    """What a change needs of a case."""
    report = case.report
    return Measured(
        day=study_of(case).date,
        volumes_mm3=volumes_of(report["measures"]),
        model_version=report["model"]["version"],
        model_sha256=report["model"].get("sha256", ""),
        spacing_mm=tuple(report["input"]["spacing_mm"]),
        is_head=bool(report.get("head")),
        confidence=confidence_of(report),
        is_drawn=bool(case.mask_version),
        too_small=why_scan_too_small(report["measures"]),
    )


def _person(patient: str, scans: list[Case]) -> Person:
    known = [study_of(case) for case in scans]
    days = [study.date for study in known if study.date]
    return Person(
        patient,
        tuple(case.id for case in scans),
        min(days, default=""),
        max(days, default=""),
        next((study.sex for study in reversed(known) if study.sex), ""),
        tuple(sorted(study.age_years for study in known if study.age_years is not None)),
    )
