"""NIfTI-1 and NIfTI-2 headers, read as hostile input.

The layout is the NIfTI-1.1 and NIfTI-2 standard (nifti.nimh.nih.gov). Sizes are checked from
the header alone, before anything is unpacked. `core.image.nifti` reads voxels and writes masks.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import obliquity, voxel_sizes
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from core import limits
from core.errors import InputError, TooLargeError
from core.findings import Finding
from core.image.geometry import (
    ByteOrder,
    affine_of,
    geometry_findings,
    millimetres_of_unit,
    numbers,
)

LARGEST_HEADER_BYTES = 540
_ORDERS: tuple[ByteOrder, ...] = ("<", ">")
EXTENSION_FLAG = b"\0\0\0\0"

_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED_TYPES = {
    1: "binary", 32: "complex", 128: "RGB colour", 1536: "128-bit float",
    1792: "complex", 2048: "complex", 2304: "RGBA colour",
}  # fmt: skip
_OTHER_FORMATS = [
    (b"NRRD", 0, "an NRRD file", "Convert it to NIfTI first, with 3D Slicer."),
    (b"\x89PNG", 0, "a PNG picture", "Send the scan itself as .nii or .nii.gz."),
    (b"\xff\xd8\xff", 0, "a JPEG picture", "Send the scan itself as .nii or .nii.gz."),
    (b"%PDF", 0, "a PDF document", "Send the scan itself as .nii or .nii.gz."),
    (b"\x89HDF", 0, "an HDF5 file (MINC?)", "Convert it to NIfTI first, with mnc2nii."),
]  # fmt: skip
_FORM_CODES = range(6)
_PRIVATE_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")


@dataclass(frozen=True, eq=False)
class Header:
    """A vetted header: its values were checked and its free text removed.

    Attributes
    ----------
    block : bytes
        The header as 348 (NIfTI-1) or 540 (NIfTI-2) bytes in the file's byte order, three
        axes, no extensions, none of the free-text fields.
    shape : (X, Y, Z)
        Voxels along the file's own axes.
    dtype : numpy.dtype
        Type of the stored numbers, with the byte order.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm, RAS+: the sform, else the qform, else the header's spacing
        with x flipped, as nibabel reads it; in mm also where the header's unit is another.
    voxel_offset : int
        Where the voxels began in the file as it came.
    slope, inter : float
        Value = stored * slope + inter.
    findings : tuple of Finding
    """

    block: bytes
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64]
    voxel_offset: int
    slope: float
    inter: float
    findings: tuple[Finding, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes of the voxels."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def clean_offset(self) -> int:
        """Where the voxels begin in a file written with this block."""
        return len(self.block) + len(EXTENSION_FLAG)

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edges along the file's axes, from the affine."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Field of view along the file's axes."""
        x, y, z = (n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z

    @property
    def orientation(self) -> str:
        """Where the axes point, such as ``RAS``."""
        return "".join(aff2axcodes(self.affine))

    @property
    def oblique_deg(self) -> float:
        """Largest angle between a voxel axis and the patient's nearest axis."""
        return float(np.degrees(obliquity(self.affine).max()))

    def clean_prefix(self) -> bytes:
        """The bytes before the voxels in the private copy of the file."""
        return self.block + EXTENSION_FLAG


def is_nifti_name(name: str) -> bool:
    """Whether a file's name ends as NIfTI's do, in capitals or not.

    >>> is_nifti_name("T1.NII.GZ"), is_nifti_name("._T1.nii"), is_nifti_name("T1.nii.json")
    (True, True, False)
    """
    return stem_of(name) != name


def stem_of(name: str) -> str:
    """A file's name without ``.nii`` or ``.nii.gz``, in capitals or not.

    >>> stem_of("T1.NII.GZ"), stem_of("T1.v2.nii"), stem_of("notes.gz")
    ('T1', 'T1.v2', 'notes.gz')
    """
    for suffix in (".nii.gz", ".nii"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def parse_header(start: bytes) -> Header:
    """Read and check a header.

    Parameters
    ----------
    start : bytes
        The first 540 bytes of the uncompressed file, fewer if it is shorter.

    Raises
    ------
    InputError
        With a code of its own for each kind of fault.
    """
    fields, order = _fields(start)
    if not np.isfinite(fields["pixdim"][1:4]).all() or (fields["pixdim"][1:4] == 0).any():
        raise InputError(
            f"The voxel size in the header is {numbers(fields['pixdim'][1:4])} mm",
            "Export the scan again, or correct the header's pixdim.",
            code="bad_spacing",
        )
    shape = _shape(fields)
    dtype = _dtype(fields, order)
    slope, inter = _scaling(fields)
    offset = _voxel_offset(fields, len(fields.tobytes()))
    block = _clean_block(fields, shape)
    unit_mm = millimetres_of_unit(block, order)
    affine = affine_of(block, order, unit_mm)
    findings = geometry_findings(block, order, affine, unit_mm)
    return Header(block, shape, dtype, affine, offset, slope, inter, tuple(findings))


def fields_of(header: Header) -> Any:
    """An editable copy of the header's fields, named as in the standard."""
    view = _view(header.block)
    if view is None:
        raise ValueError("not a header block")
    return view[1].copy()


def _view(start: bytes) -> tuple[ByteOrder, Any] | None:
    """Byte order and fields of a header; None if there is none."""
    for dtype in (nib.nifti1.header_dtype, nib.nifti2.header_dtype):
        for order in _ORDERS:
            if len(start) >= dtype.itemsize:
                block = start[: dtype.itemsize]
                fields = np.frombuffer(block, dtype.newbyteorder(order))[0]
                if fields["sizeof_hdr"] == dtype.itemsize:
                    return order, fields
    return None


def _fields(start: bytes) -> tuple[Any, ByteOrder]:
    if not start:
        raise InputError(
            "The file is empty", "Check the export and send it again.", code="empty_file"
        )
    for magic, offset, what, hint in _OTHER_FORMATS:
        if start[offset : offset + len(magic)] == magic:
            raise InputError(f"This is {what}, not a NIfTI image", hint, code="not_nifti")
    view = _view(start)
    if view is None:
        if len(start) < 348 and start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
            raise InputError(
                f"The file ends inside its header, after {len(start)} bytes",
                "It was cut off: export or copy it again.",
                code="truncated",
            )
        raise InputError(
            "The file is not a NIfTI image",
            "Send a .nii or .nii.gz file, or a DICOM series as a .zip.",
            code="not_nifti",
        )
    order, fields = view
    magic = bytes(fields["magic"])
    if magic.startswith((b"ni1", b"ni2")):
        raise InputError(
            "This header belongs to a pair of files (.hdr and .img)",
            "Convert the pair to one .nii file first.",
            code="not_single_file",
        )
    if not magic.startswith((b"n+1", b"n+2")):
        raise InputError(
            "The file looks like Analyze 7.5, which does not say left from right",
            "Export the scan as NIfTI (.nii or .nii.gz).",
            code="not_nifti",
        )
    return fields, order


def _shape(fields: Any) -> tuple[int, int, int]:
    dim = [int(n) for n in fields["dim"]]
    axes = dim[0]
    if not 1 <= axes <= 7 or any(n < 1 for n in dim[1 : axes + 1]):
        raise InputError(
            f"The header's dimensions make no sense: {dim}",
            "Export the scan again.",
            code="bad_header",
        )
    size = dim[1 : axes + 1]
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if len(size) > 3:
        raise InputError(
            f"The file is a series of {int(np.prod(size[3:]))} volumes ({_by(size)}), "
            "expected one 3-D volume",
            "Save one time point as its own file and send that.",
            code="not_3d",
        )
    if len(size) < 3 or 1 in size:
        raise InputError(
            f"The image is a single slice ({_by(size)}), expected a 3-D volume",
            "Send the whole series as one volume.",
            code="not_3d",
        )
    if int(np.prod(size, dtype=object)) > limits.MAX_VOXELS:
        raise TooLargeError(
            f"The volume has {_by(size)} voxels, more than the {limits.MAX_VOXELS:,} accepted",
            "Crop it around the hippocampus or resample it to 1 mm.",
        )
    if min(size) < limits.MIN_AXIS_VOXELS:
        raise InputError(
            f"The volume has only {_by(size)} voxels",
            "Send a crop that holds the whole hippocampus, about 35 x 50 x 35 mm.",
            code="too_small",
        )
    return size[0], size[1], size[2]


def _dtype(fields: Any, order: ByteOrder) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code not in _DTYPES:
        what = _REFUSED_TYPES.get(code, f"an unknown type (code {code})")
        raise InputError(
            f"The voxels are {what}, expected one plain number each",
            "Save the magnitude or grey-value image and send that.",
            code="unsupported_type",
        )
    dtype = np.dtype(_DTYPES[code]).newbyteorder(order)
    if int(fields["bitpix"]) != dtype.itemsize * 8:
        raise InputError(
            f"The header contradicts itself: data type {code} has {dtype.itemsize * 8} bits, "
            f"it says {int(fields['bitpix'])}",
            "Export the scan again.",
            code="bad_header",
        )
    return dtype


def _scaling(fields: Any) -> tuple[float, float]:
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or not np.isfinite(slope):  # the standard: slope 0 means no scaling
        return 1.0, 0.0
    if not np.isfinite(inter):
        raise InputError(
            "The header's intensity offset is not a number",
            "Export the scan again, or set scl_inter to 0.",
            code="bad_header",
        )
    return slope, inter


def _voxel_offset(fields: Any, header_bytes: int) -> int:
    offset = float(fields["vox_offset"])
    if not header_bytes + 4 <= offset <= limits.MAX_VOXEL_OFFSET or offset % 1:
        raise InputError(
            f"The header says that the voxels begin at byte {offset:g}, which cannot be",
            "Export the scan again.",
            code="bad_header",
        )
    return int(offset)


def _clean_block(fields: Any, shape: tuple[int, int, int]) -> bytes:
    """The header with three axes, no extensions and no free text."""
    fields = fields.copy()
    for name in _PRIVATE_FIELDS:
        if name in fields.dtype.names:
            fields[name] = b""
    fields["magic"] = b"n+1" if fields.dtype.itemsize == 348 else b"n+2\0\r\n\x1a\n"
    if "eol_check" in fields.dtype.names:  # whether line ends were changed on the way
        fields["eol_check"] = (13, 10, 26, 10)
    fields["dim"] = [3, *shape, 1, 1, 1, 1]
    fields["vox_offset"] = fields.dtype.itemsize + len(EXTENSION_FLAG)
    fields["pixdim"][1:4] = np.abs(fields["pixdim"][1:4])
    for name in ("qform_code", "sform_code"):
        if fields[name] not in _FORM_CODES:  # as nibabel does: an unknown one says nothing
            fields[name] = 0
    if fields["pixdim"][0] not in (-1, 1):  # the standard: 0 means 1
        fields["pixdim"][0] = 1
    return bytes(fields.tobytes())


def _by(size: list[int]) -> str:
    return " x ".join(str(n) for n in size)
