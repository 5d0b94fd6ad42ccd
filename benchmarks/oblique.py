"""What tilting a scan costs: crops resampled on a grid pitched by some degrees.

``python -m benchmarks.oblique FOLDER`` takes the first four scans of a folder, segments each
upright and tilted, and prints Dice between the two masks. Resampling alone costs some of it.
"""

import gzip
import io
import sys
import tempfile
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.eulerangles import euler2mat
from scipy import ndimage

from core.models.folder import opened
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import Settings

_ANGLES_DEG = (5, 10, 20, 30)


def mask_of(scan: nib.Nifti1Image, predictor: Predictor, folder: Path) -> np.ndarray:
    """Labels on the scan's grid."""
    analysis = analyse(io.BytesIO(scan.to_bytes()), predictor, folder)
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(analysis.mask_file)).dataobj)


def tilted(scan: nib.Nifti1Image, angle_deg: float) -> tuple[nib.Nifti1Image, np.ndarray]:
    """The same anatomy on a pitched grid, and the way from the upright grid to it."""
    middle = (np.array(scan.shape) - 1) / 2
    turn = euler2mat(0, 0, np.radians(angle_deg))
    affine = np.eye(4)
    affine[:3, :3] = turn
    affine[:3, 3] = nib.affines.apply_affine(scan.affine, middle) - turn @ middle
    there = np.linalg.inv(scan.affine) @ affine
    data = ndimage.affine_transform(
        np.asarray(scan.dataobj, np.float32), there[:3, :3], there[:3, 3], order=3, mode="nearest"
    )
    return nib.Nifti1Image(data, affine), np.linalg.inv(affine) @ scan.affine


def main() -> None:
    """Print the table."""
    scans = sorted(Path(sys.argv[1]).glob("hippocampus_*.nii.gz"))[:4]
    predictor: Predictor = Predictors(
        partial(opened, Settings().model_dir), InferenceOptions(), 1
    ).on("auto")
    print(f"{'degrees':>7} {'anterior Dice':>14} {'posterior Dice':>15}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upright = [mask_of(nib.load(path), predictor, folder) for path in scans]
        for angle in _ANGLES_DEG:
            scores = []
            for path, reference in zip(scans, upright, strict=True):
                scan, back = tilted(nib.load(path), angle)
                mask = mask_of(scan, predictor, folder)
                mask = ndimage.affine_transform(
                    mask, back[:3, :3], back[:3, 3], output_shape=reference.shape, order=0
                )
                scores.append([
                    2 * ((mask == k) & (reference == k)).sum()
                    / ((mask == k).sum() + (reference == k).sum())
                    for k in (1, 2)
                ])  # fmt: skip
            anterior, posterior = np.mean(scores, axis=0)
            print(f"{angle:7} {anterior:14.3f} {posterior:15.3f}")


if __name__ == "__main__":
    main()
