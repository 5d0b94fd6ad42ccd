"""What a person accepted or corrected can train a model."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest

from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from core.training.data.dataset import REVIEWED_NAME, Datasets, file_names
from core.training.data.preparation import TooFewCasesError
from core.training.data.prepare import prepare
from core.training.data.reviewed import changes, follow, follow_before, usable, write_reviewed
from tests.datasets import labels_like
from tests.scans import as_bytes, example, image, stream


@pytest.fixture(scope="module")
def home(tmp_path_factory, predictor):
    """Twelve cases; all but one are accepted."""
    folder = tmp_path_factory.mktemp("reviewed")
    made = Cases(connect(folder), LocalStorage(folder / "storage"))
    scan = example()
    data = np.asarray(scan.dataobj, np.float32)
    for number in range(12):
        other = as_bytes(image(data * (1 + number / 100), scan.affine))
        case = made.add(analyse(stream(other), predictor, folder), f"Patient {number}")
        if number:
            made.review(case.id, "accepted", "A")
    return folder


@pytest.fixture
def cases(home, tmp_path):
    """A copy of them to work on."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return Cases(connect(tmp_path), LocalStorage(tmp_path / "storage"))


def test_the_reviewed_cases_become_a_data_set(cases, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    assert len(write_reviewed(cases, folder)) == 11
    dataset, report = prepare(folder, LocalStorage(tmp_path / "storage"), "reviewed")
    assert report.left_out == {}
    assert set(dataset.cases) == {row.id for row in usable(cases)}
    case_id = next(iter(dataset.cases))
    label = nib.load(folder / "labelsTr" / f"{case_id}.nii.gz")
    assert np.array_equal(np.unique(np.asarray(label.dataobj)), [0, 1, 2])
    names = [row.name for row in cases.find()]
    written = "".join(str(p) + p.read_bytes().hex() for p in folder.rglob("*.json"))
    assert not any(name in written for name in names)


def masks(storage, dataset):
    """Voxels of the anterior label of each case, from the files that the split names."""
    found = {}
    for name, entry in dataset.cases.items():
        file = storage.read(f"datasets/{dataset.name}/{file_names(name, entry)[1]}")
        image = nib.Nifti1Image.from_bytes(gzip.decompress(file))
        found[name] = int((np.asarray(image.dataobj) == 1).sum())
    return found


def correct(cases, home, case_id, draw=labels_like):
    """Save a mask that somebody drew; returns its voxels of the anterior label."""
    labels = draw(cases.images(case_id).labels.shape).astype(np.uint8)
    corrections = Corrections(connect(home), LocalStorage(home / "storage"), cases)
    corrections.save(
        case_id, gzip.compress(labels.tobytes(order="F")), author="B", comment="",
        base=cases.get(case_id).mask_version,
    )  # fmt: skip
    return int((labels == 1).sum())


def test_the_set_follows_the_reviews(cases, tmp_path):
    """Corrected again, rejected, deleted, taken back, accepted anew: of the test set as well."""
    storage = LocalStorage(tmp_path / "storage")
    before, _ = follow(cases, storage)
    assert not changes(cases, storage)
    was = masks(storage, before)
    tested, trained = sorted(before.test), sorted(before.training)
    cases.review(tested[0], "rejected", "A", "The tail is cut off")
    corrected = {tested[1]: 0, trained[0]: 0}
    for case_id in corrected:
        corrected[case_id] = correct(cases, tmp_path, case_id)
    new = next(row.id for row in cases.find() if row.review == "new")
    cases.review(new, "accepted", "A")
    assert changes(cases, storage).in_words.startswith("1 new, 2 corrected, 1 rejected")

    follow_before("another", cases, storage)
    assert Datasets(storage).get(REVIEWED_NAME) == before
    follow_before(REVIEWED_NAME, cases, storage)
    after = Datasets(storage).get(REVIEWED_NAME)
    now = masks(storage, after)
    assert now.keys() == (was.keys() | {new}) - {tested[0]}
    assert {case: now[case] for case in corrected} == corrected
    assert {c: n for c, n in now.items() if c in was and c not in corrected}.items() <= was.items()
    assert after.test_key != before.test_key
    assert after.sha256 != before.sha256

    (revision,) = Datasets(storage).history(REVIEWED_NAME)
    assert revision["left"] == [tested[0]]
    assert revision["changed"] == sorted(corrected)
    assert revision["test"] == tested
    # What was trained on the old one is read as it was, and nothing of it was written again.
    old = Datasets(storage).get(REVIEWED_NAME, before.sha256)
    assert old == before
    assert masks(storage, old) == was
    Datasets.verify(old, tmp_path / "storage" / "datasets" / REVIEWED_NAME)

    cases.review(tested[0], "accepted", "A")
    again, report = follow(cases, storage)
    assert again.cases[tested[0]] == before.cases[tested[0]]
    assert report.gone == report.changed == []


def test_too_few_left_leave_the_set_as_it_is_and_no_training_begins(cases, tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    before, _ = follow(cases, storage)
    for case_id in list(before.cases)[:2]:
        cases.delete(case_id)
    with pytest.raises(TooFewCasesError):
        follow_before(REVIEWED_NAME, cases, storage)
    assert Datasets(storage).get(REVIEWED_NAME) == before


def test_a_correction_that_stays_unreliable_trains_only_once_somebody_accepts_it(cases, tmp_path):
    """A scan that is not T1-weighted, say, or a mask with nothing left in it."""
    case_id = next(row.id for row in cases.find() if row.review == "new")
    correct(cases, tmp_path, case_id, draw=np.zeros)
    assert next(row for row in cases.find() if row.id == case_id).confidence == "unreliable"
    assert case_id not in {row.id for row in usable(cases)}
    cases.review(case_id, "accepted", "A", despite_doubts=True)
    assert case_id in {row.id for row in usable(cases)}


def fold_of(dataset, case_id):
    return dataset.cases[case_id].fold


def test_scans_of_one_patient_never_cross_the_split_whenever_that_is_said(cases, tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    first, report = follow(cases, storage)
    assert any("11 cases have no patient" in rule for rule in report.rules)
    assert not changes(cases, storage)
    tested, trained = first.test[0], first.training[0]
    cases.set_patient(tested, "P-1")
    assert not changes(cases, storage).joined
    assert changes(cases, storage).regrouped == 1
    cases.set_patient(trained, "P-1")
    assert "2 of another patient" in changes(cases, storage).in_words
    follow_before(REVIEWED_NAME, cases, storage)
    joined = Datasets(storage).get(REVIEWED_NAME)
    assert joined.sha256 != first.sha256
    assert {joined.cases[case].patient for case in (tested, trained)} == {"P-1"}
    assert fold_of(joined, tested) == fold_of(joined, trained)
    report = Datasets(storage).report(REVIEWED_NAME)
    assert any("9 cases have no patient" in rule for rule in report["rules"])
    assert any("2 by the patient of the case" in rule for rule in report["rules"])
    assert not changes(cases, storage)
    # A pseudonym that was wrong parts them again.
    cases.set_patient(tested, "P-2")
    parted, _ = follow(cases, storage)
    assert parted.cases[tested].patient == "P-2"
    assert not parted.split_by_file


def test_a_follow_up_joins_its_patient_in_the_split(cases, tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    known = usable(cases)[0].id
    cases.set_patient(known, "P-1")
    first, _ = follow(cases, storage)
    (new,) = [row.id for row in cases.find() if row.review == "new"]
    cases.set_patient(new, "P-1")
    cases.review(new, "accepted", "A")
    after, _ = follow(cases, storage)
    assert fold_of(after, new) == fold_of(first, known)
    assert {case: after.cases[case] for case in first.cases} == first.cases
