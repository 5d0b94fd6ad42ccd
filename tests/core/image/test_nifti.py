import gzip
from functools import partialmethod

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.image import nifti
from core.image.header import Header, parse_header
from core.image.voxels import Voxels
from tests.scans import as_bytes, image, noise, patched


def parse(raw: bytes) -> Header:
    return parse_header(raw[:540])


def load(mask: bytes) -> nib.Nifti1Image:
    raw = gzip.decompress(mask)
    kind = nib.Nifti1Image if raw[0] == 92 or raw[3] == 92 else nib.Nifti2Image
    return kind.from_bytes(raw)


AFFINE = np.array([[0, 0, 2.0, -10], [-1.0, 0, 0, 20], [0, 1.5, 0, 5], [0, 0, 0, 1]])


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("sform_code", [0, 1, 4])
@pytest.mark.parametrize("qform_code", [0, 1, 2])
def test_a_mask_has_the_grid_affine_and_codes_of_its_scan(kind, sform_code, qform_code):
    scan = image(noise((20, 22, 24)), kind=kind)
    scan.set_sform(AFFINE, sform_code)
    scan.set_qform(AFFINE, qform_code)
    scan.header.set_xyzt_units("mm", "sec")
    scan = kind.from_bytes(as_bytes(scan))
    labels = np.random.default_rng(1).integers(0, 3, scan.shape).astype(np.uint8)

    mask = load(nifti.mask_bytes(labels, parse(as_bytes(scan))))

    assert type(mask) is kind
    assert np.array_equal(np.asarray(mask.dataobj), labels)
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, scan.affine)
    for field in ("sform_code", "qform_code", "pixdim", "srow_x", "quatern_b", "xyzt_units"):
        assert np.array_equal(mask.header[field], scan.header[field]), field


def test_the_header_is_read_as_nibabel_reads_it():
    scan = image(noise((20, 22, 24), np.int16), AFFINE)
    header = parse(as_bytes(scan))
    assert header.shape == scan.shape
    assert np.allclose(header.affine, scan.affine)
    assert header.orientation == "".join(nib.aff2axcodes(scan.affine))
    assert header.spacing_mm == pytest.approx((1.0, 1.5, 2.0))


def test_big_endian_files_are_read_and_keep_their_order():
    scan = image(noise((20, 22, 24), np.int16), AFFINE)
    swapped = nib.Nifti1Image(scan.dataobj, AFFINE, scan.header.as_byteswapped(">"))
    raw = as_bytes(swapped)
    header = parse(raw)
    clean = header.clean_prefix() + raw[352:]
    assert np.array_equal(nifti.values_of(clean, header), np.asarray(scan.dataobj))
    mask = load(nifti.mask_bytes(np.ones(scan.shape, np.uint8), header))
    assert mask.header.endianness == ">"
    assert np.allclose(mask.affine, AFFINE)


def test_slope_and_offset_are_applied():
    raw = patched(
        patched(as_bytes(image(noise(dtype=np.int16))), "scl_slope", 2.5), "scl_inter", -7
    )
    header = parse(raw)
    expected = np.asarray(nib.Nifti1Image.from_bytes(raw).dataobj)
    assert np.allclose(nifti.values_of(header.clean_prefix() + raw[352:], header), expected)


def test_free_text_of_the_header_is_not_kept():
    scan = image(descrip=b"DOE^JANE 1950", aux_file=b"DOE", intent_name=b"JANE", db_name=b"DOE")
    header = parse(as_bytes(scan))
    mask = gzip.decompress(nifti.mask_bytes(np.zeros(scan.shape, np.uint8), header))
    for kept in (header.clean_prefix(), mask):
        assert b"DOE" not in kept
        assert b"JANE" not in kept


def test_a_mask_says_that_it_is_not_for_diagnosis():
    mask = load(nifti.mask_bytes(np.zeros((35, 50, 35), np.uint8), parse(as_bytes(image()))))
    assert b"not for diagnosis" in bytes(mask.header["descrip"])


def test_the_same_mask_gives_the_same_bytes_and_is_read_back():
    labels = np.random.default_rng(2).integers(0, 3, (35, 50, 35)).astype(np.uint8)
    header = parse(as_bytes(image()))
    first = nifti.mask_bytes(labels, header)
    assert first == nifti.mask_bytes(labels.copy(), header)
    assert np.array_equal(nifti.read_mask(first), labels)


def test_a_mask_of_another_grid_is_a_programming_error():
    with pytest.raises(ValueError, match="expected uint8"):
        nifti.mask_bytes(np.zeros((3, 3, 3), np.uint8), parse(as_bytes(image())))


def test_a_4d_file_with_one_time_point_is_one_volume():
    assert parse(as_bytes(image(noise((35, 50, 35, 1))))).shape == (35, 50, 35)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: s.set_sform(np.diag([1.5, 1, 1, 1]), 1), "spacing_conflict"),
        (lambda s: (s.set_sform(None, 0), s.set_qform(None, 0)), "orientation_unknown"),
        (
            lambda s: (s.set_sform(np.eye(4), 1), s.set_qform(np.diag([-1, 1, 1, 1]), 1)),
            "orientation_conflict",
        ),
        (lambda s: s.header.set_xyzt_units("micron"), "unit_unusual"),
    ],
)
def test_a_header_in_doubt_is_named(change, code):
    scan = image()
    change(scan)
    header = parse(as_bytes(scan))
    assert code in [f.code for f in header.findings]
    assert np.allclose(header.affine, nib.Nifti1Image.from_bytes(as_bytes(scan)).affine)


def test_an_ordinary_header_gives_no_finding():
    scan = image()
    scan.set_qform(np.eye(4), 1)
    scan.set_sform(np.eye(4), 1)
    assert parse(as_bytes(scan)).findings == ()


@given(position=st.integers(0, 347), value=st.integers(0, 255))
def test_a_header_with_one_changed_byte_is_refused_or_read_as_nibabel_does(position, value):
    raw = bytearray(as_bytes(image(noise((20, 22, 24), np.int16), AFFINE)))
    raw[position] = value
    try:
        header = parse(bytes(raw))
    except InputError:
        return
    expected = nib.Nifti1Image.from_bytes(header.clean_prefix() + raw[352:])
    assert header.shape == expected.shape
    assert np.allclose(header.affine, expected.affine)
    assert abs(np.linalg.det(header.affine)) > 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mask_that_is_written_in_parts_is_the_same_however_it_lies_in_memory(order, monkeypatch):
    monkeypatch.setattr(nifti, "_PACKED_AT_ONCE", 1000)
    header = parse_header(as_bytes(image(noise((20, 30, 25))))[:540])
    labels = np.random.default_rng(0).integers(0, 3, header.shape, np.uint8)
    content = nifti.mask_bytes(np.asarray(labels, order=order), header)
    assert np.array_equal(nifti.read_mask(content), labels)
    assert nifti.header_of(content).shape == header.shape
    raw = gzip.decompress(content)
    assert raw[352:] == labels.tobytes(order="F")
    assert content == gzip.compress(raw, 6, mtime=0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_scan_that_is_written_in_parts_is_the_same_however_it_lies_in_memory(order, monkeypatch):
    header = parse_header(as_bytes(image(noise((20, 30, 25), ">i2")))[:540])
    stored = noise(header.shape, header.dtype)
    voxels = Voxels(np.asarray(stored, order=order))
    monkeypatch.setattr("core.image.voxels.Voxels.slabs", partialmethod(Voxels.slabs, 1000))
    raw = gzip.decompress(nifti.scan_bytes(voxels, header))
    assert raw == header.clean_prefix() + stored.tobytes(order="F")


def test_the_mask_of_a_scan_whose_line_ends_were_changed_can_be_opened():
    """NIfTI-2 has a field for it; other programs refuse a file in which it is wrong."""
    scan = image(noise((20, 22, 24)), kind=nib.Nifti2Image)
    scan.header["eol_check"] = (10, 10, 26, 10)
    labels = np.zeros(scan.shape, np.uint8)
    mask = load(nifti.mask_bytes(labels, parse(bytes(scan.to_bytes()))))
    assert mask.header["eol_check"].tolist() == [13, 10, 26, 10]
