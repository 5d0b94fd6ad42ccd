"""The data set *reviewed*: the crops and heads that people accepted or corrected, kept up to date.

A mask that is corrected again is replaced; a case that is rejected, deleted or no longer reviewed
is removed, also from the frozen test set. `Datasets.history` lists what was there before.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from core.cases.case import CaseRow
from core.cases.store import Cases
from core.errors import NotFoundError
from core.state.storage import Storage
from core.training.data.dataset import REVIEWED_NAME, Dataset, key_of
from core.training.data.prepare import Report, prepare

USABLE = ("accepted", "corrected")
# File with the mask version of each case that the data set was made from.
_STATE_NAME = "reviews.json"


@dataclass(frozen=True)
class Changes:
    """How the current reviews differ from the data set.

    Attributes
    ----------
    joined, corrected, left : int
        Numbers of cases that it lacks, that have a newer mask, and that it should not have any
        more.
    """

    joined: int
    corrected: int
    left: int

    def __bool__(self) -> bool:
        return bool(self.joined or self.corrected or self.left)

    @property
    def in_words(self) -> str:
        """Such as *2 new, 1 corrected, 0 rejected or deleted*."""
        return (
            f"{self.joined} new, {self.corrected} corrected, {self.left} rejected, deleted or no "
            "longer reviewed"
        )


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
        state = write_reviewed(cases, Path(name))
        prepared = prepare(Path(name), storage, REVIEWED_NAME, on_case)
    storage.write(key_of(REVIEWED_NAME, _STATE_NAME), json.dumps(state).encode())
    return prepared


def changes(cases: Cases, storage: Storage) -> Changes:
    """How the current reviews differ from the data set."""
    try:
        before = json.loads(storage.read(key_of(REVIEWED_NAME, _STATE_NAME)))
    except NotFoundError:  # there is none, or one of an earlier version
        before = {}
    current = _state(usable(cases))
    return Changes(
        len(current.keys() - before.keys()),
        sum(current[case] != before[case] for case in current.keys() & before.keys()),
        len(before.keys() - current.keys()),
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


def write_reviewed(cases: Cases, folder: Path) -> dict[str, int]:
    """Write scans and masks of usable cases; returns the mask version of each case."""
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
    return _state(written)


def _mask_file(cases: Cases, row: CaseRow) -> bytes:
    """The mask that was reviewed; of a head with values of their own for each side."""
    if cases.get(row.id, row.mask_version).report.get("head"):
        return cases.sides_file(row.id, row.mask_version)
    return cases.mask_file(row.id, row.mask_version)


def _state(rows: list[CaseRow]) -> dict[str, int]:
    return {row.id: row.mask_version for row in rows}
