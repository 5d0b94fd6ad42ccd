"""DICOM dropped on the page: all files of a series at once, a zip, and several series."""

import io
import re
import subprocess

import pytest
from playwright.sync_api import expect
from pydicom import dcmread

from core.anatomy import LABELS
from core.image.dicom.unpack import zipped
from tests.dicom_volumes import numbers_in, volumes_of
from tests.phantoms import BIRTH_DATE, NAME, PATIENT_ID, Phantom, phantom_of, written
from tests.scans import as_bytes, example


@pytest.fixture(scope="module")
def made():
    return phantom_of(example())


def files_of(folder, *phantoms):
    datasets = [dataset for phantom in phantoms for dataset in phantom.datasets()]
    written(folder, datasets)
    return [(f"{NAME}.{file.name}", file.read_bytes()) for file in sorted(folder.iterdir())]


def archive(files):
    target = io.BytesIO()
    zipped((io.BytesIO(content) for _, content in files), target)
    return target.getvalue()


def test_files_of_a_series_and_a_zip_are_one_case_each(user, server, made, tmp_path):
    files = files_of(tmp_path / "in", made)
    user.upload(*files)
    user.see_result(f"DICOM, {len(files)} files")
    assert user.page.get_by_text("Invented").count() == 0
    user.upload(("export.zip", archive(files)), ("few.zip", b"PK\x03\x04" + bytes(100)))
    user.read("The zip is damaged", "export")
    kept = [file for file in server.data_dir.rglob("*") if file.is_file()]
    assert len(kept) > 3
    for file in kept:
        content = file.read_bytes()
        for word in (NAME, "Invented", PATIENT_ID, BIRTH_DATE):
            assert word.encode() not in content, file.name


@pytest.mark.long
def test_of_several_series_the_chosen_one_is_segmented_without_a_second_upload(
    user, server, made, tmp_path
):
    second = Phantom(made.voxels, made.affine, {"SeriesDescription": "t1_mprage_again"})
    flair = Phantom(made.voxels, made.affine, {"SeriesDescription": "flair_sag"})
    user.upload(("both.zip", archive(files_of(tmp_path / "in", made, second, flair))))
    user.read("2 series may be the T1-weighted scan", f"{made.voxels.shape[2]} slices")
    user.read("1.00 x 1.00 x 1.00 mm", "no contrast agent", "1 other series, and why not")
    user.switch("t1_mprage_again")
    user.page.get_by_role("button", name="Segment this series").click()
    user.see_result("both.zip")
    expect(user.page.get_by_role("button", name="Segment this series")).to_have_count(0)
    assert list((server.data_dir / "incoming").glob("*")) == []


def test_the_dicom_objects_of_a_case_have_the_volumes_that_its_page_shows(user, made, tmp_path):
    user.upload(("one.zip", archive(files_of(tmp_path / "in", made))))
    user.see_result("one.zip")
    band = user.page.get_by_role("region", name="Result").inner_text()
    shown = {
        name: re.search(rf"{name}\s+[\d.]+ ml\s+([\d,]+) mm", band, re.I)[1] for name in LABELS
    }
    objects = {}
    for kind, label in (
        ("seg", "Segmentation (.dcm)"), ("sr", "Structured report (.dcm)"),
        ("pdf", "PDF report (.dcm)"),
    ):  # fmt: skip
        name, content = user.download(label)
        assert name.endswith(f"_{kind}.dcm")
        objects[kind] = dcmread(io.BytesIO(content))
        assert (objects[kind].PatientID, objects[kind].StudyInstanceUID) == (
            PATIENT_ID, made.study_uid,
        )  # fmt: skip
    report = subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=objects["pdf"].EncapsulatedDocument,
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    volumes, measured = volumes_of(objects["seg"]), numbers_in(objects["sr"])
    for label, words in shown.items():
        assert f"{volumes[label]:,.0f}" == words
        assert any(value == pytest.approx(volumes[label], rel=1e-3) for value in measured)
        assert words in report
    expect(user.page.get_by_text("was saved after the page was drawn")).to_have_count(0)


@pytest.mark.long
def test_a_cleared_list_can_be_brought_back_while_a_series_is_asked_for(user, made, tmp_path):
    second = Phantom(made.voxels, made.affine, {"SeriesDescription": "t1_mprage_again"})
    both = archive(files_of(tmp_path / "in", made, second))
    user.upload(("both.zip", both), ("scan.nii", as_bytes(example())))
    user.see_result("scan")
    user.page.get_by_role("button", name="Clear the list").click()
    user.read("The list of 1 file was cleared", "2 series may be the T1-weighted scan")
    user.page.get_by_role("button", name="Undo").click()
    user.see_result("scan")
    user.read("2 series may be the T1-weighted scan")
