"""What a compressed frame says of its size, read before a decoder believes it."""

import struct
from pathlib import Path

import pydicom
from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from core import limits
from core.errors import InputError, TooLargeError

_PLAIN = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian}
_JPEG_2000 = {JPEG2000, JPEG2000Lossless}
_JPEG = {
    JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless,
    JPEGLSNearLossless,
}  # fmt: skip
# The largest that a frame of two bytes a pixel becomes by being compressed, and its header.
_LARGEST_SHARE, _HEADER_BYTES = 2.5, 65536
# Begin of a JPEG 2000 codestream, whose first segment has the size; most have one tile.
_CODESTREAM, _MOST_TILES = b"\xff\x4f\xff\x51", 1024
_SIZE = struct.Struct(">HHIIIIIIIIH")
# Markers of JPEG: begin, and those of a frame's header (55 is that of JPEG-LS).
_JPEG_BEGIN = b"\xff\xd8"
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def check_syntax(syntax: UID) -> None:
    """Raise ``InputError`` for a transfer syntax that is not read."""
    if syntax not in _PLAIN | _JPEG_2000 | _JPEG | {RLELossless}:
        raise InputError(
            "The pixels are stored in a way that is not read",
            "Export the series uncompressed, or compressed by JPEG or RLE.",
            code="dicom_compression",
        )


def has_true_sizes(path: Path, syntax: UID, rows: int, columns: int) -> bool:
    """Whether every compressed frame of a file has the size that the header says.

    Decoders make room for what a frame says of itself: 10 KB could take all of the memory.

    Raises
    ------
    TooLargeError
        The file is too large to be looked through.
    """
    if syntax in _PLAIN:
        return True
    if path.stat().st_size > limits.MAX_UPLOAD_MIB * limits.MIB:
        raise TooLargeError(
            f"A DICOM file is larger than {limits.MAX_UPLOAD_MIB} MiB",
            "Export the series with one file a slice.",
        )
    values = pydicom.dcmread(path, specific_tags=["PixelData", "NumberOfFrames"])
    count = int(values.get("NumberOfFrames") or 1)
    most = int(_LARGEST_SHARE * rows * columns) + _HEADER_BYTES
    return all(
        len(frame) <= most and _is_of_size(frame, syntax, rows, columns)
        for frame in generate_frames(values.PixelData, number_of_frames=count)
    )


def _is_of_size(frame: bytes, syntax: UID, rows: int, columns: int) -> bool:
    if syntax in _JPEG_2000:
        return _size_of_jpeg_2000(frame) == (rows, columns)
    if syntax in _JPEG:
        return _size_of_jpeg(frame) == (rows, columns)
    return True  # RLE: bounded by the frame's length


def _size_of_jpeg_2000(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns; None if it is no plain picture in grey."""
    if not frame.startswith(_CODESTREAM):
        return None
    _, _, x, y, x0, y0, tile_x, tile_y, _, _, parts = _SIZE.unpack_from(frame, len(_CODESTREAM))
    if parts != 1 or not tile_x or not tile_y or -(-x // tile_x) * -(-y // tile_y) > _MOST_TILES:
        return None
    return (y, x) if x0 == y0 == 0 else None


def _size_of_jpeg(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns; None if it is no plain picture in grey."""
    if not frame.startswith(_JPEG_BEGIN):
        return None
    place = len(_JPEG_BEGIN)
    while frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker in _FRAME_MARKERS:
            rows, columns, parts = struct.unpack_from(">HHB", frame, place + 5)
            return (rows, columns) if parts == 1 else None
        place += 2 + int(struct.unpack_from(">H", frame, place + 2)[0])
    return None
