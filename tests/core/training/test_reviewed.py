"""What a person accepted or corrected can train a model."""

import nibabel as nib
import numpy as np
import pytest

from core.cases import Cases
from core.database import connect
from core.pipeline import analyse
from core.storage import LocalStorage
from core.training.prepare import prepare
from core.training.reviewed import usable, write_reviewed
from tests.scans import as_bytes, example, image, stream


@pytest.fixture
def cases(tmp_path, predictor):
    """Twelve cases; all but one are accepted."""
    made = Cases(connect(tmp_path), LocalStorage(tmp_path / "storage"))
    scan = example()
    data = np.asarray(scan.dataobj, np.float32)
    for number in range(12):
        other = as_bytes(image(data * (1 + number / 100), scan.affine))
        case = made.add(analyse(stream(other), predictor, tmp_path), f"Patient {number}")
        if number:
            made.review(case.id, "accepted", "A")
    return made


def test_the_reviewed_cases_become_a_data_set(cases, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    assert write_reviewed(cases, folder) == 11
    dataset, report = prepare(folder, LocalStorage(tmp_path / "storage"), "reviewed")
    assert report.left_out == {}
    assert set(dataset.cases) == {row.id for row in usable(cases)}
    case_id = next(iter(dataset.cases))
    label = nib.load(folder / "labelsTr" / f"{case_id}.nii.gz")
    assert np.array_equal(np.unique(np.asarray(label.dataobj)), [0, 1, 2])
    names = [row.name for row in cases.find()]
    written = "".join(str(p) + p.read_bytes().hex() for p in folder.rglob("*.json"))
    assert not any(name in written for name in names)
