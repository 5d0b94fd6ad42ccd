"""Cases that a person accepted or corrected, in the layout that `prepare` takes."""

import json
from pathlib import Path

from core.case import CaseRow
from core.cases import Cases

REVIEWED_NAME = "reviewed"
USABLE = ("accepted", "corrected")


def usable(cases: Cases) -> list[CaseRow]:
    """The cases that may train a model."""
    return [row for row in cases.find() if row.review in USABLE]


def write_reviewed(cases: Cases, folder: Path) -> int:
    """Write scans and masks of all usable cases, named by their ids; returns how many."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir()
    rows = usable(cases)
    for row in rows:
        (folder / "imagesTr" / f"{row.id}.nii.gz").write_bytes(cases.image_file(row.id))
        (folder / "labelsTr" / f"{row.id}.nii.gz").write_bytes(cases.mask_file(row.id))
    licence = {"licence": "Of this installation: its own scans. Ask before passing them on."}
    (folder / "dataset.json").write_text(json.dumps(licence))
    return len(rows)
