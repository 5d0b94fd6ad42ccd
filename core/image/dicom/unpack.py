"""The files of a DICOM export: a folder, a zip, or one file."""

import errno
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, BinaryIO

from core import limits
from core.errors import InputError, TooLargeError
from core.image.room import check_room

_ZIP_MAGIC, _DICOM_MAGIC, _PREAMBLE_BYTES = b"PK\x03\x04", b"DICM", 128
# Bytes from a file's begin that tell whether it is DICOM, or a zip that may hold some.
TELLING_BYTES = _PREAMBLE_BYTES + len(_DICOM_MAGIC)
_CHUNK_BYTES = 2**20
# The record at a zip's end: signature, entries at byte 10, size of the directory at byte 12.
_END, _END_BYTES, _MOST_COMMENT = b"PK\x05\x06", 22, 2**16
# What stands before it in a zip that counts in 64 bits.
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_BYTES_PER_ENTRY = 1024


def is_dicom(begin: bytes) -> bool:
    """Whether a file that begins so is DICOM."""
    return begin[_PREAMBLE_BYTES:TELLING_BYTES] == _DICOM_MAGIC


def is_zip(begin: bytes) -> bool:
    """Whether a file that begins so is a zip."""
    return begin.startswith(_ZIP_MAGIC)


def zipped(files: Iterable[Path | BinaryIO], target: IO[bytes]) -> None:
    """Put files into one zip, uncompressed and without their names, which may be a patient's."""
    with zipfile.ZipFile(target, "w") as archive:
        for number, file in enumerate(files):
            with ExitStack() as stack:
                opened = stack.enter_context(file.open("rb")) if isinstance(file, Path) else file
                entry = stack.enter_context(archive.open(f"{number:06}", "w"))
                shutil.copyfileobj(opened, entry, _CHUNK_BYTES)


def files_of(source: Path, folder: Path) -> list[Path]:
    """The DICOM files of an export; others are left out.

    Parameters
    ----------
    source
        A folder, a zip or one DICOM file.
    folder
        Where a zip is unpacked to, under names of our own.

    Raises
    ------
    InputError, TooLargeError
        There is none, there are too many, or the zip cannot be read.
    """
    if source.is_dir():
        files = _in_folder(source)
    elif is_zip(_begin(source)):
        files = _unzipped(source, folder)
    else:
        files = [source]
    dicom = [file for file in files if is_dicom(_begin(file))]
    if not dicom:
        raise InputError(
            f"There is no DICOM file among the {len(files)} that were found",
            "Send the folder or the zip that the scanner or the PACS exports.",
            code="no_dicom",
        )
    return dicom


def _begin(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(TELLING_BYTES)


def _in_folder(source: Path) -> list[Path]:
    files: list[Path] = []
    for file in source.rglob("*"):
        if file.is_symlink() or not file.is_file():
            continue
        files.append(file)
        if len(files) > limits.MAX_DICOM_FILES:
            raise _too_many()
    return sorted(files)


def _unzipped(source: Path, folder: Path) -> list[Path]:
    _check_directory(source)
    files: list[Path] = []
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > limits.MAX_DICOM_FILES:
                raise _too_many()
            unpacked = sum(entry.file_size for entry in entries)  # no member gives more
            if unpacked > limits.MAX_DICOM_MIB * limits.MIB:
                raise _too_large()
            check_room(folder, 2 * unpacked)  # the volume is written beside it
            for number, entry in enumerate(entries):
                if entry.flag_bits & 1:
                    raise InputError(
                        "The zip is protected by a password", "Send it without one.",
                        code="bad_zip",
                    )  # fmt: skip
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise _damaged()
                file = folder / f"{number:06}"
                with archive.open(entry) as stream, file.open("wb") as copy:
                    while chunk := stream.read(_CHUNK_BYTES):
                        copy.write(chunk)
                files.append(file)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise _damaged() from error  # the directory points to a place before the file's begin
    except (
        zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, ValueError,
        OverflowError,
    ) as error:  # fmt: skip
        raise _damaged() from error
    return files


def _check_directory(source: Path) -> None:
    """Refuse a zip whose directory alone would fill the memory; `zipfile` reads it whole."""
    with source.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES - _MOST_COMMENT))
        tail = stream.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) - place < _END_BYTES:
        raise _damaged()
    entries, directory_bytes = struct.unpack("<HI", tail[place + 10 : place + 16])
    is_zip64 = tail[:place][-_LOCATOR_BYTES:].startswith(_LOCATOR)
    most = limits.MAX_DICOM_FILES
    if is_zip64 or entries > most or directory_bytes > most * _BYTES_PER_ENTRY:
        raise _too_many()


def _too_large() -> InputError:
    return TooLargeError(
        f"The zip unpacks to more than {limits.MAX_DICOM_MIB} MiB",
        "Send one study, or the T1-weighted series alone.",
    )


def _too_many() -> InputError:
    return TooLargeError(
        f"There are more than {limits.MAX_DICOM_FILES:,} files",
        "Send one study, or the T1-weighted series alone.",
    )


def _damaged() -> InputError:
    return InputError(
        "The zip is damaged", "Copy or export it again; test it with: unzip -t FILE",
        code="bad_zip",
    )  # fmt: skip
