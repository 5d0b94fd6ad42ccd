"""Cases of this installation that can stand in a reference group."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.cases.case import Case
from core.cases.store import Cases
from core.cases.study import study_of
from core.errors import InputError, NotFoundError
from core.references.comparison import why_none
from core.references.group import OUR_PROTOCOL, Group, Person


@dataclass(frozen=True)
class Candidate:
    """A case that can stand in a group.

    Attributes
    ----------
    case : Case
    person : Person
    """

    case: Case
    person: Person


def candidates(cases: Cases) -> list[Candidate]:
    """Accepted heads with both sides, age and sex, in the masks of the model; newest first.

    Of a patient with several scans the newest stands for the person. Cases without a patient count
    as a person each.
    """
    found, patients = [], set()
    for row in cases.find():
        if row.review != "accepted" or row.mask_version or row.patient in patients:
            continue
        try:
            candidate = _candidate(cases.get(row.id))
        except NotFoundError:  # deleted meanwhile
            continue
        if candidate is not None:
            found.append(candidate)
            patients |= {row.patient} - {""}
    return found


def group_of(chosen: Iterable[Candidate], name: str, source: str) -> Group:
    """A group of cases, not kept yet.

    Raises
    ------
    InputError
        More than one model version measured them.
    """
    chosen = list(chosen)
    models = {c.case.report["model"]["sha256"]: c.case.report["model"]["version"] for c in chosen}
    if len(models) > 1:
        raise InputError(
            f"The cases were measured by {len(models)} model versions",
            "Choose cases of one version, or segment the others again.",
            code="bad_group",
        )
    sha256, version = next(iter(models.items()), ("", ""))
    people = tuple(candidate.person for candidate in chosen)
    return Group("", name, OUR_PROTOCOL, source, people, sha256, str(version))


def _candidate(case: Case) -> Candidate | None:
    study = study_of(case)
    if why_none(case, study) or study.age_years is None:
        return None
    sides = case.report["measures"]["sides"]
    if len(sides) < 2 or not all(side["total"]["voxels"] for side in sides.values()):
        return None
    left, right = (sides[side]["total"]["volume_mm3"] for side in ("left", "right"))
    return Candidate(case, Person(float(study.age_years), study.sex, left, right, case.id))
