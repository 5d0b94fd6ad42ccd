"""A volume: voxels with their affine, RAS+ in memory, and the way back to the file's own grid."""

import hashlib
import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
)
from numpy.typing import NDArray

from core import limits
from core.errors import InputError, TooLargeError
from core.findings import Finding
from core.image import voxels
from core.image.header import Header
from core.image.intake import VettedFile
from core.image.voxels import WHOLE, Box, Voxels

# Crops are cut at whole voxels.
_TOLERANCE_MM = 1.0


@dataclass(frozen=True, eq=False)
class Volume:
    """One image.

    Attributes
    ----------
    voxels : Voxels, shape (X, Y, Z)
        Axes point right, anterior and superior, as nearly as the scan's own axes allow:
        axes are swapped and flipped, never interpolated.
    low, high : float
        The lowest and the highest value.
    affine : ndarray, shape (4, 4)
        Indices of ``voxels`` to mm, RAS+.
    header : Header
        The file's own grid.
    findings : tuple of Finding
        From the checks of the header and of the values.
    """

    voxels: Voxels
    low: float
    high: float
    affine: NDArray[np.float64]
    header: Header
    findings: tuple[Finding, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along right, anterior, superior."""
        return self.voxels.shape

    @cached_property
    def data(self) -> NDArray[np.float32]:
        """All values, for crops: of a head, read the part that is needed."""
        return np.ascontiguousarray(self.voxels.read(), np.float32)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """All values from 0 to 1, for crops."""
        return self.unit_in(WHOLE)

    def unit_in(self, box: Box) -> NDArray[np.float32]:
        """The values of a box, scaled to 0 to 1 over the whole volume, as the network gets them.

        Scaled before it is rounded, so that the numbers are the same whatever type, slope and
        offset the file stores them with.
        """
        exact = self.voxels.read(box)
        exact -= self.low
        exact /= self.high - self.low
        return np.ascontiguousarray(exact, np.float32)

    def block_means(
        self, factors: tuple[int, int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Means of blocks of voxels, with their affine; an incomplete last block is dropped."""
        means = voxels.block_means(self.voxels, factors)
        change = np.diag([*factors, 1.0])
        change[:3, 3] = [(f - 1) / 2 for f in factors]
        return means, self.affine @ change

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edges along the axes of ``voxels``."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge to edge along the axes of ``voxels``."""
        x, y, z = (n * mm for n, mm in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z

    @property
    def is_head(self) -> bool:
        """Whether it covers more than any crop around one hippocampus."""
        return max(self.extent_mm) > limits.MAX_CROP_MM

    @property
    def content_sha256(self) -> str:
        """Hash of the voxels in RAS+: the same image has it whatever file it came in."""
        digest = hashlib.sha256(np.array(self.shape, "<i8").tobytes())
        digest.update(self.data.astype("<f4").tobytes())
        return digest.hexdigest()


def load(file: VettedFile) -> Volume:
    """Open a vetted file; its voxels stay on the disk, in the stored type, until they are read.

    Raises
    ------
    InputError
        The values are not those of an image: none finite, all equal, or a label map.
    """
    return from_voxels(voxels.opened(file.path, file.header), file.header)


def from_voxels(stored: Voxels, header: Header) -> Volume:
    """A volume of values that lie along the axes of ``header``."""
    checked, low, high, value_findings = _checked(stored)
    turned = checked.with_stored(to_ras(checked.stored, header))
    affine = ras_affine(header)
    findings = [*header.findings, *value_findings, *_grid_findings(header)]
    volume = Volume(turned, low, high, affine, header, tuple(findings))
    if volume.is_head:
        return volume
    _refuse_fine_crop(header)
    return replace(volume, findings=(*findings, *_extent_findings(np.array(volume.extent_mm))))


def _refuse_fine_crop(header: Header) -> None:
    count = math.prod(header.shape)
    if count > limits.MAX_CROP_VOXELS:
        size = " x ".join(f"{e:.0f}" for e in header.extent_mm)
        raise TooLargeError(
            f"The scan covers {size} mm with {count:,} voxels, more than the "
            f"{limits.MAX_CROP_VOXELS:,} accepted for less than a head",
            "Resample it to about 0.5 mm.",
        )


def unit_range(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale values to 0 to 1, so that a file's slope and offset change nothing.

    nnU-Net's z-score is invariant already; its cropping to what is not zero and its smallest
    standard deviation of 1e-8 are not, and int8 may turn a difference in the last digit into
    another voxel.
    """
    exact = values.astype(np.float64)
    exact -= exact.min()
    exact /= exact.max()
    return np.ascontiguousarray(exact, np.float32)


def box_around(inside: NDArray[Any], margin: int = 1) -> Box | None:
    """The smallest box around what is not zero, wider by a margin, within the array.

    >>> inside = np.zeros((9, 9, 9), bool)
    >>> inside[3:5, 0, 8] = True
    >>> box_around(inside)
    (slice(2, 6, None), slice(0, 2, None), slice(7, 9, None))
    """
    slowest = int(np.argmax(np.abs(inside.strides)))
    flat = inside.max(axis=slowest)  # the one pass over all voxels, in the order of the memory
    box = list(WHOLE)
    for axis in sorted(range(3), key=lambda a: a == slowest):
        if axis == slowest:
            others = tuple(other for other in range(3) if other != axis)
            indices = np.flatnonzero(inside[box[0], box[1], box[2]].any(axis=others))
        else:
            indices = np.flatnonzero(flat.any(axis=1 - (axis - (axis > slowest))))
        if not indices.size:
            return None
        box[axis] = slice(int(indices[0]), int(indices[-1]) + 1)
    x, y, z = (
        slice(max(0, part.start - margin), min(count, part.stop + margin))
        for part, count in zip(box, inside.shape, strict=True)
    )
    return x, y, z


def cut_affine(affine: NDArray[np.float64], box: tuple[slice, ...]) -> NDArray[np.float64]:
    """Affine of the part of an array that a box cuts out: its first voxel stays where it was.

    >>> affine = np.diag([1.0, 1.0, 2.0, 1.0])  # voxels of 1 x 1 x 2 mm
    >>> cut_affine(affine, (slice(3, 9), slice(0, 9), slice(5, 9)))[:3, 3].tolist()
    [3.0, 0.0, 10.0]
    """
    cut = affine.copy()
    cut[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return cut


def to_ras(array: NDArray[Any], header: Header) -> NDArray[Any]:
    """Swap and flip axes from the file's own to RAS+.

    >>> import numpy as np
    >>> from nibabel.orientations import axcodes2ornt, apply_orientation
    >>> apply_orientation(np.array([[[1, 2]]]), axcodes2ornt("RAI")).tolist()
    [[[2, 1]]]
    """
    return np.asarray(apply_orientation(array, io_orientation(header.affine)))


def from_ras(array: NDArray[Any], header: Header) -> NDArray[Any]:
    """The inverse of `to_ras`: from RAS+ to the file's own axes."""
    orientation = io_orientation(header.affine)
    order = orientation[:, 0].astype(int)
    flipped = tuple(axis for axis in range(3) if orientation[axis, 1] < 0)
    return np.flip(np.transpose(array, tuple(order)), flipped)


def ras_affine(header: Header) -> NDArray[np.float64]:
    """Affine of the array that `to_ras` returns."""
    change = inv_ornt_aff(io_orientation(header.affine), header.shape)
    return np.asarray(header.affine @ change, np.float64)


def blank_labels(header: Header) -> NDArray[np.uint8]:
    """An array of background, RAS+; turned back by `from_ras` it has a file's memory order."""
    return to_ras(np.zeros(header.shape, np.uint8, order="F"), header)


def _checked(stored: Voxels) -> tuple[Voxels, float, float, list[Finding]]:
    """Refuse what is no scan; returns usable voxels, lowest and highest value, and findings."""
    low, high, bad = voxels.range_of(stored)
    findings = _not_finite(bad, stored.stored.size)
    if bad:
        stored = replace(stored, background=low)
    if np.float32(high) <= np.float32(low):
        raise InputError(
            f"The image is empty: every voxel has the value {low:g}",
            "Check that the right file was exported.",
            code="constant",
        )
    _refuse_label_maps(stored)
    return stored, low, high, findings


def _not_finite(bad: int, count: int) -> list[Finding]:
    if bad > limits.MAX_NOT_FINITE_SHARE * count:
        raise InputError(
            f"{bad / count:.0%} of the voxels are NaN, infinite or absurdly large",
            "Export the scan again.",
            code="not_finite",
        )
    if not bad:
        return []
    return [Finding(
        "warning", "not_finite_voxels",
        f"{bad:,} voxels ({bad / count:.0%}) were NaN or infinite and were read as "
        "background.",
    )]  # fmt: skip


def _refuse_label_maps(stored: Voxels) -> None:
    """Check slabs from the middle outwards until one cannot belong to a label map.

    A crop is one slab. In a scan the first slab usually ends the search; a slab with one single
    value decides nothing as long as there are others.
    """
    slabs = list(stored.slabs(limits.LABEL_MAP_SLAB_VOXELS))
    few = slabs[:: max(1, len(slabs) // limits.LABEL_MAP_SLABS)]
    middle = len(few) // 2
    refusal = None
    for number in sorted(range(len(few)), key=lambda n: abs(n - middle)):
        values = stored.read(few[number])
        if refusal is not None and values.min() == values.max():
            continue
        try:
            _refuse_label_map(values)
        except InputError as error:
            refusal = error
        else:
            return
    if refusal is not None:
        raise refusal


def _refuse_label_map(values: NDArray[np.float64]) -> None:
    sample = np.unique(values[:: max(1, values.shape[0] // 4)])
    if len(sample) > limits.LABEL_MAP_SUSPECT_VALUES:
        return
    integers = _whole_numbers(values)
    count = (
        len(np.unique(values))
        if integers is None
        else np.count_nonzero(np.bincount(integers.ravel()))
    )
    suspect = count <= limits.LABEL_MAP_MAX_VALUES
    if not suspect and integers is not None and count <= limits.LABEL_MAP_SUSPECT_VALUES:
        suspect = _equal_neighbours(_unrepeated(integers)) > limits.LABEL_MAP_EQUAL_NEIGHBOURS
    if suspect:
        raise InputError(
            f"The file holds only {count} different values in connected areas: it "
            "looks like a label map (a segmentation), not a scan",
            "Send the T1-weighted image that the labels were drawn on.",
            code="label_map",
        )


def _whole_numbers(values: NDArray[np.float64]) -> NDArray[np.uint16] | None:
    """Values minus the lowest, if they are whole numbers within 16 bits; else None."""
    above = values - values.min()
    if above.max() > np.iinfo(np.uint16).max:
        return None
    integers = above.astype(np.uint16)
    return integers if np.array_equal(integers, above) else None


def _unrepeated(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Drop slices that repeat the one before, as nearest-neighbour resampling makes them.

    Blocks drawn along the axes repeat as well: where too few slices would be left, all stay.
    """
    kept = values
    for axis in range(3):
        along = np.moveaxis(kept, axis, 0)
        is_new = [True, *((a != b).any() for a, b in itertools.pairwise(along))]
        kept = np.compress(is_new, kept, axis)
    return kept if min(kept.shape) >= limits.MIN_AXIS_VOXELS else values


def _equal_neighbours(values: NDArray[np.uint16]) -> float:
    """Share of neighbouring pairs with equal values, not counting the commonest value."""
    commonest = np.bincount(values.ravel()).argmax()
    equal = pairs = 0
    for axis in range(3):
        along = np.moveaxis(values, axis, 0)
        ahead, behind = along[1:], along[:-1]
        inside = (ahead != commonest) | (behind != commonest)
        pairs += int(np.count_nonzero(inside))
        equal += int(np.count_nonzero(inside & (ahead == behind)))
    return equal / max(pairs, 1)


def _grid_findings(header: Header) -> list[Finding]:
    findings = []
    spacing = header.spacing_mm
    shown = " x ".join(f"{s:.2f}" for s in spacing)
    low, high = limits.NEAR_SPACING_MM
    if max(spacing) / min(spacing) > limits.ANISOTROPY_RATIO:
        findings.append(Finding(
            "warning", "anisotropic",
            f"The voxels are {shown} mm: slices are thick against the pixels in them. The "
            "model was trained on 1 mm cubes; detail between slices is guessed.",
        ))  # fmt: skip
    elif min(spacing) < low or max(spacing) > high:
        findings.append(Finding(
            "warning", "spacing_far_from_1mm",
            f"The voxels are {shown} mm. The model was trained on 1 mm; the scan was "
            "resampled for it.",
        ))  # fmt: skip
    if header.orientation != "RAS":
        findings.append(Finding(
            "note", "orientation_handled",
            f"The file's axes run {header.orientation}. They were turned for the model and "
            "the mask was turned back: it lies on the file's own grid.",
        ))  # fmt: skip
    if header.oblique_deg > limits.OBLIQUE_WARNING_DEG:
        findings.append(Finding(
            "warning", "oblique",
            f"The scan is tilted by {header.oblique_deg:.0f} degrees against the patient's "
            "axes. The model saw upright crops: check the mask.",
        ))  # fmt: skip
    return findings


def _extent_findings(extent_mm: NDArray[np.float64]) -> list[Finding]:
    """Compare the extent (mm along right, anterior, superior) with the crops of the training."""
    findings = []
    size = " x ".join(f"{e:.0f}" for e in extent_mm)
    if (extent_mm > np.array(limits.LARGEST_TRAINED_MM) + _TOLERANCE_MM).any():
        findings.append(Finding(
            "warning", "field_of_view_wide",
            f"The scan covers {size} mm, more than any crop that the model was trained on (about "
            "35 x 50 x 35 mm). Masks are worse on wide crops: crop it closer, or check with care.",
        ))  # fmt: skip
    if (extent_mm < np.array(limits.SMALLEST_TRAINED_MM) - _TOLERANCE_MM).any():
        findings.append(Finding(
            "warning", "field_of_view_narrow",
            f"The scan covers {size} mm, less than any crop that the model was trained on (about "
            "35 x 50 x 35 mm). Part of the hippocampus may lie outside.",
        ))  # fmt: skip
    return findings
