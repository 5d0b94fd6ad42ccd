"""Synthetic heads, in the manner of SynthSeg (Billot et al., Medical Image Analysis 86, 2023).

The ICBM 152 template and its tissue maps, which the nilearn package ships, are deformed and given
random contrasts, skulls, scalps, faces, necks, large ventricles, cuts, bias and noise. No scan of a
person is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.anatomy import LEFT_MM
from core.image.example import template_file
from core.predictor.localiser import GRID, STEP_MM, TEMPLATE_UNIT_MM, normalised, sample

Values = NDArray[np.float32]
_STEP_MM = 2.0
_LOW_MM, _HIGH_MM = np.array((-140.0, -170.0, -160.0)), np.array((140.0, 140.0, 120.0))
_CENTRES_MM = (LEFT_MM, LEFT_MM * (-1, 1, 1))
_SIGMA_MM = 8.0
_VENTRICLES_MM = np.array((0.0, -15.0, 14.0))


@dataclass(frozen=True, eq=False)
class SyntheticHead:
    """One training example: image and target output, both on `localiser.GRID`.

    Attributes
    ----------
    image : ndarray of float32, shape GRID
    target : ndarray of float32, shape (6, *GRID)
        Heat of the left and of the right hippocampus (all 0 where it is cut off), the brain, and
        each voxel's template coordinate in units of `core.predictor.localiser.TEMPLATE_UNIT_MM`.
    """

    image: Values
    target: Values


class HeadGenerator:
    """Makes random heads, one after the other."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        count = np.round((_HIGH_MM - _LOW_MM) / _STEP_MM).astype(int) + 1
        shape = (int(count[0]), int(count[1]), int(count[2]))
        grid = np.diag([_STEP_MM, _STEP_MM, _STEP_MM, 1.0])
        grid[:3, 3] = _LOW_MM

        def upright(name: str) -> Values:
            image: Any = nib.load(template_file(name))
            data = np.asarray(image.dataobj, np.float32)
            return sample(data, image.affine, grid, shape)

        t1, grey, white = (upright(name) for name in ("t1", "gm", "wm"))
        largest_share = max(grey.max(), white.max())
        closed = ndimage.binary_closing(t1 > 0.05 * t1.max(), iterations=2)
        brain = ndimage.binary_fill_holes(closed)
        depth = ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)
        bright = np.percentile(t1[t1 > 0], 98)
        self._maps = (grey / largest_share, white / largest_share, t1 / bright, depth * _STEP_MM)
        axes = [(np.arange(n) - (n - 1) / 2) * STEP_MM for n in GRID]
        self._grid = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)

    def make(self) -> SyntheticHead:
        """Make a new random head."""
        random = self._random
        is_cut = random.random() < 0.45
        template_mm = self._template_coordinates(is_cut)
        grey, white, t1, depth = self._looked_up(self._with_ventricles(template_mm))
        image = self._painted(template_mm, grey, white, t1, depth)
        heats = [np.exp(-((template_mm - c[:, None, None, None]) ** 2).sum(0) / (2 * _SIGMA_MM**2))
                 for c in _CENTRES_MM]  # fmt: skip
        brain = (depth < 0).astype(np.float32)
        least = 0.75
        if is_cut:
            kept = self._cut()
            image, brain, least = np.where(kept, image, 0), brain * kept, 0.85
            heats = [heat * kept for heat in heats]
        if random.random() < 0.03:  # no head at all
            ball = np.linalg.norm(self._grid, axis=0) < random.uniform(40, 110)
            image, brain = np.abs(self._smooth(int(random.integers(4, 30)), 1)) * ball, brain * 0
            least = 2.0
        heats = [heat if heat.max() > least else heat * 0 for heat in heats]
        target = np.stack([*heats, brain, *(template_mm / TEMPLATE_UNIT_MM)])
        return SyntheticHead(normalised(image), target.astype(np.float32))

    def _template_coordinates(self, is_cut: bool) -> Values:
        """Template coordinate (mm) of each voxel of the input window, shape (3, *GRID)."""
        random = self._random
        angles = random.normal(0, 12, 3).clip(-32, 32)
        if random.random() < 0.4:
            angles = random.uniform(-30, 30, 3)
        scale = random.uniform(0.82, 1.22) * random.uniform(0.92, 1.08, 3)
        matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(1 / scale)
        matrix += random.normal(0, 0.03, (3, 3))
        low = -2.0 if random.random() < 0.6 else random.uniform(-45, 5)
        # In use, the window's centre is guessed from the outline of the head.
        shift = random.normal((0.0, -15.0, low), 24 if is_cut else 14)
        template_mm = np.tensordot(matrix, self._grid, 1) + shift[:, None, None, None]
        for axis in range(3):
            template_mm[axis] += self._smooth(5, random.uniform(0, 5))
            template_mm[axis] += self._smooth(9, random.uniform(0, 2))
        return np.asarray(template_mm, np.float32)

    def _with_ventricles(self, template_mm: Values) -> Values:
        """Enlarge the ventricles of most heads, as age does."""
        random = self._random
        if random.random() < 0.3:
            return template_mm
        centre = _VENTRICLES_MM + np.array((0, random.normal(0, 6), 0))
        off = template_mm - centre[:, None, None, None]
        squared = ((off / np.array((1.2, 1.6, 1.0))[:, None, None, None]) ** 2).sum(0)
        width = random.uniform(12, 26)
        shrunk = 1 - random.uniform(0, 0.55) * np.exp(-squared / (2 * width**2))
        return np.asarray(centre[:, None, None, None] + off * shrunk, np.float32)

    def _looked_up(self, template_mm: Values) -> list[Values]:
        voxels = (template_mm - _LOW_MM[:, None, None, None]) / _STEP_MM
        return [ndimage.map_coordinates(m, voxels, order=1, mode="nearest") for m in self._maps]

    def _painted(
        self, template_mm: Values, grey: Values, white: Values, t1: Values, depth: Values
    ) -> Values:
        random = self._random
        is_t1 = random.random() < 0.85
        if is_t1:
            fluid = random.uniform(0.05, 0.3)
            of_grey = fluid + random.uniform(0.15, 0.45)
            of_white = of_grey + random.uniform(0.1, 0.4)
            skull, scalp = random.uniform(0.02, 0.3), random.uniform(0.4, 1.6)
            muscle = random.uniform(0.2, 0.9)
        else:
            fluid, of_grey, of_white, skull, scalp, muscle = random.uniform(0.05, 1, 6)
        thinner = random.uniform(0, 0.35) * (1 + self._smooth(8, 0.5)).clip(0, 2)
        grey = np.asarray(grey * (1 - thinner), np.float32)
        brain = np.clip(0.5 - depth / 4, 0, 1)
        inside = grey * of_grey + white * of_white + np.clip(1 - grey - white, 0, 1) * fluid
        if is_t1 and random.random() < 0.5:  # the template's own picture
            picture = t1 ** random.uniform(0.7, 1.5) * of_white * (1 - 0.25 * random.random())
            inside = np.where(brain > 0, picture, fluid)
        image = self._around(template_mm, depth, (fluid, skull, scalp, muscle))
        image = image * (1 - brain) + inside * brain
        if random.random() < 0.15:  # skull-stripped
            image = np.where(brain > 0.5, image, 0)
        image = image * np.exp(self._smooth(4, random.uniform(0, 0.3)))
        image = ndimage.gaussian_filter(image, random.uniform(0, 0.7))
        if random.random() < 0.3:  # thick slices
            blur = [0.0, 0.0, 0.0]
            blur[random.integers(3)] = random.uniform(0.3, 1)
            image = ndimage.gaussian_filter(image, blur)
        noise = np.abs(random.normal(0, random.uniform(0.005, 0.09), GRID))
        return np.asarray(image + noise, np.float32)

    def _around(self, template_mm: Values, depth: Values, values: Sequence[float]) -> Values:
        """Fluid, skull and scalp in shells around the brain, a face and a neck below it."""
        random = self._random
        fluid, skull, scalp, muscle = values
        edge = depth + self._smooth(7, 1.5)
        first = random.uniform(0, 5)
        second = first + random.uniform(3, 10)
        third = second + random.uniform(3, 13)
        shells = np.where(edge < first, fluid, np.where(edge < second, skull, scalp))
        head = (edge < third) & (template_mm[2] > -60 + random.normal(0, 8))
        tissue = self._smooth(14, 1)
        radius = random.uniform(45, 75)
        behind = template_mm[1] + 25 + 0.2 * (template_mm[2] + 60)
        neck = (template_mm[0] / radius) ** 2 + (behind / radius / 1.05) ** 2 < 1
        middle = np.array((0.0, 40 + random.normal(0, 8), -55 + random.normal(0, 8)))
        reach = random.uniform((50, 45, 55), (72, 65, 80))
        off = (template_mm - middle[:, None, None, None]) / reach[:, None, None, None]
        face = (off**2).sum(0) < 1
        stuff = np.where(tissue > 0.7, scalp, np.where(tissue < -0.9, skull, muscle))
        stuff = np.where(face & (self._smooth(9, 1) > 1), 0.02, stuff)
        below = (face | (neck & (template_mm[2] < -35))) & (depth > first) & (edge > second)
        return np.asarray(np.where(below, stuff, np.where(head, shells, 0)), np.float32)

    def _cut(self) -> NDArray[np.bool_]:
        """A random field of view that ends within the head."""
        random = self._random
        kept = np.ones(GRID, bool)
        for axis, n in enumerate(GRID):
            if random.random() < 0.6:
                first, last = (int(random.uniform(0, 0.42) * n) for _ in range(2))
                outside = (np.arange(n) < first) | (np.arange(n) >= n - last)
                kept[(slice(None),) * axis + (outside,)] = False
        return kept

    def _smooth(self, coarse: int, amount: float) -> Values:
        """A smooth random field over the grid with about this standard deviation."""
        values = self._random.normal(size=(coarse,) * 3)
        zoom = [n / coarse for n in GRID]
        field = ndimage.zoom(values, zoom, order=1, grid_mode=True, mode="nearest")
        return np.asarray(field * amount, np.float32)
