"""Whether the mask that somebody looked at is still the current one of its case."""

from core.cases.case import Case
from core.cases.store import Cases
from core.errors import NewerVersionError


def case_as_seen(cases: Cases, case_id: str, seen: int | None = None) -> Case:
    """A case, if its mask is the one that somebody looked at.

    Parameters
    ----------
    seen
        The version of that mask; by default whichever it is.

    Raises
    ------
    NewerVersionError
        Another mask is the current one.
    NotFoundError
    """
    case = cases.get(case_id)
    if seen is not None and case.mask_version != seen:
        raise NewerVersionError(
            f"{case_id}: mask version {case.mask_version} was saved after the page was drawn",
            "Nothing was written. Load the page again, look at that mask, then repeat this.",
            newest=case.mask_version,
        )
    return case
