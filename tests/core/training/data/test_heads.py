"""Whole heads in a data set: cases of one patient, mixed with crops, told in the report."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from core import limits
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.drift.reference import training_crops, training_heads
from core.pipeline import analyse
from core.predictor.heads import CROP
from core.state.database import connect
from core.state.storage import LocalStorage
from core.training.data.dataset import REVIEWED_NAME, Datasets, file_names
from core.training.data.names import is_extra_cut, source_of
from core.training.data.preparation import TooFewCasesError
from core.training.data.prepare import prepare
from core.training.data.reviewed import changes, follow
from core.training.reference import reference_cases
from tests.datasets import made
from tests.heads import MIRROR, head_2mm, head_labels, save_head
from tests.nnunet import accepted_files
from tests.scans import as_bytes, example, image, stream

HEADS = ("sub-01_ses-1", "sub-01_ses-2", "P07", "P09")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four crops and four heads, two of them of one person; P09 has labels on the right alone."""
    folder = made(tmp_path_factory.mktemp("source") / "mixed", 4)
    for number, name in enumerate(HEADS):
        sides = ("right",) if name == "P09" else ("left", "right")
        labels = head_labels(head_2mm(), sides, by_side=name == "sub-01_ses-2")
        save_head(folder, name, labels, gain=1 + number / 50)
    return folder


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    root = tmp_path_factory.mktemp("storage")
    dataset, report = prepare(source, LocalStorage(root), "mixed")
    return root, dataset, report


def arrays(root, dataset, case):
    folder = root / "datasets" / dataset.name
    files = [nib.load(folder / name) for name in file_names(case, dataset.cases[case])]
    return files, [np.asarray(file.dataobj) for file in files]


def test_each_side_of_a_head_becomes_cases_beside_the_crops(prepared):
    root, dataset, _ = prepared
    plain = {case for case in dataset.cases if not is_extra_cut(case)}
    of_heads = {f"{head}.head-{side}" for head in HEADS for side in ("left", "right")} - {
        "P09.head-left"
    }
    assert plain == {f"case_{n:03}" for n in range(4)} | of_heads
    for case in dataset.cases:
        if source_of(case) == case:
            continue
        files, (crop, labels) = arrays(root, dataset, case)
        assert crop.shape == labels.shape == CROP
        assert all(np.array_equal(file.affine, np.eye(4)) for file in files)
        assert np.array_equal(np.unique(labels), [0, 1, 2])
        assert (crop.min(), crop.max()) == (0, 1)
    Datasets.verify(dataset, root / "datasets" / "mixed")


def test_all_cases_of_a_person_are_on_one_side_of_the_split(prepared):
    _, dataset, _ = prepared
    people = {}
    for case, entry in dataset.cases.items():
        person = "sub-01" if case.startswith("sub-01") else source_of(case)
        people.setdefault(person, set()).add((entry.patient, entry.fold))
    assert all(len(found) == 1 for found in people.values())
    assert {next(iter(found))[0] for found in people.values()} == people.keys()


def test_further_cuts_train_and_never_test(prepared):
    _, dataset, _ = prepared
    tested = [case for case in dataset.test if source_of(case) != case]
    assert tested  # or this says nothing
    assert not any(map(is_extra_cut, dataset.test))
    for case in dataset.training:
        if source_of(case) != case and not is_extra_cut(case):
            cuts = {other for other in dataset.training if other.startswith(case)}
            assert cuts == {case, *(f"{case}{n}" for n in range(2, limits.HEAD_CUTS + 1))}


def test_cuts_of_a_side_show_the_same_hippocampus_from_elsewhere(prepared):
    root, dataset, _ = prepared
    case = next(c for c in dataset.training if is_extra_cut(c)).rstrip("0123456789")
    _, (first, mask) = arrays(root, dataset, case)
    for number in range(2, limits.HEAD_CUTS + 1):
        _, (other, other_mask) = arrays(root, dataset, f"{case}{number}")
        assert not np.array_equal(first, other)
        assert abs((other_mask > 0).sum() / (mask > 0).sum() - 1) < 0.12
        moved = np.argwhere(mask).mean(0) - np.argwhere(other_mask).mean(0)
        assert np.linalg.norm(moved) < 1.3 * limits.HEAD_CUT_MM


def test_the_report_says_how_many_of_each_and_which_side_gave_none(prepared):
    root, dataset, report = prepared
    assert report.left_out == {"P09.head-left": "the side has no label"}
    assert sorted(report.kept) == sorted(dataset.cases)
    extra = sum(map(is_extra_cut, dataset.cases))
    words = f"4 crops as they came, {7 + extra} cut from 4 heads (7 sides, {extra} further cuts)"
    assert words in report.rules
    (grouping,) = (rule for rule in report.rules if "by the head that they were cut from" in rule)
    assert grouping.startswith(f"{len(report.kept)} cases of ")
    written = json.loads((root / "datasets/mixed/report.json").read_bytes())
    assert written == report.as_dict()


def test_a_version_trained_on_them_describes_heads_as_served_ones_are(
    prepared, segmented, tmp_path
):
    root, dataset, _ = prepared
    files = root / "datasets" / dataset.name
    cases = reference_cases(list(dataset.cases), dataset, files, tmp_path)
    assert (len(training_crops(cases)), len(training_heads(cases))) == (4, len(HEADS))
    served = segmented(head_2mm()).features
    for head in training_heads(cases):  # the same head, cut about other labels
        for key in ("sharpness", "contrast", "log_mean", "log_sd", "entropy"):
            assert head[key] == pytest.approx(served[key], abs=0.3)


def test_twice_changes_nothing(source, prepared, tmp_path):
    root, dataset, _ = prepared
    shutil.copytree(root, tmp_path / "storage")
    again, report = prepare(source, LocalStorage(tmp_path / "storage"), "mixed")
    assert again == dataset
    assert report.left_out.keys() == {"P09.head-left"}


def test_a_copy_of_a_head_under_another_name_gives_nothing(source, tmp_path):
    both = shutil.copytree(source, tmp_path / "both")
    for part in ("imagesTr", "labelsTr"):
        shutil.copy(both / part / "P07.nii.gz", both / part / "X07.nii.gz")
    dataset, report = prepare(both, LocalStorage(tmp_path / "storage"), "both")
    assert not any(case.startswith("X07") for case in dataset.cases)
    assert report.left_out["X07.head-left"] == "the same image as case P07.head-left"
    assert report.left_out["X07.head-right2"] == "the same image as case P07.head-right2"


def test_a_table_names_heads_by_their_files(source, tmp_path):
    table = {"P07": "anna", "P09": "anna", "case_000": "anna"}
    dataset, _ = prepare(source, LocalStorage(tmp_path), "mixed", table=table)
    annas = {c for c, entry in dataset.cases.items() if entry.patient == "anna"}
    assert {source_of(case) for case in annas} == table.keys()
    assert len({dataset.cases[case].fold for case in annas}) == 1


def test_a_mirrored_file_of_a_head_gives_the_same_crops_swapped(prepared, source, tmp_path):
    """The whole way, the localiser included: affines alone say what is left."""
    root, dataset, _ = prepared
    mirrored = shutil.copytree(source, tmp_path / "mirrored")
    for part in ("imagesTr", "labelsTr"):
        path = mirrored / part / "P07.nii.gz"
        file = nib.load(path)
        data = np.asarray(file.dataobj).copy()
        nib.save(nib.Nifti1Image(data, MIRROR @ file.affine), path)
    swapped, _ = prepare(mirrored, LocalStorage(tmp_path / "storage"), "mirrored")
    for side, other in (("left", "right"), ("right", "left")):
        _, (first, mask) = arrays(root, dataset, f"P07.head-{side}")
        _, (second, twin) = arrays(tmp_path / "storage", swapped, f"P07.head-{other}")
        _, (third, _) = arrays(tmp_path / "storage", swapped, f"P07.head-{side}")
        # The template is nearly symmetric, its ellipsoids are not.
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.98
        assert 2 * ((mask > 0) & (twin > 0)).sum() / ((mask > 0).sum() + (twin > 0).sum()) > 0.96
        assert abs((mask > 0).sum() / (twin > 0).sum() - 1) < 0.02
        assert third.shape == first.shape


def test_a_file_cannot_have_the_name_of_a_heads_case(source, tmp_path):
    clash = shutil.copytree(source, tmp_path / "clash")
    for part in ("imagesTr", "labelsTr"):
        (clash / part / "case_003.nii.gz").rename(clash / part / "P07.head-left.nii.gz")
    dataset, report = prepare(clash, LocalStorage(tmp_path / "storage"), "clash")
    assert "kept for cases that are cut from a head" in report.left_out["P07.head-left"]
    assert "P07.head-left" in dataset.cases


def test_too_few_sides_are_not_made_enough_by_cuts(tmp_path):
    for number in range(2):
        save_head(tmp_path / "few", f"P{number}", gain=1 + number / 50)
    with pytest.raises(TooFewCasesError, match="Only 4 cases"):
        prepare(tmp_path / "few", LocalStorage(tmp_path / "storage"), "few")


@pytest.mark.long
def test_nnunet_accepts_the_names(prepared, tmp_path):
    root, dataset, _ = prepared
    theirs = accepted_files(root / "datasets" / "mixed", tmp_path)
    assert theirs.keys() == set(dataset.training)


@pytest.fixture(scope="module")
def home(tmp_path_factory, predictor):
    """Nine crops and two heads, all accepted."""
    folder = tmp_path_factory.mktemp("reviewed")
    cases = Cases(connect(folder), LocalStorage(folder / "storage"))
    scan = example()
    data = np.asarray(scan.dataobj, np.float32)
    scans = [image(data * (1 + number / 100), scan.affine) for number in range(9)]
    head = head_2mm()
    scans += [
        nib.Nifti1Image((np.asarray(head.dataobj) * gain).astype(np.int16), head.affine)
        for gain in (1, 1.02)
    ]
    for scan in scans:
        case = cases.add(analyse(stream(as_bytes(scan)), predictor, folder), "Somebody")
        cases.review(case.id, "accepted", "A", despite_doubts=True)
    return folder


@pytest.mark.long
def test_reviewed_heads_follow_their_reviews(home, tmp_path):
    """Corrected: the side that was drawn changes. Rejected or deleted: both sides leave."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    storage = LocalStorage(tmp_path / "storage")
    cases = Cases(connect(tmp_path), storage)
    heads = sorted(row.id for row in cases.find() if cases.get(row.id).report.get("head"))
    assert len(heads) == 2
    before, report = follow(cases, storage)
    assert report.left_out == {}
    for head in heads:
        own = {case: e for case, e in before.cases.items() if source_of(case) == head}
        assert {f"{head}.head-left", f"{head}.head-right"} <= own.keys()
        assert len({(e.patient, e.fold) for e in own.values()}) == 1

    drawn = cases.images(heads[0])
    labels = drawn.labels.copy()
    voxels = np.argwhere(labels)
    places = nib.affines.apply_affine(drawn.affine, voxels)
    top = places[:, 2] > np.median(places[places[:, 0] < 0, 2]) + 2
    labels[tuple(voxels[(places[:, 0] < 0) & top].T)] = 0  # the upper part of the left one
    Corrections(connect(tmp_path), storage, cases).save(
        heads[0], gzip.compress(labels.tobytes(order="F")), author="B", comment="", base=0
    )
    cases.review(heads[0], "accepted", "A", despite_doubts=True)
    assert changes(cases, storage).in_words.startswith("0 new, 1 corrected, 0 rejected")
    after, report = follow(cases, storage)
    changed = {case for case in before.cases if after.cases[case] != before.cases[case]}
    assert changed == {c for c in before.cases if c.startswith(f"{heads[0]}.head-left")}
    assert set(report.changed) == changed

    cases.review(heads[0], "rejected", "A", "wrong")
    cases.delete(heads[1])
    gone, report = None, None
    with pytest.raises(TooFewCasesError):  # nine crops are left
        gone, report = follow(cases, storage)
    assert (gone, report) == (None, None)
    cases.restore(heads[1])
    left, report = follow(cases, storage)
    assert {source_of(case) for case in left.cases} & set(heads) == {heads[1]}
    assert {source_of(case) for case in report.gone} == {heads[0]}
    (*_, revision) = Datasets(storage).history(REVIEWED_NAME)
    assert {source_of(case) for case in revision["left"]} == {heads[0]}
