"""An installation of the program before (`tests/older_installation`, made by it of the example):

one case was corrected twice and accepted, and somebody is drawing on it; another one is deleted.
"""

import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import ConflictError
from core.image import nifti
from core.measures.measure import NOT_LOOKED_AT, why_too_small
from core.state.database import DATABASE_NAME, connect
from core.state.storage import LocalStorage

OLDER = Path(__file__).parents[2] / "older_installation"
CORRECTED, DELETED = "HV-ZKFVEG", "HV-TV4DQZ"


class Opened:
    """The data folder, as this program opens it."""

    def __init__(self, folder):
        self.storage = LocalStorage(folder / "storage")
        self.engine = connect(folder)
        self.cases = Cases(self.engine, self.storage)
        self.corrections = Corrections(self.engine, self.storage, self.cases)
        self.cases.import_from_storage()
        self.cases.caretaker.tick()


@pytest.fixture(params=["with its database", "without its database"])
def opened(request, tmp_path):
    shutil.copytree(OLDER / "storage", tmp_path / "storage")
    if request.param == "with its database":
        database = sqlite3.connect(tmp_path / DATABASE_NAME)
        database.executescript((OLDER / "database.sql").read_text())
        database.close()
    found = Opened(tmp_path)
    yield found
    found.engine.dispose()


def labels_of(file):
    return np.array(nifti.read_mask(file), np.uint8)


def test_everything_is_there(opened):
    assert [row.id for row in opened.cases.find()] == [CORRECTED]
    assert [row.id for row in opened.cases.find(deleted=True)] == [DELETED]
    case = opened.cases.get(CORRECTED)
    assert (case.mask_version, case.review.state, case.review.reviewer) == (2, "accepted", "Dr. A")
    versions = opened.corrections.versions(CORRECTED)
    assert [(v.number, v.author, v.comment) for v in versions] == [
        (2, "Dr. A", "more"), (1, "Dr. A", "one voxel"), (0, "the model", ""),
    ]  # fmt: skip
    folder = OLDER / "storage" / "cases" / CORRECTED
    for version, name in ((0, "mask"), (1, "masks/1"), (2, "masks/2")):
        kept = (folder / f"{name}.nii.gz").read_bytes()
        assert opened.cases.mask_file(CORRECTED, version) == kept
    assert opened.cases.image_file(CORRECTED) == (folder / "image.nii.gz").read_bytes()
    assert len(opened.cases.features()) == 1


def test_work_goes_on(opened):
    labels = labels_of(opened.cases.mask_file(CORRECTED))
    labels[tuple(np.argwhere(labels)[0])] = 0
    packed = gzip.compress(labels.tobytes(order="F"))
    about = {"author": "Dr. C", "comment": "less"}
    with pytest.raises(ConflictError):
        opened.corrections.save(CORRECTED, packed, base=1, **about)
    opened.corrections.save(CORRECTED, packed, base=2, **about)
    assert np.array_equal(labels_of(opened.cases.mask_file(CORRECTED)), labels)
    opened.cases.restore(DELETED)
    opened.cases.review(DELETED, "rejected", "Dr. C", "noise")
    rows = {row.id: row for row in opened.cases.find()}
    assert (rows[CORRECTED].review, rows[DELETED].review) == ("corrected", "rejected")
    for case_id, row in rows.items():
        record = json.loads(opened.storage.read(f"cases/{case_id}/record.json"))
        assert (record["review"], record["mask_version"]) == (row.review, row.mask_version)


def test_its_volumes_do_not_pass_for_looked_at(opened):
    """It did not ask whether the image ends within the hippocampus."""
    assert opened.cases.find()[0].too_small == NOT_LOOKED_AT
    assert why_too_small(opened.cases.get(CORRECTED).report["measures"]) == NOT_LOOKED_AT
