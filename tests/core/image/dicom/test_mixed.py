"""Files that do not belong together, dropped at once."""

from tests.core.image.dicom.test_series import code_of, converted, phantom


def test_files_of_two_patients_are_refused_and_not_one_of_them_taken(tmp_path):
    jane, other = phantom(values={"SeriesDescription": "Sag 3D FFE"}), phantom()
    files = other.datasets()
    for file in files:
        file.PatientID = "SOMEBODY-ELSE"
    assert code_of(tmp_path / "a", jane.datasets() + files) == "dicom_two_patients"
    converted(tmp_path / "b", jane.datasets() + files, other.series_uid)


def test_slices_of_two_frames_of_reference_are_no_stack(tmp_path):
    files = phantom().datasets()
    for number, file in enumerate(files):
        file.FrameOfReferenceUID = "1.2.3" if number < 6 else "1.2.4"
    assert code_of(tmp_path, files) == "dicom_frames_of_reference"
