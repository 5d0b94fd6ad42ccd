"""A patient's scans segmented again by the version that serves, as cases of their own.

A case has one model, and what people drew, reviewed and wrote belongs to its mask. So an older case
is never changed: the new one stands beside it, with the same scan, patient, groups, typed
facts and way back to the DICOM study, and without any review.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from app.batch import Batch, Upload
from app.services import Services
from core.cases.case import Case
from core.cases.study import Study, type_study
from core.limits import MAX_NAME_CHARS
from core.pipeline import Caller

_MARK = "again from"


def to_do(scans: Sequence[Case], sha256: str) -> list[Case]:
    """Scans of a patient that another version segmented, and that were not segmented again yet.

    Parameters
    ----------
    sha256
        Of the version that serves.
    """
    served = [case for case in scans if _sha256(case) == sha256]
    return [
        case for case in scans
        if _sha256(case) != sha256 and not any(_is_of(new, case) for new in served)
    ]  # fmt: skip


def of_one_version(scans: Sequence[Case]) -> list[Case]:
    """The scans of the version that has most of them, the latest where several have as many.

    Parameters
    ----------
    scans
        In time.
    """
    by_version: dict[str, list[Case]] = {}
    for case in scans:
        by_version.setdefault(_sha256(case), []).append(case)
    newest = [max(case.created_at for case in of) for of in by_version.values()]
    ranked = zip(map(len, by_version.values()), newest, by_version.values(), strict=True)
    return max(ranked, key=lambda each: each[:2])[2] if by_version else []


def touched(case: Case) -> bool:
    """Whether a person corrected or reviewed a case."""
    return bool(case.mask_version) or case.review.state != "new"


def segment_again(shared: Services, case_id: str, caller: Caller) -> Case:
    """Segment the scan of a case again, as a new case; the old one stays as it is.

    Raises
    ------
    HippoViewError
    """
    old = shared.cases.get(case_id)
    scan = io.BytesIO(shared.cases.image_file(case_id))
    analysis = replace(shared.analysed(scan, "page", caller), origin=shared.cases.origin(case_id))
    mark = f"({_MARK} {case_id})"
    name = f"{old.name[: MAX_NAME_CHARS - len(mark) - 1].strip()} {mark}"
    new = shared.keep(analysis, name, old.patient, old.owners)
    typed = Study(old.scan_date, old.sex, old.age_years)
    if typed != Study("", "", None):
        type_study(shared.cases.acts, new.id, typed)
    return new


class Again(Batch):
    """A batch of cases instead of files: each is segmented again.

    Parameters
    ----------
    here
        Whether the session is connected.
    """

    def __init__(self, shared: Services, here: "partial[bool]") -> None:
        def work(source: BinaryIO, case_id: str, caller: Caller, patient: str, series: str) -> Case:
            return segment_again(shared, case_id, caller)

        super().__init__(work, Path(shared.incoming), here, as_of_now=shared.sign_ins.as_of_now)

    def add_cases(self, scans: Sequence[Case]) -> None:
        """Segment cases again; returns before they are done."""
        self.add(Upload(case.id, io.BytesIO()) for case in scans)


def _sha256(case: Case) -> str:
    return str(case.report["model"].get("sha256", ""))


def _is_of(new: Case, old: Case) -> bool:
    return new.name.endswith(f"({_MARK} {old.id})")
