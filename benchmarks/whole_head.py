"""``python -m benchmarks.whole_head HEADS [COUNT]``: how well whole heads are read.

HEADS is a folder with ``t1`` and ``segmentation`` (DLMUSE: 47 right, 48 left hippocampus). First
every head as it is; then COUNT (default 100) known transforms of three of them: rotated to 25
degrees, shifted to 40 mm, scaled, sheared, axes in any order, cut, thick slices, bias, noise,
without the skull.
"""

import argparse
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, inv_ornt_aff
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.errors import InputError
from core.image.intake import vetted
from core.image.volume import load
from core.measures.edges import content_extent
from core.models.folder import opened
from core.pipeline import appraise
from core.predictor.heads import sides_of
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import Settings

_LABELS = {"left": 48, "right": 47}
_GRID_MM = 1.5


@dataclass(frozen=True, eq=False)
class Subject:
    """One head with its reference, RAS+."""

    name: str
    data: np.ndarray
    reference: np.ndarray
    affine: np.ndarray

    def centres(self) -> dict[str, np.ndarray]:
        """Of the reference's hippocampi, mm."""
        return {
            side: apply_affine(self.affine, np.argwhere(self.reference == value)).mean(0)
            for side, value in _LABELS.items()
        }


@dataclass(frozen=True)
class Row:
    """What came of one side: how far the mask's and the box's centre are off, and the rest."""

    error_mm: float
    box_mm: float
    dice: float
    confidence: str
    volume_mm3: float
    reference_mm3: float


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=100)
    options = parser.parse_args()
    settings = Settings.from_environment()
    predictors = Predictors(
        partial(opened, settings.model_dir), InferenceOptions.from_settings(settings), 1
    )
    predictor = predictors.on("auto")
    subjects = [_read(path) for path in sorted((options.heads / "t1").glob("*.nii.gz"))]
    rows, times = [], []
    for subject in subjects:
        began = time.perf_counter()
        rows += _run(predictor, nib.Nifti1Image(subject.data, subject.affine), subject, np.eye(4))
        times.append(time.perf_counter() - began)
    _report(f"{len(subjects)} heads as they are, {np.median(times):.2f} s each", rows)
    scored = [r for r in rows if not np.isnan(r.dice)]
    volumes = np.array([(r.volume_mm3, r.reference_mm3) for r in scored])
    dice = np.array([r.dice for r in scored])
    together = np.corrcoef(volumes.T)[0, 1]
    ratio = volumes[:, 0].sum() / volumes[:, 1].sum()
    print(f"  Dice mean {dice.mean():.4f}, worst side {dice.min():.3f}")
    print(f"  volumes: r {together:.2f}, ours against the reference's {ratio:.2f}")
    random = np.random.default_rng(0)
    rows, by_subject = [], {}
    for number in range(options.count):
        subject = subjects[number % min(3, len(subjects))]
        scan, change = _transformed(subject, random, number)
        found = _run(predictor, scan, subject, change)
        rows += found
        scale = abs(np.linalg.det(change[:3, :3]))
        total = sum(r.volume_mm3 for r in found) / scale
        if len(found) == 2 and all(r.confidence == "high" for r in found):
            by_subject.setdefault(subject.name, []).append(total)
    _report(f"{options.count} transforms", rows)
    for name, totals in by_subject.items():
        spread = np.std(totals) / np.mean(totals)
        print(f"  {name}: volume varies by {100 * spread:.1f} % (SD / mean) over {len(totals)} "
              "transforms of confidence high")  # fmt: skip
    predictors.close()
    return 0


def _report(title: str, rows: list[Row]) -> None:
    print(title)
    flagged = np.array([r.confidence != "high" for r in rows])
    for what in ("box", "error"):
        errors = np.array([getattr(r, f"{what}_mm") for r in rows])
        far, near = errors > 10, errors <= 6
        name = {"box": "box's centre", "error": "mask's centre"}[what]
        print(f"  {name}: off by {np.median(errors):.2f} mm (median), 95 % "
              f"{np.percentile(errors, 95):.2f}, worst {errors.max():.2f}")  # fmt: skip
        print(f"    over 10 mm and flagged: {flagged[far].sum()} of {far.sum()}; below 6 mm and "
              f"flagged: {flagged[near].sum()} of {near.sum()}")  # fmt: skip


def _read(path: Path) -> Subject:
    scan = nib.as_closest_canonical(nib.load(path))
    labels = nib.as_closest_canonical(nib.load(path.parents[1] / "segmentation" / path.name))
    return Subject(
        path.name[:10], np.asarray(scan.dataobj, np.float32), np.asarray(labels.dataobj),
        scan.affine,
    )  # fmt: skip


def _run(
    predictor: Predictor, scan: nib.Nifti1Image, subject: Subject, change: np.ndarray
) -> list[Row]:
    """Segment a scan in which the subject's mm were moved by ``change``."""
    with tempfile.TemporaryDirectory() as scratch:
        with vetted(io.BytesIO(scan.to_bytes()), Path(scratch)) as file:
            volume = load(file)
        try:
            extent = content_extent(volume.voxels.stored)
            made, _, _ = appraise(predictor.segment(volume), extent)
        except InputError:
            return [Row(99.0, 99.0, 0.0, "refused", 0.0, 0.0) for _ in _LABELS]
    head = made.head
    if head is None:
        return [Row(99.0, 99.0, 0.0, "refused", 0.0, 0.0) for _ in _LABELS]
    where = sides_of(
        made.labels.shape, volume.affine, {n: s.centre_mm for n, s in head.sides.items()}
    )
    voxel_mm3 = abs(np.linalg.det(volume.affine[:3, :3]))
    rows = []
    for number, (side, value) in enumerate(_LABELS.items(), start=1):
        truth = apply_affine(change, subject.centres()[side])
        voxel = apply_affine(np.linalg.inv(volume.affine), truth)
        is_in = bool((voxel >= 0).all() and (voxel < volume.shape).all())
        mine = (made.labels > 0) & (where == number)
        if not mine.any():
            if is_in:
                rows.append(Row(99.0, 99.0, 0.0, head.confidence, 0.0, 0.0))
            continue
        centre = apply_affine(volume.affine, np.argwhere(mine)).mean(0)
        dice, reference_mm3 = np.nan, 0.0
        if np.array_equal(change, np.eye(4)):
            other = subject.reference == value
            dice = 2 * (mine & other).sum() / (mine.sum() + other.sum())
            reference_mm3 = other.sum() * voxel_mm3
        error = float(np.linalg.norm(centre - truth))
        box = float(np.linalg.norm(np.array(head.sides[side].centre_mm) - truth))
        volume_mm3 = float(mine.sum() * voxel_mm3)
        rows.append(Row(error, box, float(dice), head.confidence, volume_mm3, reference_mm3))
    return rows


def _transformed(
    subject: Subject, random: np.random.Generator, number: int
) -> tuple[nib.Nifti1Image, np.ndarray]:
    """A scan of the subject moved, and how: from its mm to the scan's."""
    data = subject.data.copy()
    if number % 10 == 9:
        brain = ndimage.binary_dilation(subject.reference > 0, iterations=2)
        data[~ndimage.binary_fill_holes(brain)] = 0
    angles = random.uniform(-25, 25, 3) * (random.random(3) < 0.7)
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = matrix @ np.diag(random.uniform(0.85, 1.15, 3))
    matrix[0, 1] += random.uniform(-0.05, 0.05)
    change = np.eye(4)
    middle = apply_affine(subject.affine, (np.array(data.shape) - 1) / 2)
    change[:3, :3] = matrix
    change[:3, 3] = middle - matrix @ middle + random.uniform(-40, 40, 3)
    # The field of view moves along: a scanner would have been centred on the head.
    steps = np.full(3, _GRID_MM)
    if number % 4 == 3:
        steps[random.integers(3)] = random.uniform(2, 4)
    extent = np.array(data.shape) * nib.affines.voxel_sizes(subject.affine) * 1.1
    shape = np.ceil(extent / steps).astype(int)
    start = apply_affine(change, middle) - (shape - 1) / 2 * steps
    grid = np.diag([*steps, 1.0])
    grid[:3, 3] = start
    moved = _resampled(data, change @ subject.affine, start, shape, steps)
    if number % 5 == 4:
        low = (shape * random.uniform(0, 0.2, 3)).astype(int)
        high = shape - (shape * random.uniform(0, 0.2, 3)).astype(int)
        moved = moved[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        grid[:3, 3] += low * steps
    bias = ndimage.zoom(random.normal(0, 0.25, (3, 3, 3)), np.array(moved.shape) / 3, order=1)
    noisy = moved * np.exp(bias) + random.normal(0, 0.03 * np.percentile(moved, 98), moved.shape)
    order = nib.orientations.axcodes2ornt(
        [random.permutation(list(p))[0] for p in _shuffled(random)]
    )
    from_ras = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), order)
    turned = apply_orientation(noisy.astype(np.float32), from_ras)
    return nib.Nifti1Image(turned, grid @ inv_ornt_aff(from_ras, noisy.shape)), change


def _shuffled(random: np.random.Generator) -> list[str]:
    pairs = ["LR", "PA", "IS"]
    return [pairs[n] for n in random.permutation(3)]


def _resampled(
    data: np.ndarray, affine: np.ndarray, start: np.ndarray, shape: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    unit = np.diag([*steps, 1.0])
    unit[:3, 3] = start
    inverse = np.linalg.inv(affine) @ unit
    return ndimage.affine_transform(data, inverse[:3, :3], inverse[:3, 3], tuple(shape), order=1)


if __name__ == "__main__":
    sys.exit(main())
