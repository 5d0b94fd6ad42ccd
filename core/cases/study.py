"""What is known of a scan's day and person: its date, and the person's sex and age then."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from core.cases.acts import Acts
from core.cases.case import SEXES, Case
from core.cases.records import Record, unknown_case
from core.errors import InputError

# Nobody was older when scanned; a larger number is a typing error.
MAX_AGE_YEARS = 125
# Before the first magnetic resonance image of a head.
EARLIEST_SCAN = date(1977, 1, 1)


@dataclass(frozen=True)
class Study:
    """A scan's day and person; what nobody knows is empty.

    Attributes
    ----------
    date : str
        Of the scan, ISO 8601, such as ``2024-05-01``.
    sex : str
        ``F``, ``M`` or ``O`` (DICOM's *other*).
    age_years : int or None
        On the day of the scan.
    """

    date: str = ""
    sex: str = ""
    age_years: int | None = None


def study_of(case: Case) -> Study:
    """What a person typed, and for what nobody typed, what the scan's DICOM file said."""
    said = dicom_study_of(case)
    return Study(
        case.scan_date or said.date,
        case.sex or said.sex,
        said.age_years if case.age_years is None else case.age_years,
    )


def dicom_study_of(case: Case) -> Study:
    """What the scan's DICOM file said, without impossible dates and ages.

    Programs that anonymise files write 1900-01-01 and 999 years.
    """
    said = Study(**case.report.get("study") or {})
    return Study(
        said.date if _is_scan_day(said.date) else "",
        said.sex if said.sex in SEXES else "",
        said.age_years if _is_age(said.age_years) else None,
    )


def type_study(acts: Acts, case_id: str, study: Study, seen: Study | None = None) -> None:
    """Keep what a person typed; what is empty is as the DICOM file says.

    Parameters
    ----------
    acts
        `core.cases.store.Cases.acts`.
    study
    seen
        What was typed before, as this person saw it: only what differs is written, so that another
        person's date stays beside this one's age. None to write all of it.

    Raises
    ------
    InputError
        No scan has such a date, or nobody such an age or sex.
    NotFoundError
        The case does not exist, is deleted, or is not one that whoever acts sees.
    AccessError, ForbiddenError
    """
    acts.admit(case_id, "describe")
    check(study)
    typed, before = _columns(study), {} if seen is None else _columns(seen)

    def edit(record: Record) -> dict[str, str | int | None]:
        if record["deleted_at"] is not None:
            raise unknown_case()
        return {
            name: value
            for name, value in typed.items()
            if name not in before or before[name] != value
        }

    acts.update_record(case_id, edit, act="edit", note="study")


def check(study: Study) -> None:
    """Refuse what no scan and nobody can have.

    Raises
    ------
    InputError
    """
    if study.date and not _is_scan_day(study.date):
        raise InputError(
            "No scan can have this date",
            f"Type one from {EARLIEST_SCAN.year} to today, or none.",
            code="bad_study",
        )
    if study.sex not in SEXES:
        raise InputError("The sex is not known", "Choose F, M, O or none.", code="bad_study")
    if study.age_years is not None and not _is_age(study.age_years):
        raise InputError(
            f"Nobody is {study.age_years} years old",
            f"Type an age from 0 to {MAX_AGE_YEARS} years, or none.",
            code="bad_study",
        )


def latest_scan() -> date:
    """The latest date that a scan may have: tomorrow, for scanners in time zones ahead of UTC."""
    return datetime.now(UTC).date() + timedelta(days=1)


def _is_scan_day(text: str) -> bool:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return False
    return day.isoformat() == text and EARLIEST_SCAN <= day <= latest_scan()


def _is_age(years: int | None) -> bool:
    return years is not None and 0 <= years <= MAX_AGE_YEARS


def _columns(study: Study) -> dict[str, str | int | None]:
    return {"scan_date": study.date, "sex": study.sex, "age_years": study.age_years}
