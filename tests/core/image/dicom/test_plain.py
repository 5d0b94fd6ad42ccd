"""Uncompressed pixels are those that pydicom's decoders give, and what is odd is left to these."""

import numpy as np
import pytest
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from core.image.dicom.headers import read_header
from core.image.dicom.plain import plain_pixels
from tests.phantoms import Phantom

ROWS, COLUMNS, SLICES = 9, 7, 8


@pytest.fixture
def voxels():
    return np.random.default_rng(3).integers(-(2**15), 2**15, (COLUMNS, ROWS, SLICES), np.int16)


def header_of(dataset, folder, syntax=ExplicitVRLittleEndian):
    dataset.file_meta.TransferSyntaxUID = syntax
    path = folder / "file"
    dataset.save_as(path, enforce_file_format=True)
    return read_header(path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("stored_bits", [16, 12, 1])
@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_each_frame_is_as_pydicom_reads_it(voxels, tmp_path, syntax, stored_bits, kind):
    made = Phantom(voxels.view(kind), np.eye(4))
    for dataset, frames in ((made.datasets()[3], 1), (made.enhanced(), SLICES)):
        dataset.BitsStored, dataset.HighBit = stored_bits, stored_bits - 1
        header = header_of(dataset, tmp_path, syntax)
        for index in {0, frames - 1}:
            pixels = plain_pixels(header, index, ROWS, COLUMNS)
            assert pixels is not None
            assert pixels.dtype == kind
            assert np.array_equal(pixels, pixel_array(header.path, index=index, raw=True))


def test_what_is_compressed_cut_off_or_odd_is_left_to_pydicom(voxels, tmp_path):
    compressed = Phantom(voxels, np.eye(4), syntax=RLELossless).datasets()[0]
    assert plain_pixels(header_of(compressed, tmp_path, RLELossless), 0, ROWS, COLUMNS) is None
    plain = Phantom(voxels, np.eye(4)).datasets()
    assert plain_pixels(header_of(plain[0], tmp_path), 0, ROWS, COLUMNS - 1) is None
    header = header_of(plain[1], tmp_path)
    header.path.write_bytes(header.path.read_bytes()[:-1])
    assert plain_pixels(header, 0, ROWS, COLUMNS) is None
    del plain[2].BitsStored
    assert plain_pixels(header_of(plain[2], tmp_path), 0, ROWS, COLUMNS) is None
    del plain[3].PixelData
    assert plain_pixels(header_of(plain[3], tmp_path), 0, ROWS, COLUMNS) is None
