"""From a head with reviewed labels to the crops that a training sees: as inference would cut them.

A crop lies along the head's own axes, has the size and the voxels of inference's, and a right one
is mirrored: the same array that the network gets when it segments the head.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core import limits
from core.anatomy import BACKGROUND, LABELS
from core.errors import InputError
from core.image.volume import Volume, box_around, cut_affine, unit_range
from core.predictor.heads import CROP, crop_grid
from core.predictor.localiser import sample_unit
from core.training.heads.sides import SideLabels

# Smoothing of the distance to a label's border, in voxels of the head. Half a voxel takes the
# stair-steps away and leaves the shape: benchmarks/head_crops.py, decision 0027.
_SMOOTHING_VOXELS = 0.5
# Around the labels, the part of the head in which distances are computed.
_MARGIN_MM = 8.0
# Further outside than this (mm) no border can lie.
_NEAR_MM = 2.5
# Decimals of the rotation's vector (rad, about 0.006 degrees) and of the centre (mm): the
# localiser's last digits differ from one processor to another, and the crops shall not.
_AXES_DECIMALS, _CENTRE_DECIMALS = 4, 3


@dataclass(frozen=True, eq=False)
class HeadCrop:
    """One training case of a head.

    Attributes
    ----------
    side : str
        ``left`` or ``right``, the patient's.
    cut : int
        0 as inference would cut it from the labels' centre, 1 and higher varied.
    image : ndarray of float32, shape CROP
        Values from 0 to 1, a right one mirrored along its first axis.
    labels : ndarray of uint8, shape CROP
        1 anterior, 2 posterior, on the same voxels.
    grid : ndarray, shape (4, 4)
        From the crop's voxels, before it was mirrored, to mm, RAS+.
    """

    side: str
    cut: int
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    grid: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Variation:
    """How a cut differs from the one at the labels' centre, for a left hippocampus.

    Attributes
    ----------
    shift_mm : ndarray, shape (3,)
        Along the head's right, anterior and superior.
    rotation : ndarray, shape (3, 3)
    scale : float
        Edge of the crop's voxels, mm.
    """

    shift_mm: NDArray[np.float64]
    rotation: NDArray[np.float64]
    scale: float


def variation(name: str, cut: int) -> Variation:
    """The variation of a head's cut: always the same for the same name and number.

    Place, angle and scale differ by no more than the localiser's own error does
    (`limits.HEAD_CUT_MM`, `limits.HEAD_CUT_DEG`, `limits.HEAD_CUT_SCALE`). Cut 0 is not varied.
    Both sides of a head have the same one, mirrored.
    """
    if cut == 0:
        return Variation(np.zeros(3), np.eye(3), 1.0)
    digest = hashlib.sha256(f"{name}/{cut}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    rotation = Rotation.from_rotvec(_in_ball(random, limits.HEAD_CUT_DEG), degrees=True)
    scale = 1 + random.uniform(-limits.HEAD_CUT_SCALE, limits.HEAD_CUT_SCALE)
    return Variation(_in_ball(random, limits.HEAD_CUT_MM), rotation.as_matrix(), scale)


def crops_of(
    volume: Volume, sides: Mapping[str, SideLabels], axes: NDArray[np.float64], name: str, cuts: int
) -> Iterator[HeadCrop]:
    """The training cases of a head.

    Parameters
    ----------
    sides
        The reviewed labels: `core.training.heads.sides.sides_in`.
    axes : ndarray, shape (3, 3)
        The head's own right, anterior and superior: `core.predictor.localiser.Location.axes`.
    name
        The head's: its variations follow from it.
    cuts
        How many of each side; the first is not varied.

    Raises
    ------
    InputError
        More than ``1 - limits.LEAST_IN_CROP`` of a side's labels lie outside of its crop.
    """
    axes = _rounded(axes)
    for side, labels in sides.items():
        for cut in range(cuts):
            grid = varied_grid(side, labels.centre_mm, axes, variation(name, cut))
            yield _crop(volume, labels, side, cut, grid)


def varied_grid(
    side: str, centre_mm: NDArray[np.float64], axes: NDArray[np.float64], change: Variation
) -> NDArray[np.float64]:
    """The affine from the voxels of a side's crop to mm, RAS+, moved, turned and scaled."""
    mirror = np.diag((1.0 if side == "left" else -1.0, 1.0, 1.0))
    turned = axes @ mirror @ change.rotation @ mirror * change.scale
    centre_mm = np.round(centre_mm, _CENTRE_DECIMALS) + axes @ mirror @ change.shift_mm
    return crop_grid(side, centre_mm, turned)


def labels_on(grid: NDArray[np.float64], side: SideLabels) -> NDArray[np.uint8]:
    """The labels of a side on a crop's grid, smooth and of the same volume, shape CROP.

    The signed distance to the border of the whole, and of each label, is smoothed, interpolated
    with cubic splines, and cut where the volume is the one that the labels have in the crop: at
    distance 0 it would be some 5 % less with voxels of 2 mm.

    Parameters
    ----------
    grid : ndarray, shape (4, 4)
        From the crop's voxels to mm, RAS+.
    """
    edges_mm = voxel_sizes(side.affine)
    box = box_around(side.labels, 0)
    if box is None:
        return np.zeros(CROP, np.uint8)
    margin = np.ceil(_MARGIN_MM / edges_mm).astype(int)
    labels = np.pad(side.labels[box], [(n, n) for n in margin])
    affine = cut_affine(side.affine, box)
    affine[:3, 3] -= affine[:3, :3] @ margin
    to_voxels = np.linalg.inv(affine) @ grid
    share = _on_crop(labels > 0, to_voxels, order=1, mode="constant")
    count = round(float(share.sum()))
    if not count:
        return np.zeros(CROP, np.uint8)
    of_whole = _signed_distance(labels > 0, edges_mm)
    # Cubic splines only where the border may be: they take most of the time.
    near = _on_crop(of_whole, to_voxels, order=1, mode="nearest") < _NEAR_MM
    at = apply_affine(to_voxels, np.argwhere(near)).T
    distances = _cubic(of_whole, at)
    level = np.sort(distances)[min(count, len(distances) - 1)]
    inside = distances < level
    of_labels = [
        _cubic(_signed_distance(labels == value, edges_mm), at[:, inside])
        for value in LABELS.values()
    ]
    mask = np.full(CROP, BACKGROUND, np.uint8)
    values = np.array(list(LABELS.values()), np.uint8)
    mask[tuple(np.argwhere(near)[inside].T)] = values[np.argmin(of_labels, axis=0)]
    return mask


def _crop(
    volume: Volume, labels: SideLabels, side: str, cut: int, grid: NDArray[np.float64]
) -> HeadCrop:
    at = apply_affine(np.linalg.inv(grid) @ labels.affine, np.argwhere(labels.labels))
    share = float(((at > -0.5) & (at < np.array(CROP) - 0.5)).all(1).mean())
    if share < limits.LEAST_IN_CROP:
        raise InputError(
            f"only {share:.0%} of the {side} side's labels fit into its crop: is there something "
            "labelled beside the hippocampus?"
        )
    image = sample_unit(volume, grid, CROP)
    if image.max() <= image.min():
        raise InputError(f"the image shows nothing around the {side} side's labels")
    mask = labels_on(grid, labels)
    if side == "right":
        image, mask = image[::-1], mask[::-1]
    return HeadCrop(side, cut, unit_range(image), np.ascontiguousarray(mask), grid)


def _signed_distance(
    inside: NDArray[np.bool_], edges_mm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Distance (mm) of each voxel from the border, negative inside, smoothed."""
    half = edges_mm.mean() / 2  # the border lies between two voxels' centres
    outer = ndimage.distance_transform_edt(~inside, edges_mm) - half
    inner = ndimage.distance_transform_edt(inside, edges_mm) - half
    distance = np.where(inside, -inner, outer).astype(np.float32)
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(distance, _SMOOTHING_VOXELS)
    return smoothed


def _on_crop(
    values: NDArray[np.generic], to_voxels: NDArray[np.float64], *, order: int, mode: str
) -> NDArray[np.float32]:
    resampled: NDArray[np.float32] = ndimage.affine_transform(
        values.astype(np.float32), to_voxels[:3, :3], to_voxels[:3, 3], CROP, order=order, mode=mode
    )
    return resampled


def _cubic(values: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values at places (indices, shape (3, N)), by cubic splines."""
    splined: NDArray[np.float32] = ndimage.map_coordinates(values, at, order=3, mode="nearest")
    return splined


def _rounded(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same rotation without its last digits."""
    vector = np.round(Rotation.from_matrix(axes).as_rotvec(), _AXES_DECIMALS)
    return np.asarray(Rotation.from_rotvec(vector).as_matrix())


def _in_ball(random: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """A vector of evenly distributed direction and length, shape (3,)."""
    direction = random.normal(size=3)
    return np.asarray(direction / np.linalg.norm(direction) * random.uniform(0, radius))
