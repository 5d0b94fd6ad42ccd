"""The data set *reviewed*: the crops and heads that people accepted or corrected, kept up to date.

A mask that is corrected again is replaced; a case that is rejected, deleted or no longer reviewed
is removed, also from the frozen test set. `Datasets.history` lists what was there before. All cases
of a patient are on one side of its split; a case without a patient is a patient of its own.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.cases.case import CaseRow
from core.cases.store import Cases
from core.errors import NotFoundError
from core.state.storage import Storage
from core.training.data.dataset import REVIEWED_NAME, Dataset, key_of
from core.training.data.preparation import Report
from core.training.data.prepare import prepare

USABLE = ("accepted", "corrected")
# File with the mask version of each case that the data set was made from.
_STATE_NAME = "reviews.json"
# File with the patient of each case that has one.
_PATIENTS_NAME = "patients.json"


@dataclass(frozen=True)
class Changes:
    """How the current reviews differ from the data set.

    Attributes
    ----------
    joined, corrected, left : int
        Numbers of cases that it lacks, that have a newer mask, and that it should not have any
        more.
    regrouped : int
        Of its cases that were given a patient, another one, or none.
    """

    joined: int
    corrected: int
    left: int
    regrouped: int = 0

    def __bool__(self) -> bool:
        return bool(self.joined or self.corrected or self.left or self.regrouped)

    @property
    def in_words(self) -> str:
        """Such as *2 new, 1 corrected, 0 rejected or deleted*."""
        return (
            f"{self.joined} new, {self.corrected} corrected, {self.left} rejected, deleted or no "
            "longer reviewed"
        ) + (f", {self.regrouped} of another patient" if self.regrouped else "")


def usable(cases: Cases) -> list[CaseRow]:
    """The cases that may train a model; *unreliable* ones only if they were accepted."""
    return [
        row
        for row in cases.find()
        if row.review in USABLE and (row.review == "accepted" or row.confidence != "unreliable")
    ]


def follow(
    cases: Cases,
    storage: Storage,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Dataset, Report]:
    """Bring the data set `REVIEWED_NAME` up to date with the reviews.

    Raises
    ------
    TooFewCasesError
        The data set stays as it was.
    """
    with TemporaryDirectory(prefix="hippoview-") as name:
        rows = write_reviewed(cases, Path(name))
        patients = _patients(rows)
        prepared = prepare(
            Path(name), storage, REVIEWED_NAME, on_case, table=patients, of_cases=True
        )  # fmt: skip
    storage.write(key_of(REVIEWED_NAME, _PATIENTS_NAME), json.dumps(patients).encode())
    storage.write(key_of(REVIEWED_NAME, _STATE_NAME), json.dumps(_state(rows)).encode())
    return prepared


def changes(cases: Cases, storage: Storage) -> Changes:
    """How the current reviews differ from the data set."""
    before, patients_before = (_noted(storage, name) for name in (_STATE_NAME, _PATIENTS_NAME))
    rows = usable(cases)
    current, patients = _state(rows), _patients(rows)
    both = current.keys() & before.keys()
    return Changes(
        len(current.keys() - before.keys()),
        sum(current[case] != before[case] for case in both),
        len(before.keys() - current.keys()),
        sum(patients.get(case) != patients_before.get(case) for case in both),
    )


def follow_before(name: str, cases: Cases, storage: Storage) -> None:
    """Before a training: bring the data set ``name`` up to date, if it is the reviewed one.

    Raises
    ------
    TooFewCasesError
        Too few reviewed cases are left to train on.
    """
    if name == REVIEWED_NAME and changes(cases, storage):
        follow(cases, storage)


def write_reviewed(cases: Cases, folder: Path) -> list[CaseRow]:
    """Write scans and masks of usable cases; returns their rows."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir()
    written = []
    for row in usable(cases):
        try:
            image, mask = cases.image_file(row.id), _mask_file(cases, row)
        except NotFoundError:  # deleted since the list was read
            continue
        (folder / "imagesTr" / f"{row.id}.nii.gz").write_bytes(image)
        (folder / "labelsTr" / f"{row.id}.nii.gz").write_bytes(mask)
        written.append(row)
    licence = {"licence": "Of this installation: its own scans. Ask before passing them on."}
    (folder / "dataset.json").write_text(json.dumps(licence))
    return written


def _noted(storage: Storage, name: str) -> dict[str, Any]:
    """What the last preparation noted by case; nothing if there was none."""
    try:
        return dict(json.loads(storage.read(key_of(REVIEWED_NAME, name))))
    except NotFoundError:  # there is none, or one of an earlier version
        return {}


def _patients(rows: list[CaseRow]) -> dict[str, str]:
    return {row.id: row.patient for row in rows if row.patient}


def _mask_file(cases: Cases, row: CaseRow) -> bytes:
    """The mask that was reviewed; of a head with values of their own for each side."""
    if cases.get(row.id, row.mask_version).report.get("head"):
        return cases.sides_file(row.id, row.mask_version)
    return cases.mask_file(row.id, row.mask_version)


def _state(rows: list[CaseRow]) -> dict[str, int]:
    return {row.id: row.mask_version for row in rows}
