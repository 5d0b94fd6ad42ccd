"""The way back from a scan to its study: which instance each slice is, and what is kept of it."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from core.image.dicom.convert import converted
from core.image.dicom.origin import Origin
from tests.phantoms import BIRTH_DATE, NAME, PATIENT_ID, Phantom, written

SHAPE = (20, 18, 9)


def phantom(**values):
    voxels = np.random.default_rng(3).integers(0, 900, SHAPE).astype(np.int16)
    about = {"FrameOfReferenceUID": generate_uid(), "StudyDate": "20261130", **values}
    return Phantom(voxels, np.diag([-1.0, -1.0, 1.5, 1.0]), about)


def origin_of(tmp_path, datasets, name="in"):
    return converted(written(tmp_path / name, datasets), tmp_path).origin


def read_again(origin):
    again = Origin.from_bytes(origin.to_bytes())
    assert again.frames == origin.frames
    assert list(again.headers) == list(origin.headers)
    return again


def test_each_slice_of_a_classic_series_has_its_own_instance(tmp_path):
    made = phantom()
    datasets = made.datasets()
    origin = read_again(origin_of(tmp_path, datasets))
    assert [h.SOPInstanceUID for h in origin.headers] == [d.SOPInstanceUID for d in datasets]
    for header, dataset in zip(origin.headers, datasets, strict=True):
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert np.allclose(header[name].value, dataset[name].value, atol=1e-7)
    assert origin.frames == (1,) * SHAPE[2]
    assert (origin.study_uid, origin.series_uid) == (made.study_uid, made.series_uid)


def test_a_frame_of_an_enhanced_image_is_found_by_its_number(tmp_path):
    dataset = phantom().enhanced()
    groups = dataset.PerFrameFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = list(reversed(groups))
    origin = read_again(origin_of(tmp_path, [dataset]))
    assert origin.frames == tuple(range(SHAPE[2], 0, -1))
    places = [
        group.PlanePositionSequence[0].ImagePositionPatient[2]
        for group in origin.headers[0].PerFrameFunctionalGroupsSequence
    ]
    assert np.allclose(places, np.arange(SHAPE[2])[::-1] * 1.5)


def test_patient_and_study_are_kept_and_pixels_private_and_free_text_are_not(tmp_path):
    datasets = phantom(PatientComments="of a friend", PatientAddress="Secret Lane 7").datasets()
    for dataset in datasets:
        dataset.add_new(0x00091010, "LO", "a private one")
    origin = read_again(origin_of(tmp_path, datasets))
    assert (origin.patient_id, origin.patient_name) == (PATIENT_ID, NAME)
    assert origin.headers[0].PatientBirthDate == BIRTH_DATE
    assert origin.about() == {"date": "2026-11-30", "sex": "F", "age_years": 65}
    words = str(origin.headers[0])
    assert "PixelData" not in origin.headers[0]
    assert not any(text in words for text in ("friend", "Secret Lane", "private"))


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ({"PatientAge": "071Y"}, 71), ({"PatientAge": "018M"}, 1), ({"PatientAge": "300D"}, 0),
        ({"PatientBirthDate": "19501201", "StudyDate": "20261130"}, 75),
        ({"PatientBirthDate": "19501130", "StudyDate": "20261130"}, 76),
        ({"PatientBirthDate": "", "StudyDate": "20261130"}, None),
        ({"PatientBirthDate": "***", "PatientAge": "old"}, None),
        ({"PatientBirthDate": "20270101", "StudyDate": "20261130"}, None),
    ],
)  # fmt: skip
def test_the_age_is_that_at_the_study(tmp_path, values, age):
    assert origin_of(tmp_path, phantom(**values).datasets()).age_years == age


def test_odd_values_are_left_out_and_the_scan_is_read(tmp_path):
    datasets = phantom(
        PatientName="王^小東\x07", PatientID="", AccessionNumber="x" * 2000, StudyID="a\nb"
    ).datasets()
    for dataset in datasets:
        dataset.SpecificCharacterSet = "ISO_IR 192"
    origin = read_again(origin_of(tmp_path, datasets))
    assert (origin.patient_name, origin.patient_id) == ("王^小東", "")
    assert origin.headers[0].StudyID == "ab"
    assert not origin.headers[0].get("AccessionNumber")


def test_files_that_do_not_say_which_instance_they_are_have_no_origin(tmp_path):
    datasets = phantom().datasets()
    for dataset in datasets:
        dataset.StudyInstanceUID = ""
    assert origin_of(tmp_path, datasets) is None


def test_a_name_is_found_in_a_text():
    from tests.dicom_sources import source_of

    origin = source_of("axial")
    for text in ("MÜLLER_t1.zip", "scan of pid-77", "änne"):
        assert origin.is_named_in(text)
    assert not origin.is_named_in("head 7")


@pytest.mark.parametrize("text", ["Mu\u0308ller.zip", "MULLER 3", "PID77 head.zip"])
def test_a_name_is_found_however_it_is_written(text):
    header = Dataset()
    header.PatientName, header.PatientID = "Müller^Ä", "PID-77"
    assert Origin((header,), (1,)).is_named_in(text)


def test_the_scanner_is_its_maker_and_model_and_never_a_name():
    header = Dataset()
    header.PatientName, header.PatientID = "Müller^Ä", "PID-77"
    assert Origin((header,), (1,)).scanner == ""
    header.Manufacturer, header.ManufacturerModelName = " ACME\t", "Alpha  3T " + 80 * "x"
    assert Origin((header,), (1,)).scanner == f"ACME Alpha 3T {50 * 'x'}"
    header.ManufacturerModelName = "Mueller's Alpha (Müller)"
    assert Origin((header,), (1,)).scanner == ""


def test_single_frames_of_enhanced_images_have_no_origin(tmp_path):
    files = phantom().datasets()
    for file in files:
        file.SOPClassUID = EnhancedMRImageStorage
    assert origin_of(tmp_path, files) is None


@pytest.mark.parametrize("data", [b"", b"\0" * 40, b"x\x9c\x03\0\0\0\0\1"])
def test_bytes_of_something_else_are_refused(data):
    with pytest.raises(ValueError, match="not the origin"):
        Origin.from_bytes(data)
