import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.__main__ import main
from core.errors import InputError, NotFoundError, TrainingError
from core.settings import ROOT
from core.state.storage import LocalStorage
from core.training.data.dataset import FOLDS, REVIEWED_NAME, Datasets, assign, file_names
from core.training.data.patients import patient_of
from core.training.data.prepare import TooFewCasesError, prepare
from tests.datasets import labels_like, made, packed, real, save
from tests.nnunet import accepted_files


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return made(tmp_path_factory.mktemp("source") / "Task99", 12)


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "storage")


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_data_set_is_split_by_patient_with_a_hash_for_every_file(source, storage, tmp_path):
    dataset, report = prepare(source, storage, "one")
    assert len(report.kept) == len(dataset.cases) == 12
    assert len(dataset.test) == 3
    folds = dataset.splits()
    assert len(folds) == FOLDS
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(dataset.training)
    for fold in folds:
        assert not set(fold["train"]) & set(fold["val"])
        assert not (set(fold["train"]) | set(fold["val"])) & set(dataset.test)
    Datasets(storage).verify(dataset, tmp_path / "storage" / "datasets" / "one")


@pytest.mark.long
def test_nnunet_accepts_the_newest_files_of_a_set_that_changed(source, storage, tmp_path):
    before, _ = prepare(source, storage, REVIEWED_NAME)
    corrected = shutil.copytree(source, tmp_path / "corrected")
    case = before.training[0]
    label = nib.load(corrected / "labelsTr" / f"{case}.nii.gz")
    data = np.asarray(label.dataobj).copy()
    data[0, 0, 0] = 2
    nib.save(nib.Nifti1Image(data, label.affine), corrected / "labelsTr" / f"{case}.nii.gz")
    after, report = prepare(corrected, storage, REVIEWED_NAME)
    assert report.changed == [case]
    folder = tmp_path / "storage" / "datasets" / REVIEWED_NAME
    assert len(list((folder / "labelsTr").iterdir())) == len(after.training) + 1
    theirs = accepted_files(folder, tmp_path)
    assert theirs.keys() == set(after.training)
    raw = tmp_path / "nnunet" / "Dataset001_Hippocampus"
    for name, files in theirs.items():
        image, label = file_names(name, after.cases[name])
        assert files == ([str(raw / image)], str(raw / label))


def test_twice_changes_nothing_and_the_source_is_never_touched(source, storage, tmp_path):
    before = contents(source)
    prepare(source, storage, "one")
    first = contents(tmp_path / "storage")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "storage").rglob("*") if p.is_file()}
    prepare(source, storage, "one")
    assert contents(tmp_path / "storage") == first
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert contents(source) == before


def test_two_processes_write_the_same_report(tmp_path):
    source = broken(tmp_path / "source")
    for path in sorted((source / "labelsTr").glob("case_00[0-2]*")):
        path.rename(path.with_name(f"lonely_{path.name}"))
    made(source, 13)
    written = []
    for seed in ("1", "2"):  # sets are walked in another order
        var = tmp_path / seed
        subprocess.run(
            [sys.executable, "-m", "core", "data", "prepare", str(source), "--name", "one"],
            env={**os.environ, "PYTHONHASHSEED": seed, "HIPPOVIEW_DATA_DIR": str(var)},
            cwd=ROOT, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        written.append(contents(var))
    assert len(written[0]) > 20
    assert written[0] == written[1]


@pytest.mark.parametrize("writes", [8, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 26))])
def test_killed_in_the_middle_nothing_half_made_is_used(source, storage, tmp_path, writes):
    """At its first file, among the cases, and when only the split is missing."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from core.state.storage import LocalStorage\n"
        "from core.training.data.prepare import prepare\n"
        "class Dying(LocalStorage):\n"
        "    left = int(sys.argv[3])\n"
        "    def write(self, key, data):\n"
        "        self.left -= 1\n"
        "        super().write(key, data)\n"
        "        if not self.left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(Path(sys.argv[1]), Dying(Path(sys.argv[2])), 'one')"
    )
    root = tmp_path / "storage"
    ended = subprocess.run(
        [sys.executable, "-c", script, str(source), str(root), str(writes)],
        cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    assert list(root.rglob("*.nii.gz"))
    assert Datasets(storage).find() == []
    dataset, _ = prepare(source, storage, "one")
    assert Datasets(storage).find() == [dataset]
    Datasets(storage).verify(dataset, root / "datasets" / "one")


def test_a_tar_gives_the_same_as_its_folder(source, storage, tmp_path):
    folder, _ = prepare(source, storage, "folder")
    archive, _ = prepare(packed(source, tmp_path / "task.tar"), storage, "archive")
    assert archive.cases == folder.cases


def test_new_cases_move_no_old_one(source, storage, tmp_path):
    before, _ = prepare(source, storage, "one")
    more = made(tmp_path / "more", 20, prefix="new_")
    for name in ("imagesTr", "labelsTr"):
        for path in (more / name).glob("new_00*"):
            path.unlink()  # the same scans as the first ten of the source
    after, report = prepare(more, storage, "one")
    assert {case: after.cases[case] for case in before.cases} == before.cases
    assert "new_010" in report.left_out  # case_010 by content
    assert len(after.cases) == 12 + 8


@given(st.sets(st.integers(0, 400), min_size=10), st.sets(st.integers(0, 400)))
def test_patients_stay_where_they_were_whoever_comes_later(first, later):
    before = assign({}, {str(n) for n in first})
    after = assign(before, {str(n) for n in first | later})
    assert {p: after[p] for p in before} == before
    share = sum(fold < 0 for fold in after.values()) / len(after)
    assert share >= 0.1
    sizes = [sum(f == fold for f in after.values()) for fold in range(FOLDS)]
    assert max(sizes) - min(sizes) <= 1


def test_all_scans_of_a_patient_are_on_one_side(tmp_path, storage):
    source = made(tmp_path / "source", 24, prefix="x")
    for part in ("imagesTr", "labelsTr"):
        for number, path in enumerate(sorted((source / part).iterdir())):
            path.rename(path.with_name(f"sub-{number // 2:02}_ses-{number % 2}.nii.gz"))
    dataset, _ = prepare(source, storage, "one")
    for case, entry in dataset.cases.items():
        partners = [e for c, e in dataset.cases.items() if patient_of(c) == patient_of(case)]
        assert {e.fold for e in partners} == {entry.fold}


def broken(folder, shared_data=None):
    """Ten good cases and one of each kind of bad one."""
    made(folder, 10)
    values = np.asarray(nib.load(folder / "imagesTr" / "case_000.nii.gz").dataobj)
    good = labels_like(values.shape)
    rng = np.random.default_rng(99)

    def scan():
        return (values + rng.normal(0, 1, values.shape)).astype(np.float32)

    save(folder, "grid", scan(), good[:-2])
    moved = nib.load(folder / "imagesTr" / "case_000.nii.gz").affine.copy()
    moved[0, 3] += 3
    save(folder, "moved", scan(), good)
    nib.save(nib.Nifti1Image(good, moved), folder / "labelsTr" / "moved.nii.gz")
    save(folder, "seven", scan(), np.where(good == 2, 7, good).astype(np.uint8))
    save(folder, "soft", scan(), good.astype(np.float32) * 0.7)
    save(folder, "floats", scan(), good.astype(np.float32))
    save(folder, "missing", scan(), np.where(good == 2, 0, good).astype(np.uint8))
    save(folder, "flat", np.full_like(values, 7), good)
    shutil.copy(folder / "imagesTr" / "case_003.nii.gz", folder / "imagesTr" / "twin.nii.gz")
    shutil.copy(folder / "labelsTr" / "case_003.nii.gz", folder / "labelsTr" / "twin.nii.gz")
    (folder / "imagesTr" / "._case_000.nii.gz").write_bytes(b"\0" * 4096)
    (folder / "imagesTr" / "notes.txt").write_text("hello")
    (folder / "labelsTr" / "cut.nii.gz").write_bytes(b"\x1f\x8b\x08\x00")
    nib.save(nib.Nifti1Image(scan(), moved), folder / "imagesTr" / "cut.nii.gz")
    return folder


def test_every_broken_case_is_left_out_by_name_with_its_reason(tmp_path, storage):
    _, report = prepare(broken(tmp_path / "source"), storage, "one")
    reasons = {
        "grid": "the label's grid", "moved": "3.0 mm beside", "seven": "the value 7",
        "soft": "interpolated", "missing": "no voxel of posterior", "flat": "empty",
        "twin": "the same image as case case_003", "cut": "ends too early",
        "imagesTr/._case_000.nii.gz": "AppleDouble", "imagesTr/notes.txt": "not a .nii",
    }  # fmt: skip
    assert report.left_out.keys() == reasons.keys()
    for name, words in reasons.items():
        assert words in report.left_out[name]
    assert "floats" in report.kept
    written = json.loads(storage.read("datasets/one/report.json"))
    assert written == report.as_dict()
    assert any("could not be grouped" in said for said in report.rules)


@pytest.mark.parametrize("code", ["LPS", "PIR", "ASL", "IRP"])
def test_a_label_in_another_orientation_gives_the_same_data_set(code, source, tmp_path, storage):
    turned = shutil.copytree(source, tmp_path / "turned")
    label = nib.load(source / "labelsTr" / "case_000.nii.gz")
    data = np.asarray(label.dataobj).copy()
    data[1, 2, 3] = 1  # no symmetry left
    nib.save(nib.Nifti1Image(data, label.affine), turned / "labelsTr" / "case_000.nii.gz")
    plain, _ = prepare(turned, storage, "plain")
    there = nib.orientations.axcodes2ornt(code)
    here = nib.orientations.io_orientation(label.affine)
    other = nib.Nifti1Image(data, label.affine).as_reoriented(
        nib.orientations.ornt_transform(here, there)
    )
    nib.save(other, turned / "labelsTr" / "case_000.nii.gz")
    same, report = prepare(turned, storage, "turned")
    assert same.cases == plain.cases
    assert f"({code}) were turned" in report.mended["case_000"]


def test_labels_that_a_slope_moved_are_mended_and_interpolated_ones_are_not(
    source, tmp_path, storage
):
    moved = shutil.copytree(source, tmp_path / "moved")
    label = nib.load(source / "labelsTr" / "case_000.nii.gz")
    data = np.asarray(label.dataobj).astype(float)
    header = label.header.copy()
    header.set_data_dtype(np.uint8)  # nibabel makes it fit by a slope
    nib.save(nib.Nifti1Image(data, label.affine, header), moved / "labelsTr" / "case_000.nii.gz")
    soft = data.copy()
    soft[data == 1] = np.linspace(0.996, 1.004, int((data == 1).sum()))
    soft = soft.astype(np.float32)
    nib.save(nib.Nifti1Image(soft, label.affine), moved / "labelsTr" / "case_001.nii.gz")
    plain, _ = prepare(source, storage, "plain")
    made, report = prepare(moved, storage, "moved")
    assert made.cases["case_000"].label_sha256 == plain.cases["case_000"].label_sha256
    assert "a slope in the header moved" in report.mended["case_000"]
    assert "interpolated" in report.left_out["case_001"]


def test_capital_suffixes_are_taken(source, tmp_path, storage):
    capitals = shutil.copytree(source, tmp_path / "capitals")
    for part in ("imagesTr", "labelsTr"):
        path = capitals / part / "case_000.nii.gz"
        path.rename(path.with_name("case_000.NII.GZ"))
    assert prepare(capitals, storage, "capitals")[0].cases == prepare(source, storage, "x")[0].cases


def test_the_two_sides_of_a_patient_are_together_also_by_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "var"))
    source = made(tmp_path / "source", 12)
    table = tmp_path / "patients.csv"
    rows = [f"case_{n:03},person {n // 2}" for n in range(12)]
    table.write_text("\n".join(["case,patient", *rows]))
    arguments = ["data", "prepare", str(source), "--name", "one", "--patients", str(table)]
    assert main(arguments) == 0
    assert "12 cases of 6 patients: grouped 12 by the table" in capsys.readouterr().out
    dataset = Datasets(LocalStorage(tmp_path / "var" / "storage")).get("one")
    for n in range(6):
        assert len({dataset.cases[f"case_{2 * n + k:03}"].fold for k in (0, 1)}) == 1


def test_a_set_that_changes_is_read_as_it_was_by_its_hash(source, storage, tmp_path):
    before, _ = prepare(source, storage, "one")
    after, _ = prepare(made(tmp_path / "more", 16), storage, "one")
    datasets = Datasets(storage)
    assert datasets.get("one", before.sha256) == before
    assert datasets.get("one", after.sha256) == after
    (revision,) = datasets.history("one")
    assert revision["sha256"] == before.sha256
    assert revision["joined"] == ["case_012", "case_013", "case_014", "case_015"]
    with pytest.raises(NotFoundError, match="of the hash"):
        datasets.get("one", "0" * 64)


def test_the_dirty_files_of_a_real_export_are_named(tmp_path, shared_data, storage, capsys):
    source = real(tmp_path / "source", shared_data, 12)
    for path in (shared_data / "dirty").iterdir():
        part = "imagesTr" if path.name.startswith("image_") else "labelsTr"
        (source / part / path.name).symlink_to(path)
    _, report = prepare(source, storage, "one")
    assert len(report.kept) == 12
    assert report.left_out == {
        "imagesTr/image_without_label_118.nii.gz": "an image without a label",
        "labelsTr/label_without_image_010.nii.gz": "a label without an image",
        "labelsTr/label_without_image_281.nii.gz": "a label without an image",
    }


def test_too_few_cases_are_refused_with_the_reasons(tmp_path, storage):
    source = made(tmp_path / "source", 9)
    (source / "labelsTr" / "case_000.nii.gz").unlink()
    with pytest.raises(TooFewCasesError, match="Only 8 cases") as caught:
        prepare(source, storage, "one")
    assert "imagesTr/case_000.nii.gz" in caught.value.report.left_out
    with pytest.raises(NotFoundError):
        Datasets(storage).get("one")


def test_what_is_no_data_set_is_refused(tmp_path, storage):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.tar").write_bytes(b"not a tar")
    for source in (tmp_path / "empty", tmp_path / "file.tar", tmp_path / "nowhere"):
        with pytest.raises(InputError):
            prepare(source, storage, "one")
    for name in ("../up", "", "a/b", ".hidden"):
        with pytest.raises(InputError, match="cannot be called"):
            prepare(made(tmp_path / "good", 10), storage, name)


@pytest.mark.parametrize("name", ["../outside.nii.gz", "/outside.nii.gz"])
def test_a_tar_that_leads_outside_is_refused(name, tmp_path, storage):
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(InputError):
        prepare(archive, storage, "one")
    assert not (tmp_path / "outside.nii.gz").exists()


def test_a_link_in_a_tar_is_not_followed(source, tmp_path, storage):
    archive = packed(source, tmp_path / "task.tar")
    secret = tmp_path / "secret.nii.gz"
    shutil.copy(source / "imagesTr" / "case_000.nii.gz", secret)
    with tarfile.open(archive, "a") as tar:
        for part in ("imagesTr", "labelsTr"):
            member = tarfile.TarInfo(f"{source.name}/{part}/zz.nii.gz")
            member.type, member.linkname = tarfile.SYMTYPE, str(secret)
            tar.addfile(member)
    dataset, _ = prepare(archive, storage, "one")
    assert "zz" not in dataset.cases


def test_a_file_that_changed_later_is_noticed_before_training(source, storage, tmp_path):
    dataset, _ = prepare(source, storage, "one")
    folder = tmp_path / "storage" / "datasets" / "one"
    case = dataset.test[0]
    label = folder / file_names(case, dataset.cases[case])[1]
    label.write_bytes(label.read_bytes() + b"\0")
    with pytest.raises(TrainingError, match=case):
        Datasets(storage).verify(dataset, folder)


def test_the_command_prints_what_it_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "var"))
    source = broken(tmp_path / "source")
    assert main(["data", "prepare", str(source), "--name", "one"]) == 0
    printed = capsys.readouterr().out
    assert "11 cases kept" in printed
    assert "left out  seven: the label has the value 7" in printed
    assert main(["data", "prepare", str(tmp_path / "nowhere")]) == 1
    assert "neither a folder nor a tar" in capsys.readouterr().err
