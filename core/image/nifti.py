"""Voxels read from, and masks written as, NIfTI files whose header was vetted."""

import gzip
import io
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from core.image.header import (
    EXTENSION_FLAG,
    LARGEST_HEADER_BYTES,
    Header,
    fields_of,
    parse_header,
)
from core.image.voxels import Voxels

NOTICE = "HippoView mask: 1 anterior, 2 posterior. Research use, not for diagnosis."
# The header field holds at most 79 bytes.
SIDES_NOTICE = "HippoView: 1 2 left anterior, posterior; 3 4 right. Research use, no diagnosis."
_INTENT_LABEL = 1002
_PACKED_AT_ONCE = 4_000_000  # voxels
# A file can be written slab by slab along its last axis: its first axis varies fastest.
_LAST = 2


def stored_of(clean_file: bytes, header: Header) -> Voxels:
    """The voxels of a file that HippoView wrote, along the file's own axes.

    Parameters
    ----------
    clean_file : bytes
        The private copy that `core.image.intake` wrote: ``header.clean_prefix()``, then voxels.
    """
    count = int(np.prod(header.shape, dtype=np.int64))
    stored = np.frombuffer(clean_file, header.dtype, count, header.clean_offset)
    return Voxels(stored.reshape(header.shape, order="F"), header.slope, header.inter)


def values_of(clean_file: bytes, header: Header) -> NDArray[np.float64]:
    """As `stored_of`, scaled to values, shape (X, Y, Z)."""
    return stored_of(clean_file, header).read()


def mask_bytes(
    labels: NDArray[np.uint8], header: Header, notice: str = NOTICE, highest: int = 2
) -> bytes:
    """The mask as ``.nii.gz``: uint8 on the file's grid, with its affine and codes.

    Parameters
    ----------
    labels : ndarray, shape (X, Y, Z)
        Along the file's own axes.

    The same mask always gives the same bytes: no time stamp, no name.
    """
    if labels.shape != header.shape or labels.dtype != np.uint8:
        raise ValueError(f"mask {labels.dtype} {labels.shape}, expected uint8 {header.shape}")
    fields = fields_of(header)
    fields["datatype"], fields["bitpix"] = 2, 8
    fields["scl_slope"], fields["scl_inter"] = 1, 0
    fields["cal_min"], fields["cal_max"] = 0, highest
    fields["intent_code"] = _INTENT_LABEL
    fields["descrip"] = notice.encode()
    prefix = fields.tobytes() + EXTENSION_FLAG
    slabs = Voxels(labels).slabs(_PACKED_AT_ONCE, axis=_LAST)
    return packed(prefix, (labels[box].tobytes(order="F") for box in slabs), 6)


def scan_bytes(voxels: Voxels, header: Header) -> bytes:
    """A scan as ``.nii.gz``: its voxels as they are stored, without free text or extensions.

    Parameters
    ----------
    voxels : Voxels, shape (X, Y, Z)
        Along the file's own axes.
    """
    slabs = (voxels.stored[box].tobytes(order="F") for box in voxels.slabs(axis=_LAST))
    return packed(header.clean_prefix(), slabs, 1)


def packed(prefix: bytes, parts: Iterable[bytes], level: int) -> bytes:
    """Compress a prefix and parts as one gzip stream without a time stamp."""
    compressor, output = zlib.compressobj(level, wbits=31), io.BytesIO()
    output.write(compressor.compress(prefix))
    for part in parts:
        output.write(compressor.compress(part))
    output.write(compressor.flush())
    return output.getvalue()  # not a copy


def sides_bytes(values: NDArray[np.uint8], header: Header) -> bytes:
    """As `mask_bytes`, for a head's mask with values of their own for each side, 1 to 4."""
    return mask_bytes(values, header, SIDES_NOTICE, 4)


def header_of(data: bytes) -> Header:
    """Header of a ``.nii.gz`` that HippoView wrote; the voxels are not unpacked."""
    return parse_header(zlib.decompressobj(wbits=31).decompress(data, LARGEST_HEADER_BYTES))


def read_mask(data: bytes) -> NDArray[np.uint8]:
    """Labels of a mask that `mask_bytes` wrote, shape (X, Y, Z), along the file's axes."""
    raw = gzip.decompress(data)
    header = parse_header(raw[:LARGEST_HEADER_BYTES])
    labels = np.frombuffer(raw, np.uint8, offset=header.clean_offset)
    return labels.reshape(header.shape, order="F")
