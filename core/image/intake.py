"""Bytes from outside become a vetted private file, or a clear refusal.

Nothing is unpacked before the header was read and its sizes were checked, and nothing of a
refused file is kept.
"""

import errno
import hashlib
import os
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from core import limits
from core.errors import InputError, TooLargeError
from core.findings import Finding
from core.image.dicom.unpack import TELLING_BYTES, is_dicom, is_zip
from core.image.header import LARGEST_HEADER_BYTES, Header, parse_header
from core.image.room import Unpacked, no_room

if TYPE_CHECKING:
    from core.image.dicom.convert import Converted
    from core.image.dicom.origin import Origin

_CHUNK_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
# Bytes after a compressed file that mean nothing: padding, line ends of a text-mode transfer.
_SILENT_BYTES = b"\0\r\n\t \x1a"
# Each member of a gzip file costs time: 64 are accepted, and one more per 4 KiB unpacked. pigz and
# bgzip write members of 64 KiB and more.
_FREE_MEMBERS = 64
_BYTES_PER_MEMBER = 4096
# Exports are unpacked one at a time: each may take 2 GiB of the disk and a volume's memory, before
# the scan has a place in the predictor's queue.
_ONE_EXPORT = threading.Lock()
_UNPACKED = Unpacked(limits.ALL_UNPACKED_MIB * limits.MIB)


class Source(Protocol):
    """Anything that gives bytes."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, none at the end."""


@dataclass(frozen=True, eq=False)
class VettedFile:
    """A private uncompressed NIfTI whose header was checked and cleaned.

    Attributes
    ----------
    path : Path
        Header without free text or extensions, then exactly the voxels.
    header : Header
    sha256 : str
        Of the bytes as they came.
    size_bytes : int
        Of the bytes as they came.
    origin : Origin or None
        Of a DICOM series: the way back to its study, which names the patient.
    """

    path: Path
    header: Header
    sha256: str
    size_bytes: int
    origin: "Origin | None" = None


@contextmanager
def vetted(
    source: Source,
    folder: Path,
    max_bytes: int = limits.MAX_UPLOAD_MIB * limits.MIB,
    series: str = "",
) -> Iterator[VettedFile]:
    """Vet a file for as long as the ``with`` block lasts.

    Parameters
    ----------
    source
        The file as it came, ``.nii``, ``.nii.gz``, a zip of a DICOM export or one DICOM file; its
        content says which.
    folder
        Where the private copy lies until the block ends.
    series
        UID of the DICOM series to take; by default the T1-weighted one, if it is alone.

    Raises
    ------
    InputError, TooLargeError
        The file cannot be read as one 3-D image; the message says why.
    StorageError
        There is no room to unpack it.
    BusyError
        The copies of others take that room up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counted = _Counted(source, max_bytes)
    layers = _unpacked(counted, max_bytes)
    handle, name = tempfile.mkstemp(suffix=".nii", dir=folder)
    path = Path(name)
    held = ExitStack()
    try:
        with os.fdopen(handle, "wb") as private, ExitStack() as stack:
            stream = layers[-1]
            findings: list[Finding] = []
            origin = None
            begin = stream.peek(TELLING_BYTES)
            if is_zip(begin) or is_dicom(begin):
                stack.enter_context(_ONE_EXPORT)
                spare = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="dicom-", dir=folder)
                )
                nifti = _converted(stream, Path(spare), series)
                file = stack.enter_context(nifti.path.open("rb"))
                stream = _Unpacked(_Counted(file, nifti.path.stat().st_size))
                findings, origin = nifti.findings, nifti.origin
            header = _copied(stream, private, folder, held)
        findings += _packing_findings(layers)
        header = replace(header, findings=(*header.findings, *findings))
        yield VettedFile(path, header, counted.sha256.hexdigest(), counted.count, origin)
    finally:
        path.unlink(missing_ok=True)
        held.close()


def _copied(stream: "_Unpacked", private: BinaryIO, folder: Path, held: ExitStack) -> Header:
    """Write a clean copy of a NIfTI, whose room it holds; returns its header."""
    header = parse_header(stream.peek(LARGEST_HEADER_BYTES))
    _check_field_of_view(header)
    held.enter_context(_UNPACKED.place(folder, header.data_bytes))
    private.write(header.clean_prefix())
    _skip(stream, header.voxel_offset)
    for part in _take(stream, header.data_bytes):
        private.write(part)
    _drain(stream)
    return header


def _converted(stream: "_Unpacked", folder: Path, series: str) -> "Converted":
    """A DICOM export as an uncompressed NIfTI, and what is to be said of it."""
    from core.image.dicom.convert import converted  # imports pydicom, which other files do not need

    export = folder / "export"
    try:
        with export.open("wb") as copy:
            while part := stream.read(_CHUNK_BYTES):
                copy.write(part)
        return converted(export, folder, series)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise no_room() from error


def _check_field_of_view(header: Header) -> None:
    extent = " x ".join(f"{e:.0f}" for e in header.extent_mm)
    if min(header.extent_mm) < limits.MIN_EXTENT_MM:
        raise InputError(
            f"The scan covers only {extent} mm, too little to hold a hippocampus",
            "Send a whole head, or a crop of about 35 x 50 x 35 mm around one hippocampus.",
            code="too_small",
        )


class _Counted:
    """Counts and hashes what is read, and refuses more than the limit."""

    def __init__(self, source: Source, max_bytes: int) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self.count = 0
        self.sha256 = hashlib.sha256()

    def read_chunk(self) -> bytes:
        chunk = self._source.read(_CHUNK_BYTES)
        self.count += len(chunk)
        if self.count > self._max_bytes:
            raise TooLargeError(
                f"The file is larger than {self._max_bytes // limits.MIB} MiB",
                "Crop the scan around the hippocampus, or compress it as .nii.gz.",
            )
        self.sha256.update(chunk)
        return chunk


class _Chunks(Protocol):
    """A source of chunks of bytes."""

    def read_chunk(self) -> bytes:
        """Some bytes, none at the end."""


class _Unpacked:
    """Reads a file's content, gzipped or not, never more of it than asked for.

    Attributes
    ----------
    is_gzip : bool
    bytes_behind : int
        Bytes after the compressed stream that are neither part of it nor padding.
    """

    def __init__(self, source: _Chunks) -> None:
        self._source = source
        self._packed = source.read_chunk()
        self.is_gzip = self._packed.startswith(_GZIP_MAGIC)
        self.bytes_behind = 0
        self._inflate = zlib.decompressobj(wbits=31)
        self._members = 1
        self._produced = 0
        self._ready = b""

    def peek(self, size: int) -> bytes:
        while len(self._ready) < size:
            chunk = self._next(size - len(self._ready))
            if not chunk:
                break
            self._ready += chunk
        return self._ready[:size]

    def read(self, size: int) -> bytes:
        """Between one and ``size`` bytes, none at the end."""
        if self._ready:
            chunk, self._ready = self._ready[:size], self._ready[size:]
            return chunk
        return self._next(size)

    def _next(self, size: int) -> bytes:
        if not self.is_gzip:
            if not self._packed:
                self._packed = self._source.read_chunk()
            chunk, self._packed = self._packed[:size], self._packed[size:]
            return chunk
        while True:
            if self._inflate.eof and not self._begin_member():
                return b""
            if not self._packed:
                self._packed = self._source.read_chunk()
                if not self._packed:
                    raise InputError(
                        "The compressed file ends too early",
                        "It was cut off: copy or export it again.",
                        code="truncated",
                    )
            try:
                chunk = self._inflate.decompress(self._packed, size)
            except zlib.error as error:
                raise _damaged() from error
            rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._packed = rest
            if chunk:
                self._produced += len(chunk)
                return chunk

    def _begin_member(self) -> bool:
        """Start the next gzip member, if one follows; other bytes go into ``bytes_behind``."""
        packed = self._packed.lstrip(_SILENT_BYTES)
        while len(packed) < len(_GZIP_MAGIC):
            more = self._source.read_chunk()
            if not more:
                break
            packed = (packed + more).lstrip(_SILENT_BYTES)
        self._packed = packed
        if not packed.startswith(_GZIP_MAGIC):
            while self._packed:
                self.bytes_behind += len(self._packed)
                self._packed = self._source.read_chunk()
            return False
        self._members += 1
        if self._members > _FREE_MEMBERS + self._produced // _BYTES_PER_MEMBER:
            raise _damaged()
        self._inflate = zlib.decompressobj(wbits=31)
        return True


class _Inner:
    """A compressed file within a compressed file; the same size limit holds for it."""

    def __init__(self, outer: _Unpacked, max_bytes: int) -> None:
        self._outer = outer
        self._left = max_bytes

    def read_chunk(self) -> bytes:
        chunk = self._outer.read(_CHUNK_BYTES)
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLargeError(
                "The compressed file within the compressed file is larger than what is accepted",
                "Unpack it once with gunzip and send what is inside.",
            )
        return chunk


def _unpacked(source: _Counted, max_bytes: int) -> list[_Unpacked]:
    """The layers of a file: itself, then its content as long as that is gzipped again."""
    layers = [_Unpacked(source)]
    while layers[-1].is_gzip and layers[-1].peek(len(_GZIP_MAGIC)) == _GZIP_MAGIC:
        if len(layers) == limits.MAX_GZIP_LAYERS:
            raise InputError(
                f"The file is compressed more than {limits.MAX_GZIP_LAYERS} times, gzip in gzip",
                "Unpack it with gunzip until a .nii or .nii.gz file is left, and send that.",
                code="gzip_in_gzip",
            )
        layers.append(_Unpacked(_Inner(layers[-1], max_bytes)))
    return layers


def _packing_findings(layers: list[_Unpacked]) -> list[Finding]:
    findings = []
    if len(layers) > 1:
        findings.append(Finding(
            "note", "compressed_twice",
            "The file is compressed twice, gzip in gzip. What is inside was read.",
        ))  # fmt: skip
    if behind := sum(layer.bytes_behind for layer in layers):
        findings.append(Finding(
            "warning" if behind > limits.FEW_BYTES_BEHIND else "note", "bytes_behind",
            f"{behind:,} bytes that are not part of the image stand behind the compressed file "
            "and were left out.",
        ))  # fmt: skip
    return findings


def _damaged() -> InputError:
    return InputError(
        "The compressed file is damaged",
        "Copy or export it again; test it with: gzip -t FILE",
        code="corrupt_gzip",
    )


def _take(stream: _Unpacked, size: int) -> Iterator[bytes]:
    left = size
    while left:
        part = stream.read(min(left, _CHUNK_BYTES))
        if not part:
            raise InputError(
                f"The file ends too early: {size - left:,} of {size:,} bytes of image data "
                "are there",
                "It was cut off: copy or export it again.",
                code="truncated",
            )
        left -= len(part)
        yield part


def _skip(stream: _Unpacked, size: int) -> None:
    for _ in _take(stream, size):
        pass


def _drain(stream: _Unpacked) -> None:
    """Read to the end, which checks the compressed file's own checksum."""
    extra = 0
    while part := stream.read(_CHUNK_BYTES):
        extra += len(part)
        if extra > limits.MAX_TRAILING_BYTES:
            raise InputError(
                "The file holds more data than its header declares",
                "Export the scan again: its header does not fit its content.",
                code="bad_header",
            )
