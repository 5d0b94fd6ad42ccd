"""Whole heads at 1 mm with hippocampi of known shape: nobody's scan, and no model's opinion.

The ICBM 152 template, which the nilearn package ships, is turned, scaled and deformed smoothly, its
contrast changed, a skull and a scalp laid around it. In the place of its hippocampi stand two
shapes of grey matter, each given by ellipses along the long axis, which are deformed with the head.
A voxel belongs to the truth if its centre lies within the shape: that is how it was painted.
"""

import functools
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.anatomy import ANTERIOR, POSTERIOR, SIDES
from core.image.example import template_file

Values = NDArray[np.float32]
_SHAPE = (176, 212, 184)
# Template coordinate (mm) that lies in the middle of a head's image.
_MIDDLE_MM = np.array((0.0, -18.0, 4.0))
# Cross-sections of a hippocampus in the template: y of the coronal plane, how far lateral and how
# high its middle lies, half its width and height (mm), and its turn from lateral to upwards
# (degrees). Read off the embedded model's mask of the template, rounded, both sides the same.
_SECTIONS = np.array((
    (-42.0, 24.0, 1.5, 3.0, 1.8, -30.0),
    (-41.0, 24.7, 0.3, 4.4, 2.3, -31.0),
    (-39.0, 25.2, -0.4, 7.3, 4.3, -33.0),
    (-37.0, 26.7, -2.7, 7.6, 4.9, -28.0),
    (-35.0, 28.2, -5.5, 7.4, 4.8, -11.0),
    (-32.0, 29.3, -8.4, 7.6, 4.5, -1.0),
    (-28.0, 30.1, -11.5, 7.7, 4.2, 4.0),
    (-24.0, 30.5, -14.1, 7.6, 4.4, 9.0),
    (-21.0, 30.0, -16.3, 7.7, 4.6, 14.0),
    (-19.0, 28.1, -17.7, 9.2, 5.5, 5.0),
    (-15.0, 26.2, -19.8, 9.9, 6.3, -5.0),
    (-11.0, 24.3, -22.0, 10.7, 5.0, -5.0),
    (-9.0, 22.5, -23.2, 9.9, 3.8, -10.0),
    (-7.0, 19.8, -24.2, 6.6, 2.4, -23.0),
    (-6.0, 18.5, -24.8, 3.5, 1.5, -25.0),
))  # fmt: skip
_BORDER_MM = -21.0  # y of the plane between anterior and posterior
# Lateral, y and z (mm) between which the shape and its surroundings lie.
_NEAR_MM = np.array(((6.0, 48.0), (-52.0, 5.0), (-39.0, 14.0)))
# Half a voxel on each side of the border is partly inside.
_BLUR_MM = 1.0
_RIM_MM = 1.5
_LARGEST_TURN_DEG = 8.0
# Against the template, in length: adults have 0.85 to 0.96 (`core.limits.ADULT_SCALE`).
_SCALES = (0.86, 0.97)
_THICKNESS = (0.88, 1.08)
_WARP_MM = 1.6
# Of random fields, in distances between their coarse points.
_SMOOTHNESS = 0.7
# Distances from the brain are computed from every second voxel.
_EVERY = 2
_FEW = (slice(None, None, _EVERY),) * 3
_EDGE_MM = 3.0
# Orders and directions of the axes that files come in.
_ORIENTATIONS = ("RAS", "LPS", "LAS", "ASR", "PIL", "LIP")
_SCALE_OF_FILE = 1000.0
_SHADE, _NOISE = 0.06, (0.01, 0.03)  # of the brightness of white matter


@dataclass(frozen=True, eq=False)
class Phantom:
    """One head.

    Attributes
    ----------
    image : ndarray of int16, shape (X, Y, Z)
        RAS+.
    affine : ndarray, shape (4, 4)
        Its indices to mm.
    labels : dict of str to ndarray of uint8, shape (X, Y, Z)
        By side, the patient's: 1 anterior, 2 posterior.
    orientation : str
        Directions of its file's axes.
    """

    image: NDArray[np.int16]
    affine: NDArray[np.float64]
    labels: dict[str, NDArray[np.uint8]]
    orientation: str

    def image_file(self) -> bytes:
        """The head as ``.nii``, along the axes of `orientation`."""
        turn = nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(self.orientation))
        data = np.ascontiguousarray(nib.orientations.apply_orientation(self.image, turn))
        affine = self.affine @ inv_ornt_aff(turn, self.image.shape)
        return bytes(nib.Nifti1Image(data, affine).to_bytes())


class PhantomMaker:
    """Makes heads of the template; a seed always gives the same one on one machine."""

    def __init__(self) -> None:
        images: list[Any] = [nib.load(template_file(kind)) for kind in ("t1", "gm", "wm")]
        t1, grey, white = (np.asarray(image.dataobj, np.float32) for image in images)
        self._from_mm = np.linalg.inv(images[0].affine)
        bright = float(np.percentile(t1[t1 > 0], 98))
        self._t1 = t1 / bright
        share = max(grey.max(), white.max())
        self._grey = float(np.median(self._t1[grey > 0.9 * share]))
        self._white = float(np.median(self._t1[white > 0.9 * share]))
        closed = ndimage.binary_closing(t1[_FEW] > 0.05 * t1.max())
        inside = ndimage.binary_fill_holes(closed)
        fluid = inside & (grey[_FEW] + white[_FEW] < 0.1 * share)
        self._fluid = float(np.median(self._t1[_FEW][fluid]))
        outer, inner = (ndimage.distance_transform_edt(part) for part in (~inside, inside))
        self._depth = np.asarray((outer - inner) * _EVERY, np.float32)

    def make(self, seed: int) -> Phantom:
        """Make a head."""
        random = np.random.default_rng(seed)
        affine = np.eye(4)
        affine[:3, 3] = random.uniform(-12, 12, 3) - (np.array(_SHAPE) - 1) / 2
        template_mm = _template_coordinates(random)
        voxels = [
            np.asarray(axis_mm * self._from_mm[n, n] + self._from_mm[n, 3], np.float32)
            for n, axis_mm in enumerate(template_mm)
        ]
        coarse = [axis[_FEW] / np.float32(_EVERY) for axis in voxels]
        depth_mm = _looked_up(self._depth, coarse)
        brain = _refined(depth_mm < _EDGE_MM)  # the template has nothing outside of it
        image = np.zeros(_SHAPE, np.float32)
        image[brain] = _looked_up(self._t1, [axis[brain] for axis in voxels])
        labels = {
            side: self._paint(image, template_mm, side, random.uniform(*_THICKNESS))
            for side in SIDES
        }
        image **= np.float32(random.uniform(0.85, 1.2))
        if random.random() < 0.7:
            outside = _refined(depth_mm > 0)
            image[outside] = _refined(_around(depth_mm, random))[outside]
        image *= np.exp(_smooth(random, 4, _SHADE))
        noise = random.standard_normal((2, *_SHAPE), np.float32)
        noise *= np.float32(random.uniform(*_NOISE))
        # Rician, as magnitude images have it.
        magnitude = np.hypot(image + noise[0], noise[1])
        orientation = _ORIENTATIONS[int(random.integers(len(_ORIENTATIONS)))]
        stored = np.round(magnitude * _SCALE_OF_FILE).astype(np.int16)
        return Phantom(stored, affine, labels, orientation)

    def _paint(
        self, image: Values, template_mm: list[Values], side: str, thickness: float
    ) -> NDArray[np.uint8]:
        """Paint a hippocampus into the image in place; returns its labels."""
        lateral = -1.0 if side == SIDES[0] else 1.0
        near = np.ones(_SHAPE, bool)
        for axis_mm, (low, high), sign in zip(template_mm, _NEAR_MM, (lateral, 1, 1), strict=True):
            near &= (axis_mm * sign > low) & (axis_mm * sign < high)
        at_mm = np.stack([axis_mm[near] for axis_mm in template_mm]) * [[lateral], [1], [1]]
        off_mm, above = distance_mm(at_mm, thickness)
        usual_mm, _ = distance_mm(at_mm, 1.0)
        # Around it white matter below, fluid above and where a thinner one leaves room.
        rim = np.clip((_RIM_MM - np.minimum(off_mm, usual_mm)) / _BLUR_MM + 0.5, 0, 1)
        around = np.where(above > 0, self._fluid + 0.5 * (self._grey - self._fluid), self._white)
        around = image[near] * (1 - rim) + around * rim
        share = np.clip(0.5 - off_mm / _BLUR_MM, 0, 1)
        image[near] = around * (1 - share) + self._grey * share
        labels = np.zeros(_SHAPE, np.uint8)
        part = np.where(at_mm[1] > _BORDER_MM, ANTERIOR, POSTERIOR)
        labels[near] = np.where(off_mm < 0, part, 0)
        return labels


def distance_mm(
    at_mm: NDArray[np.floating], thickness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """About how far outside of a hippocampus places of the template lie; negative inside.

    Parameters
    ----------
    at_mm : ndarray, shape (3, N)
        How far lateral, anterior and superior of the template's origin they are.
    thickness
        Of its cross-sections against those of `_SECTIONS`.

    Returns
    -------
    off_mm : ndarray, shape (N,)
    above : ndarray, shape (N,)
        How far above the middle of its cross-section, in half heights.
    """
    x, y, z = (np.asarray(axis_mm, float) for axis_mm in at_mm)
    ends = _SECTIONS[0, 0], _SECTIONS[-1, 0]
    middle_x, middle_z, half_u, half_v, turn_deg = (
        np.interp(y, _SECTIONS[:, 0], column) for column in _SECTIONS[:, 1:].T
    )
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    off_x, off_z = x - middle_x, z - middle_z
    u, v = cos * off_x + sin * off_z, cos * off_z - sin * off_x
    half_u, half_v = half_u * thickness, half_v * thickness
    radius = np.hypot(u / half_u, v / half_v)
    of_section = (radius - 1) * np.sqrt(half_u * half_v)
    beyond = np.maximum(ends[0] - y, y - ends[1])
    off_mm = np.where(
        beyond > 0, np.hypot(np.maximum(of_section, 0), beyond), np.maximum(of_section, beyond)
    )
    return off_mm, v / half_v


def _template_coordinates(random: np.random.Generator) -> list[Values]:
    """Template coordinate (mm) of each voxel, along each axis, shape _SHAPE."""
    turn = Rotation.from_rotvec(random.uniform(-1, 1, 3) * _LARGEST_TURN_DEG, degrees=True)
    scale = random.uniform(*_SCALES) * random.uniform(0.97, 1.03, 3)
    matrix = turn.as_matrix() @ np.diag(1 / scale)
    axes = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in _SHAPE]
    i, j, k = (np.float32(1) * axis for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
    return [
        np.asarray(row[0] * i + row[1] * j + row[2] * k + middle, np.float32)
        + _smooth(random, 7, _WARP_MM)
        for row, middle in zip(matrix, _MIDDLE_MM, strict=True)
    ]


def _smooth(
    random: np.random.Generator, coarse: int, amount: float, shape: tuple[int, ...] = _SHAPE
) -> Values:
    """A smooth random field over a grid, of this standard deviation."""
    field = random.normal(0, amount, (coarse,) * 3).astype(np.float32)
    # By einsum, not by BLAS: whose last digits depend on the number of threads.
    for n in shape:  # the first axis becomes the last, three times
        field = np.einsum("ia,abc->bci", _weights(n, coarse), field)
    return np.ascontiguousarray(field)


@functools.cache
def _weights(n: int, coarse: int) -> Values:
    """Gaussian weights of the coarse points for each voxel of an axis, shape (n, coarse)."""
    off = np.linspace(0, coarse - 1, n)[:, None] - np.arange(coarse)
    weights = np.exp(-0.5 * (off / _SMOOTHNESS) ** 2)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), np.float32)


def _looked_up(values: Values, voxels: list[Values]) -> Values:
    found: Values = ndimage.map_coordinates(values, voxels, order=1, mode="nearest")
    return found


def _around(depth_mm: Values, random: np.random.Generator) -> Values:
    """Fluid, skull and scalp around the brain, and nothing beyond them."""
    edge_mm = depth_mm + _smooth(random, 7, 1.0, depth_mm.shape)
    first = random.uniform(1, 3)
    second = first + random.uniform(4, 7)
    third = second + random.uniform(4, 9)
    shells = np.where(
        edge_mm < first, random.uniform(0.1, 0.3),
        np.where(edge_mm < second, random.uniform(0.03, 0.2), random.uniform(0.6, 1.2)),
    )  # fmt: skip
    return np.asarray(np.where(edge_mm < third, shells, 0), np.float32)


def _refined(coarse: NDArray[Any]) -> NDArray[Any]:
    """Blocks of `_EVERY` voxels as voxels."""
    for axis in range(3):
        coarse = np.repeat(coarse, _EVERY, axis)
    return coarse
