"""The geometry in a NIfTI header (affine, voxel size, unit), read as hostile input."""

from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from core import limits
from core.errors import InputError
from core.findings import Finding

ByteOrder = Literal["<", ">"]
# Units of length other than mm, by their code (xyzt_units): millimetres in one, and its name.
_UNITS_MM = {1: (1000.0, "metres"), 3: (0.001, "micrometres")}


def _geometry(block: bytes, order: ByteOrder) -> Any:
    kind: Any = nib.Nifti1Header if len(block) == 348 else nib.Nifti2Header
    return kind(block, endianness=order, check=False)


def millimetres_of_unit(block: bytes, order: ByteOrder) -> float:
    """Millimetres in the header's unit of length; 1 where the numbers can only be mm."""
    factor, _ = _UNITS_MM.get(_unit(block, order), (1.0, ""))
    with np.errstate(all="ignore"):
        spacing = voxel_sizes(_stored_affine(block, order)) * factor
    # Many tools write mm and call them metres.
    is_meant = spacing.min() >= limits.MIN_SPACING_MM and spacing.max() <= limits.MAX_SPACING_MM
    return factor if is_meant else 1.0


def _unit(block: bytes, order: ByteOrder) -> int:
    return int(_geometry(block, order).structarr["xyzt_units"]) & 7


def _stored_affine(block: bytes, order: ByteOrder) -> NDArray[np.float64]:
    try:
        with np.errstate(all="ignore"):
            return np.asarray(_geometry(block, order).get_best_affine(), np.float64)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise _bad_affine("the quaternion in its header is not a rotation") from error


def affine_of(block: bytes, order: ByteOrder, unit_mm: float) -> NDArray[np.float64]:
    """Voxel indices to mm, RAS+, checked.

    Raises
    ------
    InputError
    """
    affine = _stored_affine(block, order)
    affine[:3] *= unit_mm
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e6:
        raise _bad_affine("it holds numbers that are not finite or absurdly large")
    spacing = voxel_sizes(affine)
    if (spacing == 0).any() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise _bad_affine("it is singular: two of its axes are the same")
    if spacing.min() < limits.MIN_SPACING_MM or spacing.max() > limits.MAX_SPACING_MM:
        raise InputError(
            f"The voxels are {numbers(spacing)} mm, expected "
            f"{limits.MIN_SPACING_MM:g} to {limits.MAX_SPACING_MM:g} mm along each axis",
            "Correct the voxel size in the header, or resample the scan.",
            code="bad_spacing",
        )
    directions = affine[:3, :3] / spacing
    cosines = np.abs(directions.T @ directions - np.eye(3)).max()
    if cosines > np.sin(np.radians(limits.MAX_SHEAR_DEG)):
        raise _bad_affine(f"its axes are sheared by more than {limits.MAX_SHEAR_DEG:g} degrees")
    return affine


def _bad_affine(why: str) -> InputError:
    return InputError(
        f"The file's orientation (affine) cannot be used: {why}",
        "Export the scan again, or correct its sform or qform.",
        code="bad_affine",
    )


def geometry_findings(
    block: bytes, order: ByteOrder, affine: NDArray[np.float64], unit_mm: float
) -> list[Finding]:
    """Findings about contradictions and oddities in a header's geometry.

    Raises
    ------
    InputError
        The header's two voxel sizes differ by more than half.
    """
    findings = []
    geometry = _geometry(block, order)
    fields = geometry.structarr
    sform_code, qform_code = int(fields["sform_code"]), int(fields["qform_code"])
    spacing = voxel_sizes(affine)
    header_spacing = np.abs(fields["pixdim"][1:4].astype(np.float64)) * unit_mm
    difference = np.maximum(header_spacing / spacing, spacing / header_spacing).max() - 1
    if difference > 0.5:
        raise InputError(
            f"The header contradicts itself: voxels of {numbers(header_spacing)} mm by "
            f"pixdim, {numbers(spacing)} mm by the affine",
            "Correct the one that is wrong, or export the scan again.",
            code="bad_spacing",
        )
    larger_percent = 100 * (abs(np.linalg.det(affine[:3, :3])) / header_spacing.prod() - 1)
    if abs(larger_percent) > limits.VOLUME_CONFLICT_PERCENT or difference > 0.02:
        findings.append(Finding(
            "warning", "spacing_conflict",
            f"The header gives two voxel sizes: {numbers(spacing)} mm (sform) and "
            f"{numbers(header_spacing)} mm (pixdim and qform). The sform was used: volumes are "
            f"{abs(larger_percent):.1f} % {'larger' if larger_percent > 0 else 'smaller'} than "
            "by the other.",
        ))  # fmt: skip
    if sform_code <= 0 and qform_code <= 0:
        findings.append(Finding(
            "warning", "orientation_unknown",
            "The header does not say how the scan lies in the patient (sform and qform codes "
            "are 0). Left and right, front and back are assumed: check them.",
        ))  # fmt: skip
    if sform_code > 0 and qform_code > 0:
        try:
            qform_affine = np.asarray(geometry.get_qform(), np.float64)
            agree = aff2axcodes(qform_affine) == aff2axcodes(affine)
        except (ValueError, nib.spatialimages.HeaderDataError):
            agree = False
        if not agree:
            findings.append(Finding(
                "warning", "orientation_conflict",
                "The header holds two orientations that disagree (sform and qform). "
                "The sform was used: check left and right.",
            ))  # fmt: skip
    if (unit := _unit(block, order)) in _UNITS_MM:
        name = _UNITS_MM[unit][1]
        read = (
            "the numbers are those of mm and were read as mm"
            if unit_mm == 1
            else f"the voxels were read as {numbers(spacing)} mm"
        )
        findings.append(Finding(
            "warning", "unit_unusual", f"The header gives lengths in {name}; {read}."
        ))  # fmt: skip
    return findings


def numbers(values: Any) -> str:
    """Numbers of the three axes in words.

    >>> numbers((1, 0.5, 0.123456))
    '1 x 0.5 x 0.1235'
    """
    return " x ".join(f"{float(v):.4g}" for v in values)
