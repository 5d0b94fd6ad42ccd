"""Sizes in a segmentation: one label, one hippocampus, or both hippocampi of a head."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Words by the code of a finding.
Words = dict[str, str]


@dataclass(frozen=True)
class LabelMeasures:
    """Sizes of one label, or of both together.

    Attributes
    ----------
    volume_mm3, volume_ml : float
        Voxels times the volume of one voxel.
    voxels : int
    bounding_box_mm : (float, float, float) or None
        Edges along the volume's axes (right, anterior, superior); None if there is no voxel.
    length_mm : float or None
        Extent of the voxels along their longest principal axis, corner to corner.
    volume_interval_mm3 : (float, float) or None
        Between which an expert's volume is expected in 90 % of such masks; None of masks that a
        person drew, and where the model version is not calibrated. See `core.measures.expected`.
    """

    volume_mm3: float
    volume_ml: float
    voxels: int
    bounding_box_mm: tuple[float, float, float] | None
    length_mm: float | None
    volume_interval_mm3: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measures:
    """Sizes of one hippocampus, or of the two of a head together.

    Attributes
    ----------
    side : str
        In words.
    sides : dict
        Of a head: for ``left`` and ``right`` the measures of ``anterior``, ``posterior`` and
        ``total``.
    asymmetry_percent : float or None
        Of a head: (L - R) / ((L + R) / 2) of the totals, in per cent.
    share_of_brain_percent : float or None
        Of a head with both hippocampi: their share of the localiser's estimate of the brain's
        volume.
    too_small : dict
        Why volumes come out too small: for ``left`` and ``right`` of a head, and for ``total``,
        words by reason (`CUT`, `COARSE` or `ONE_SIDE`). Empty where no reason is known.
    """

    anterior: LabelMeasures
    posterior: LabelMeasures
    total: LabelMeasures
    anterior_share_percent: float | None
    voxel_mm3: float
    side: str
    sides: dict[str, dict[str, LabelMeasures]] = field(default_factory=dict)
    asymmetry_percent: float | None = None
    share_of_brain_percent: float | None = None
    too_small: dict[str, Words] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in exports and in the API."""
        return asdict(self)


def size_of(inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> LabelMeasures:
    """Measure a mask.

    Parameters
    ----------
    inside : ndarray of bool, shape (X, Y, Z)
    affine : ndarray, shape (4, 4)
        Indices to mm.

    >>> inside = np.zeros((8, 8, 8), bool)
    >>> inside[2:6, 2:4, 2:4] = True  # 4 x 2 x 2 voxels of 0.5 x 1 x 1 mm
    >>> size = size_of(inside, np.diag([0.5, 1.0, 1.0, 1.0]))
    >>> size.voxels, size.volume_mm3, size.volume_ml
    (16, 8.0, 0.008)
    """
    count = int(np.count_nonzero(inside))
    volume_mm3 = count * float(abs(np.linalg.det(affine[:3, :3])))
    if not count:
        return LabelMeasures(0.0, 0.0, 0, None, None)
    indices = np.argwhere(inside)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    box = (indices.max(axis=0) - indices.min(axis=0) + 1) * edges
    points_mm = indices @ affine[:3, :3].T
    centred = points_mm - points_mm.mean(axis=0)
    # Voxels are boxes, not points: one with edges e has a scatter of e e^T / 12 itself.
    scatter = centred.T @ centred + count * affine[:3, :3] @ affine[:3, :3].T / 12
    axis = np.linalg.eigh(scatter)[1][:, -1]
    # From voxel centres to corners: the extent of one voxel along that axis.
    length_mm = np.ptp(centred @ axis) + float(np.abs(axis @ affine[:3, :3]).sum())
    return LabelMeasures(
        volume_mm3=volume_mm3,
        volume_ml=volume_mm3 / 1000,
        voxels=count,
        bounding_box_mm=(float(box[0]), float(box[1]), float(box[2])),
        length_mm=float(length_mm),
    )
