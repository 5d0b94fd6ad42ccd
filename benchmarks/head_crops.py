"""``python -m benchmarks.head_crops HEADS [COUNT]``: what training on heads rests on.

HEADS is ``../shared/data/heads``: twelve heads of 2 mm in ``elderly_2mm`` (``t1``, and
``segmentation`` by DLMUSE: 47 right, 48 left hippocampus), finer ones in ``adults/whole``. Of COUNT
(default 2) heads of each kind it prints how well a mask of the model survives being cut into crops
and put back as inference does, by four ways to bring labels to the crop's grid; of all heads of
2 mm, how far the localiser's places, axes and scales are off.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.image.intake import vetted
from core.image.volume import Volume, cut_affine, load
from core.measures.edges import whole
from core.models.folder import opened
from core.predictor.engine import ScanRun
from core.predictor.head_segmentation import SECOND_CROP_OFFSET_MM
from core.predictor.heads import CROP, crop_grid
from core.predictor.localiser import Location, locate
from core.predictor.merge import CropResult, merged
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import Settings
from core.training.heads import crops
from core.training.heads.sides import SideLabels, sides_in

_REFERENCE = {"left": 48, "right": 47}
Way = Callable[[np.ndarray, SideLabels], np.ndarray]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=2)
    options = parser.parse_args()
    settings = Settings.from_environment()
    predictors = Predictors(
        partial(opened, settings.model_dir), InferenceOptions.from_settings(settings), 1
    )
    predictor = predictors.on("auto")
    coarse = sorted((options.heads / "elderly_2mm" / "t1").glob("*.nii.gz"))
    fine = sorted((options.heads / "adults" / "whole").glob("*.nii.gz"))
    for title, files in (("2 mm", coarse), ("0.87 x 0.87 x 1 mm", fine)):
        _round_trips(f"{min(options.count, len(files))} heads of {title}", [
            _labelled(predictor, file) for file in files[: options.count]
        ])  # fmt: skip
    _errors(predictor, coarse)
    predictors.close()
    return 0


def _labelled(
    predictor: Predictor, file: Path
) -> tuple[Volume, Location, dict[str, SideLabels], dict[str, SideLabels]]:
    """A head with the model's labels by side: as they are, and with voxels of twice the edge."""
    with tempfile.TemporaryDirectory() as scratch, file.open("rb") as stream:
        with vetted(stream, Path(scratch)) as checked:
            volume = load(checked)
        labels = predictor.segment(volume).labels
        location = locate(volume, predictor.engine, ScanRun())
        sides, _ = sides_in(labels, volume.affine, location, whole(labels.shape))
    return volume, location, sides, {name: _reduced(side) for name, side in sides.items()}


def _reduced(side: SideLabels) -> SideLabels:
    """The labels in blocks of 2 x 2 x 2 voxels, the commonest of each."""
    padded = np.pad(side.labels, [(2, 2 + n % 2) for n in side.labels.shape])
    x, y, z = (n // 2 for n in padded.shape)
    shares = [(padded == k).reshape(x, 2, y, 2, z, 2).mean((1, 3, 5)) for k in range(3)]
    labels = np.where(shares[0] < 0.5, 1 + np.argmax(shares[1:], 0), 0).astype(np.uint8)
    change = np.diag((2.0, 2.0, 2.0, 1.0))
    change[:3, 3] = 0.5
    affine = cut_affine(side.affine, tuple(slice(-2, None) for _ in range(3))) @ change
    return SideLabels(labels, affine)


def _nearest(grid: np.ndarray, side: SideLabels) -> np.ndarray:
    """Each voxel of the crop takes the label of the nearest voxel of the head."""
    to = np.linalg.inv(side.affine) @ grid
    return ndimage.affine_transform(side.labels, to[:3, :3], to[:3, 3], CROP, order=0)


def _supersampled(grid: np.ndarray, side: SideLabels) -> np.ndarray:
    """Shares of the labels between the head's voxels, in 8 points of each voxel of the crop."""
    to = np.linalg.inv(side.affine) @ grid
    shares = np.zeros((2, *CROP))
    for number, of_label in enumerate(shares, start=1):
        padded = np.pad((side.labels == number).astype(np.float32), 2)
        for point in np.ndindex(2, 2, 2):
            start = to[:3, 3] + to[:3, :3] @ (np.array(point) / 2 - 0.25)
            of_label += ndimage.affine_transform(padded, to[:3, :3], start + 2, CROP, order=1)
    return np.where(shares.sum(0) > 4, 1 + shares.argmax(0), 0).astype(np.uint8)


def _unsmoothed(grid: np.ndarray, side: SideLabels) -> np.ndarray:
    """As the trainings do it, without smoothing."""
    smoothing, crops._SMOOTHING_VOXELS = crops._SMOOTHING_VOXELS, 1e-6
    try:
        return crops.labels_on(grid, side)
    finally:
        crops._SMOOTHING_VOXELS = smoothing


_WAYS: dict[str, Way] = {
    "nearest neighbour": _nearest,
    "supersampled": _supersampled,
    "distance, not smoothed": _unsmoothed,
    "distance (in use)": crops.labels_on,
}


def _round_trips(title: str, heads: list) -> None:
    print(f"{title}: Dice of the mask put back on the head's grid, mean and worst of the sides")
    for name, way in _WAYS.items():
        back, ratios, from_coarse = [], [], []
        for volume, location, sides, reduced in heads:
            voxel_mm3 = abs(np.linalg.det(volume.affine[:3, :3]))
            for side, labels in sides.items():
                grids = [
                    crop_grid(side, labels.centre_mm + location.axes @ offset, location.axes)
                    for offset in (np.zeros(3), SECOND_CROP_OFFSET_MM)
                ]
                masks = [way(grid, labels) for grid in grids]
                back.append(_put_back(volume, labels, grids, masks))
                ratios.append((masks[0] > 0).sum() / (labels.labels > 0).sum() / voxel_mm3)
                from_coarse.append(dice(way(grids[0], reduced[side]) > 0, masks[0] > 0))
        parts = zip(("whole", "anterior", "posterior"), np.transpose(back), strict=True)
        figures = ", ".join(f"{part} {np.mean(d):.3f} ({np.min(d):.3f})" for part, d in parts)
        print(f"  {name:24} {figures}; volume {np.mean(ratios):.3f}; "
              f"from voxels twice as large {np.mean(from_coarse):.3f}")  # fmt: skip


def _put_back(
    volume: Volume, side: SideLabels, grids: list[np.ndarray], masks: list[np.ndarray]
) -> tuple[float, float, float]:
    """Dice of the whole and of each label, after inference's way back."""
    results = [
        CropResult(grid, np.stack([(mask == k).astype(np.float32) for k in range(3)]))
        for grid, mask in zip(grids, masks, strict=True)
    ]
    found = merged(volume, side.centre_mm, *results)
    back = np.zeros(volume.shape, np.uint8)
    back[found.box] = found.labels
    true = np.zeros(volume.shape, np.uint8)
    start = np.rint(apply_affine(np.linalg.inv(volume.affine), side.affine[:3, 3])).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, side.labels.shape, strict=True))
    true[box] = side.labels
    return dice(back > 0, true > 0), dice(back == 1, true == 1), dice(back == 2, true == 2)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two masks."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def _errors(predictor: Predictor, files: list[Path]) -> None:
    """How far places, axes and scales are off."""
    random = np.random.default_rng(0)
    detected, turns, scales = [], [], []
    for file in files:
        scan = nib.as_closest_canonical(nib.load(file))
        reference = nib.as_closest_canonical(nib.load(file.parents[1] / "segmentation" / file.name))
        values = np.asarray(reference.dataobj)
        first = _located(predictor, scan)
        for side, value in _REFERENCE.items():
            true_mm = apply_affine(reference.affine, np.argwhere(values == value)).mean(0)
            detected.append(np.linalg.norm(np.array(first.detections[side].centre_mm) - true_mm))
        # The true axes are not known; those of a head that was turned and scaled must be turned and
        # scaled by as much.
        turn = Rotation.from_rotvec(random.uniform(-15, 15, 3), degrees=True).as_matrix()
        scale = random.uniform(0.93, 1.07)
        second = _located(predictor, _moved(scan, turn * scale))
        between = Rotation.from_matrix(second.axes @ (turn @ first.axes).T)
        turns.append(np.degrees(between.magnitude()))
        scales.append(abs(second.scale / (first.scale * scale) - 1))
    print(f"{len(files)} heads of 2 mm: the localiser's error, median, 90 %, worst")
    for what, values, unit in (
        ("place", detected, "mm"), ("angle", turns, "degrees"), ("scale", scales, "")
    ):  # fmt: skip
        median, most, worst = np.percentile(values, (50, 90, 100))
        print(f"  {what}: {median:.3f}, {most:.3f}, {worst:.3f} {unit}")


def _located(predictor: Predictor, scan: nib.Nifti1Image) -> Location:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "head.nii"
        nib.save(scan, path)
        with path.open("rb") as stream, vetted(stream, Path(scratch)) as checked:
            return locate(load(checked), predictor.engine, ScanRun())


def _moved(scan: nib.Nifti1Image, matrix: np.ndarray) -> nib.Nifti1Image:
    """The scan turned and scaled about its middle, on a grid of its own size."""
    data = np.asarray(scan.dataobj, np.float32)
    middle = apply_affine(scan.affine, (np.array(data.shape) - 1) / 2)
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = matrix, middle - matrix @ middle
    back = np.linalg.inv(change @ scan.affine) @ scan.affine
    moved = ndimage.affine_transform(data, back[:3, :3], back[:3, 3], order=1)
    return nib.Nifti1Image(moved, scan.affine)


if __name__ == "__main__":
    sys.exit(main())
