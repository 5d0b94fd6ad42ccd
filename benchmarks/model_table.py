"""``python -m benchmarks.model_table DATA MODEL [MODEL ...] [--crops] [--heads]``: compare models.

DATA holds ``Task04_Hippocampus`` and ``heads``, as `benchmarks.cut_scans` reads them. ``--crops``:
Dice on the 44 crops of fold 0 of nnU-Net's five and on the 26 of persons with neither side in the
other folds, in float32. ``--heads``: the twelve elderly heads (Dice with the reference, r of the
volumes), the whole head (volumes, Dice with hippodeep) as it is and with slices of 2, 3 and 5 mm
along each axis, and the thick slices, as they are served.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from itertools import islice
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from benchmarks.coarse_scans import resampled
from benchmarks.cut_scans import Scan, heads, segmented
from core.anatomy import LABELS
from core.models.folder import load_model
from core.predictor.calibrate import read_labelled
from core.predictor.heads import sides_of
from core.predictor.predictor import InferenceOptions, Predictor, loaded
from core.settings import Settings

_ELDERLY = 12
_SEED, _FOLDS = 12345, 5  # of nnU-Net's own split
_SLICES_MM = (2.0, 3.0, 5.0)
_AXES = ("left-right", "behind-front", "below-above")
_VISITS = ("visit1", "visit2")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--crops", action="store_true")
    parser.add_argument("--heads", action="store_true")
    options = parser.parse_args()
    settings = InferenceOptions.from_settings(Settings.from_environment())
    for folder in options.models:
        print(folder)
        if options.crops:
            precise = InferenceOptions(device="cpu", precision="float32")
            _crops(loaded(load_model(folder), precise), options.data / "Task04_Hippocampus")
        if options.heads:
            _heads(loaded(load_model(folder), settings), options.data / "heads")
    return 0


def _crops(predictor: Predictor, data: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.utilities.crossval_split import generate_crossval_split
    names = sorted(path.name[:-7] for path in (data / "imagesTr").glob("[!.]*.nii.gz"))
    fold = generate_crossval_split(names, seed=_SEED, n_splits=_FOLDS)[0]
    known = {_person(name) for name in fold["train"]}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in fold["val"]:
            case = read_labelled(
                *(data / part / f"{name}.nii.gz" for part in ("imagesTr", "labelsTr")),
                Path(scratch),
            )
            mask = predictor.segment(case.scan).labels
            pairs = [(mask == v, case.truth == v) for v in LABELS.values()]
            rows.append([_dice(*pair) for pair in [*pairs, (mask > 0, case.truth > 0)]])
    predictor.close()
    of_all = np.array(rows)
    new = np.array([_person(name) not in known for name in fold["val"]])
    for title, part in (("crops of fold 0", of_all), ("of persons never seen", of_all[new])):
        means = zip([*LABELS, "whole"], part.mean(0), strict=True)
        figures = ", ".join(f"{what} {dice:.4f}" for what, dice in means)
        print(f"  {len(part)} {title}: Dice {figures}")


def _person(name: str) -> int:
    return (int(name.rsplit("_", 1)[1]) + 1) // 2


def _heads(predictor: Predictor, folder: Path) -> None:
    scans = list(islice(heads(folder), _ELDERLY + 1))
    elderly = scans[:_ELDERLY]
    ours = [_sides(predictor, scan)[0] for scan in elderly]
    print(f"  {_ELDERLY} elderly heads: {_agreement(ours, elderly)}")
    print(f"    hippodeep's masks: {_agreement([_hippodeep(folder, s) for s in elderly], elderly)}")
    scan = scans[_ELDERLY]
    whole, confidence = _sides(predictor, scan)
    print(f"  {scan.name}: {_volumes(whole, scan.affine)} mm3, {confidence}, Dice with hippodeep "
          f"{_both(whole, scan.reference):.3f}")  # fmt: skip
    for mm in _SLICES_MM:
        for axis, name in enumerate(_AXES):
            steps = voxel_sizes(scan.affine)
            steps[axis] = mm
            data, affine = resampled(scan, steps, is_mean=True)
            thick = Scan(scan.name, data, affine, np.zeros(data.shape, np.uint8), is_head=True)
            mask, confidence = _sides(predictor, thick)
            change = _mm3(mask > 0, affine) / _mm3(whole > 0, scan.affine) - 1
            print(f"    {mm:.0f} mm {name:13s}: volume {100 * change:+5.1f} %, {confidence}")
    for visit in _VISITS:
        image = nib.as_closest_canonical(nib.load(folder / "thick_slices" / f"{visit}.nii.gz"))
        data = np.asarray(image.dataobj, np.float32)
        empty = np.zeros(data.shape, np.uint8)
        mask, confidence = _sides(predictor, Scan(visit, data, image.affine, empty, is_head=True))
        print(f"  thick slices, {visit}: {_volumes(mask, image.affine)} mm3, {confidence}")
    predictor.close()


def _agreement(masks: list[np.ndarray], scans: list[Scan]) -> str:
    """Dice with the reference, of each side and of the worst head, and r of the volumes.

    Of r there are two: over heads, both sides together, and over sides, where a reference that has
    one side larger than the other throughout counts as scatter.
    """
    pairs = [
        (mask == side, scan.reference == side)
        for mask, scan in zip(masks, scans, strict=True)
        for side in (1, 2)
    ]
    dice = np.array([_dice(*pair) for pair in pairs])
    volumes = np.array([(mask.sum(), reference.sum()) for mask, reference in pairs], float)
    return (
        f"Dice {dice.mean():.4f}, worst head {dice.reshape(-1, 2).mean(1).min():.3f}, "
        f"r of heads {_r(volumes.reshape(-1, 2, 2).sum(1)):.3f}, of sides {_r(volumes):.3f} "
        f"(left {_r(volumes[::2]):.3f}, right {_r(volumes[1::2]):.3f})"
    )


def _r(volumes: np.ndarray) -> float:
    return float(np.corrcoef(volumes.T)[0, 1])


def _hippodeep(folder: Path, scan: Scan) -> np.ndarray:
    stored = nib.load(folder / "hippodeep" / scan.name)
    return np.asarray(nib.as_closest_canonical(stored).dataobj)


def _sides(predictor: Predictor, scan: Scan) -> tuple[np.ndarray, str]:
    """The mask with 1 left and 2 right, and the confidence; an empty one where it is refused."""
    found = segmented(predictor, scan.data, scan.affine)
    if found is None or found.segmentation.head is None:
        return np.zeros(scan.data.shape, np.uint8), "refused"
    labels, head = found.segmentation.labels, found.segmentation.head
    centres = {name: side.centre_mm for name, side in head.sides.items()}
    where = sides_of(labels.shape, scan.affine, centres)
    return np.where(labels > 0, where, 0), head.confidence


def _volumes(mask: np.ndarray, affine: np.ndarray) -> str:
    return "/".join(f"{_mm3(mask == side, affine):.0f}" for side in (1, 2))


def _mm3(mask: np.ndarray, affine: np.ndarray) -> float:
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])))


def _both(mask: np.ndarray, reference: np.ndarray) -> float:
    return float(np.mean([_dice(mask == side, reference == side) for side in (1, 2)]))


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


if __name__ == "__main__":
    sys.exit(main())
