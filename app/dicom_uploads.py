"""The files that were dropped at once, the slices of a DICOM series together as one scan."""

import tempfile
from collections.abc import Sequence
from typing import BinaryIO, cast

from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.image.dicom.unpack import TELLING_BYTES, is_dicom, zipped
from core.limits import MIB
from core.wording import counted

_KEPT_IN_MEMORY = 8 * MIB


def scans_of(files: Sequence[UploadedFile]) -> list[tuple[str, BinaryIO]]:
    """Name and content of each scan.

    DICOM files are one scan together: dropped at once, they are of one export. Their names, which
    may be a patient's, are not taken over.
    """
    slices: list[UploadedFile] = []
    scans: list[tuple[str, BinaryIO]] = []
    for file in files:
        begin = file.read(TELLING_BYTES)
        file.seek(0)
        if is_dicom(begin):
            slices.append(file)
        else:
            scans.append((file.name, file))
    if slices:
        # Closed, and so removed, with the last reference to it.
        bundle = tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY)  # noqa: SIM115
        zipped(slices, bundle)
        bundle.seek(0)
        scans.append((f"DICOM, {counted(len(slices), 'file')}", cast(BinaryIO, bundle)))
    return scans
