"""A series as NIfTI: where its voxels lie, which one is taken, and what is refused by name."""

import io
import resource
import shutil
import struct
import subprocess
import zipfile

import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from core import limits
from core.errors import InputError, TooLargeError
from core.image.dicom import convert
from core.image.dicom.offers import SeveralSeriesError
from core.image.intake import vetted
from tests.phantoms import BIRTH_DATE, NAME, PATIENT_ID, Phantom, written

SHAPE = (40, 36, 12)
PLANES = {
    "axial": np.diag([-0.9, -0.9, 1.2, 1.0]),
    "sagittal": np.array([[0, 0, -1.2, 0], [-0.9, 0, 0, 0], [0, -0.9, 0, 0], [0, 0, 0, 1.0]]),
    "coronal": np.array([[-0.9, 0, 0, 0], [0, 0, 1.2, 0], [0, -0.9, 0, 0], [0, 0, 0, 1.0]]),
}


def oblique():
    turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.15)
    return nib.affines.from_matvec(turn @ PLANES["axial"][:3, :3], [10.0, -20.0, 5.0])


def phantom(affine=None, **more):
    values = np.random.default_rng(1).integers(-200, 3000, SHAPE).astype(np.int16)
    values[0, 0, 0] = 9999  # a marker
    place = PLANES["axial"].copy() if affine is None else affine
    return Phantom(values, place, **more)


def converted(tmp_path, datasets, uid=""):
    spare = tmp_path / "spare"
    spare.mkdir(parents=True)
    series = convert.converted(written(tmp_path / "in", datasets), spare, uid)
    return nib.load(series.path), [finding.code for finding in series.findings]


def code_of(tmp_path, datasets, uid=""):
    with pytest.raises(InputError) as caught:
        converted(tmp_path, datasets, uid)
    return caught.value.code


def check_same(image, made):
    """Every voxel has its value at its place, whatever the order of the slices."""
    assert image.shape == made.voxels.shape
    values = np.asanyarray(image.dataobj)
    marker = apply_affine(image.affine, np.argwhere(values == 9999)[0])
    expected = apply_affine(made.affine, np.argwhere(made.voxels == 9999)[0])
    assert np.allclose(marker, expected, atol=1e-3)
    ras, expected = (nib.as_closest_canonical(i) for i in (image, made.image))
    assert np.allclose(ras.affine, expected.affine, atol=1e-3)
    assert np.array_equal(np.asanyarray(ras.dataobj), np.asanyarray(expected.dataobj))


@pytest.mark.parametrize("plane", [*PLANES, "oblique"])
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_every_voxel_lies_where_the_scanner_says(tmp_path, plane, kind):
    made = phantom(oblique() if plane == "oblique" else PLANES[plane].copy())
    files = made.datasets() if kind == "classic" else [made.enhanced()]
    image, findings = converted(tmp_path, files)
    check_same(image, made)
    assert image.get_data_dtype() == np.int16
    assert findings == []


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_series_are_the_same(tmp_path, syntax):
    made = phantom(syntax=syntax)
    made.voxels = np.abs(made.voxels).astype(np.uint16)
    image, _ = converted(tmp_path, made.datasets())
    check_same(image, made)


def test_lossless_jpeg(tmp_path):
    """As most PACS send: dcmtk makes it."""
    encoder = shutil.which("dcmcjpeg")
    if encoder is None:
        pytest.skip("dcmtk is missing: apt-get install dcmtk")
    made = phantom()
    made.voxels = np.abs(made.voxels).astype(np.uint16)
    plain = written(tmp_path / "plain", made.datasets())
    (tmp_path / "jpeg").mkdir()
    for file in plain.iterdir():
        subprocess.run([encoder, "+e1", file, tmp_path / "jpeg" / file.name], check=True)
    assert pydicom.dcmread(next((tmp_path / "jpeg").iterdir())).file_meta.TransferSyntaxUID == (
        JPEGLosslessSV1
    )
    path = convert.converted(tmp_path / "jpeg", tmp_path).path
    check_same(nib.load(path), made)


def test_big_endian(tmp_path):
    made = phantom()
    folder = tmp_path / "in"
    folder.mkdir()
    for number, dataset in enumerate(made.datasets()):
        swapped = pydicom.Dataset()
        swapped.update(dataset)
        swapped.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        swapped.preamble, swapped.file_meta = bytes(128), dataset.file_meta
        swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        pydicom.dcmwrite(folder / f"{number:03}", swapped)
    path = convert.converted(folder, tmp_path).path
    check_same(nib.load(path), made)


def test_slopes_unsigned_values_and_inverted_greys(tmp_path):
    made = phantom()
    for k, dataset in enumerate(files := made.datasets()):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(2 + k % 2), "-100"
    image, _ = converted(tmp_path / "a", files)
    slopes = np.array([2 + k % 2 for k in range(SHAPE[2])])
    expected = made.voxels.astype(np.float32) * slopes - 100
    mine = nib.as_closest_canonical(nib.Nifti1Image(expected, made.affine))
    assert np.allclose(nib.as_closest_canonical(image).get_fdata(), mine.get_fdata())
    dark = phantom(values={"PhotometricInterpretation": "MONOCHROME1"})
    image, _ = converted(tmp_path / "b", dark.datasets())
    low, high = int(dark.voxels.min()), int(dark.voxels.max())
    turned = nib.as_closest_canonical(
        nib.Nifti1Image(high + low - dark.voxels.astype(int), dark.affine, dtype="int32")
    )
    ours = nib.as_closest_canonical(image).get_fdata()
    assert np.array_equal(ours - ours.min(), turned.get_fdata() - turned.get_fdata().min())


def moved(dataset, by_mm):
    dataset.ImagePositionPatient = [
        float(a) + b for a, b in zip(dataset.ImagePositionPatient, by_mm, strict=True)
    ]


def without(files):
    del files[5]


def doubled(files):
    files.append(phantom_copy(files[4]))


def phantom_copy(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    copy = pydicom.dcmread(buffer)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return copy


def uneven(files):
    moved(files[5], (0, 0, 0.4 * 1.2))


def sheared(files):
    for k, dataset in enumerate(files):
        moved(dataset, (0, 0.3 * k, 0))


def aside(files):
    moved(files[5], (0, 2, 0))


def turned(files):
    for dataset in files[6:]:
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def twice(files):
    files += [phantom_copy(dataset) for dataset in files]


def of_another(files):
    files[3].PatientID = "SOMEBODY-ELSE"


def few(files):
    del files[5:]


def placeless(files):
    del files[2].ImagePositionPatient


FAULTS = {
    "dicom_missing_slice": without, "dicom_doubled_slice": doubled, "dicom_uneven_slices": uneven,
    "dicom_tilt": sheared, "dicom_moved_slice": aside, "dicom_orientations": turned,
    "dicom_several_volumes": twice, "dicom_two_patients": of_another, "dicom_few_slices": few,
    "dicom_place": placeless,
}  # fmt: skip


@pytest.mark.parametrize("code", FAULTS)
def test_what_is_no_regular_stack_is_refused_by_name(tmp_path, code):
    files = phantom().datasets()
    FAULTS[code](files)
    assert code_of(tmp_path, files) == code


KINDS = {
    "a localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "a Siemens mosaic": {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]},
    "modality CT": {"Modality": "CT"},
    "secondary capture": {"SOPClassUID": SecondaryCaptureImageStorage},
    "T2-weighted": {"SeriesDescription": "t2_tse_tra"},
    "FLAIR": {"SeriesDescription": "Sag FLAIR 3D"},
    "diffusion": {"SeriesDescription": "dti_64"},
    "echo-planar": {"ScanningSequence": "EP", "SeriesDescription": "run 1"},
    "field map": {"SeriesDescription": "gre_field_mapping"},
    "echo time 90 ms": {"SeriesDescription": "run 2", "EchoTime": "90"},
    "phase": {"ImageType": ["ORIGINAL", "PRIMARY", "P"]},
}


@pytest.mark.parametrize("what", KINDS)
def test_what_is_no_t1_says_what_it_is(tmp_path, what):
    with pytest.raises(InputError, match=what) as caught:
        converted(tmp_path, phantom(values=KINDS[what]).datasets())
    assert caught.value.code == "no_t1_series"


def test_the_t1_is_found_in_a_study(tmp_path):
    made = phantom()
    study = made.datasets()
    for values in KINDS.values():
        study += phantom(values=values).datasets()[:9]
    reformatted = phantom(values={"ImageType": ["DERIVED", "SECONDARY", "MPR"]})
    thick = phantom(values={"MRAcquisitionType": "2D", "SeriesDescription": "t1_se_tra"})
    unnamed = phantom(values={"SeriesDescription": "series 7"})
    for other in (reformatted, thick, unnamed):
        other.voxels = other.voxels[:, :, ::-1].copy()
        study += other.datasets()
    image, _ = converted(tmp_path, study)
    check_same(image, made)


def test_of_several_that_may_be_it_one_is_asked_for_and_given(tmp_path):
    one, other = phantom(), phantom(values={"SeriesDescription": "t1_mprage_repeat"})
    other.voxels = other.voxels[:, :, ::-1].copy()
    study = one.datasets() + other.datasets()
    with pytest.raises(InputError) as caught:
        converted(tmp_path / "a", study)
    assert caught.value.code == "several_series"
    assert one.series_uid in caught.value.hint
    assert other.series_uid in caught.value.hint
    image, _ = converted(tmp_path / "b", study, other.series_uid)
    check_same(image, other)
    assert code_of(tmp_path / "c", study, "1.2.3") == "no_series"


def test_the_series_are_offered_with_what_they_are_and_why_not(tmp_path):
    one = phantom(values={"SeriesDate": "20261130"})
    other = phantom(values={"SeriesDescription": "t1_gd", "ContrastBolusAgent": "9 ml"})
    broken = phantom(values={"SeriesDescription": "t1_broken"}).datasets()
    del broken[6]
    mosaic = phantom(values={"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]})
    study = [*broken, *mosaic.datasets(), *other.datasets(), *one.datasets()]
    with pytest.raises(SeveralSeriesError) as caught:
        converted(tmp_path, study)
    offers = caught.value.offers
    assert [offer.uid for offer in offers[:2]] == [one.series_uid, other.series_uid]
    assert [bool(offer.why_not) for offer in offers] == [False, False, True, True]
    assert "a slice is missing" in " ".join(offer.why_not for offer in offers[2:])
    assert "mosaic" in " ".join(offer.why_not for offer in offers[2:])
    assert [offer.has_contrast_agent for offer in offers[:2]] == [False, True]
    assert (offers[0].date, offers[0].slices) == ("2026-11-30", SHAPE[2])
    assert np.allclose(offers[0].spacing_mm, (0.9, 0.9, 1.2))


def test_a_contrast_agent_is_said(tmp_path):
    made = phantom(values={"ContrastBolusAgent": "9 ml"})
    assert converted(tmp_path, made.datasets())[1] == ["contrast_agent"]


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return buffer.getvalue()


def test_a_zip_is_read_whatever_its_names_and_nothing_of_the_patient_is_kept(tmp_path):
    made = phantom(np.diag([-3.0, -3.0, 4.0, 1.0]))
    folder = written(tmp_path / "in", made.datasets())
    names = [f"../../{NAME}/{n}" for n in range(SHAPE[2])]
    members = [(n, f.read_bytes()) for n, f in zip(names, sorted(folder.iterdir()), strict=True)]
    content = archive([*members, ("readme.txt", b"hello"), ("DICOMDIR", b"no")])
    private = tmp_path / "private"
    with vetted(io.BytesIO(content), private) as file:
        assert file.size_bytes == len(content)
        check_same(nib.load(file.path), made)
        left = [f for f in private.rglob("*") if f.is_file()]
        assert left == [file.path]
        kept = file.path.read_bytes()
        assert not any(word.encode() in kept for word in (NAME, PATIENT_ID, BIRTH_DATE))
    assert not any(private.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "private"]


def test_zips_that_are_none_too_many_or_too_large(tmp_path, monkeypatch):
    def refused(content):
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(InputError) as caught:
            convert.converted(tmp_path / "x.zip", tmp_path)
        return caught.value

    assert refused(archive([("a.txt", b"nothing")])).code == "no_dicom"
    good = archive([("a", bytes(128) + b"DICM" + bytes(500))])
    assert refused(good).code == "dicom_damaged"
    assert refused(good[:-10]).code == "bad_zip"
    monkeypatch.setattr(limits, "MAX_DICOM_MIB", 1)
    assert isinstance(refused(archive([("a", bytes(2 * 2**20))])), TooLargeError)
    monkeypatch.setattr(limits, "MAX_DICOM_FILES", 3)
    assert isinstance(refused(archive([(str(n), b"") for n in range(4)])), TooLargeError)


def test_a_file_that_is_deflated_as_a_whole_is_refused_unread(tmp_path):
    dataset = phantom().datasets()[0]
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    assert code_of(tmp_path, [dataset]) == "dicom_compression"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_frame_that_claims_to_be_larger_never_reaches_a_decoder(tmp_path, syntax):
    made = phantom(syntax=syntax)
    made.voxels = np.abs(made.voxels).astype(np.uint16)
    files = made.datasets()
    frame = bytearray(next(generate_frames(files[0].PixelData, number_of_frames=1)))
    if syntax == JPEG2000Lossless:
        for place in (8, 24):  # the picture's size, and its tile's
            frame[place : place + 8] = struct.pack(">II", 30_000, 30_000)
    else:
        place = frame.index(b"\xff\xf7") + 5
        frame[place : place + 4] = struct.pack(">HH", 30_000, 30_000)
    files[0].PixelData = encapsulate([bytes(frame)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert code_of(tmp_path, files) == "dicom_damaged"
    taken_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert taken_mib < 300


REAL = {
    "siemens_fieldmap": "a field map", "philips_enhanced_fieldmap": "a field map",
    "siemens_fmri_mosaic": "mosaic", "siemens_xa10": "echo-planar", "uih_dti": "mosaic",
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_series_that_are_none_say_what_they_are(shared_data, tmp_path, name):
    with pytest.raises(InputError, match=REAL[name]):
        convert.converted(shared_data / "dicom" / name, tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "spacing", "findings"),
    [
        ("HippoCrop", (35, 51, 32), (1, 1, 1), []),
        ("T1post_5mm", (512, 512, 22), (0.4297, 0.4297, 6.5), ["contrast_agent"]),
        ("uih_t1_3d_sag.zip", (460, 512, 160), (0.5, 0.5, 1), []),
    ],
)
def test_real_series_are_read(shared_data, tmp_path, name, shape, spacing, findings):
    series = convert.converted(shared_data / "dicom" / name, tmp_path)
    image = nib.load(series.path)
    assert image.shape == shape
    assert np.allclose(image.header.get_zooms(), spacing, atol=1e-3)
    assert [finding.code for finding in series.findings] == findings
    assert series.origin.frames == (1,) * shape[2]
