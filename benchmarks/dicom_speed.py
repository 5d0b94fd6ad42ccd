"""A 1 mm head of 176 classic DICOM slices against the same head as NIfTI: ``ROUNDS``, 5 by default.

Both from the files as they are dropped to the mask, in turns, in one run. Seconds of the clock, and
seconds of the processor, which other programs on the machine hardly change.
"""

import io
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from core.image.dicom.unpack import zipped
from core.models.folder import opened
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import Settings
from tests.phantoms import Phantom, as_file
from tests.scans import template_head

SLICES, EDGE = 176, 256


def head() -> Phantom:
    """The averaged brain, sagittal as scanners have it: 256 x 256 pixels, 176 slices."""
    found = template_head()
    data = np.asarray(found.dataobj, np.int16)
    # By column (front to back), row (top to bottom) and slice (left to right in space).
    turned = data.transpose(1, 2, 0)[::-1, ::-1]
    voxels = np.zeros((EDGE, EDGE, SLICES), np.int16)
    first = (turned.shape[2] - SLICES) // 2
    voxels[: turned.shape[0], : turned.shape[1]] = turned[:, :, first : first + SLICES]
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = -1, -1, 1, 1
    start = found.affine @ [first, turned.shape[0] - 1, turned.shape[1] - 1, 1]
    affine[:3, 3] = start[:3]
    return Phantom(voxels, affine)


def main(rounds: int) -> None:
    """Print both times and their difference."""
    made = head()
    slices = [as_file(dataset) for dataset in made.datasets()]
    nifti = made.image.to_bytes()
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 16)
    predictor = predictors.on("auto")
    taken_s: dict[str, list[float]] = {"NIfTI": [], "DICOM": []}
    worked_s: dict[str, list[float]] = {"NIfTI": [], "DICOM": []}
    with tempfile.TemporaryDirectory() as folder:

        def of_nifti() -> bytes:
            return analyse(io.BytesIO(nifti), predictor, Path(folder)).mask_file

        def of_dicom() -> bytes:
            target = io.BytesIO()
            zipped([io.BytesIO(one) for one in slices], target)
            target.seek(0)
            return analyse(target, predictor, Path(folder)).mask_file

        masks = of_nifti(), of_dicom()  # what is loaded at the first scan
        print(f"masks are the same: {masks[0] == masks[1]}")
        for _ in range(rounds):
            for name, work in (("NIfTI", of_nifti), ("DICOM", of_dicom)):
                start, worked = time.perf_counter(), time.process_time()
                work()
                taken_s[name].append(time.perf_counter() - start)
                worked_s[name].append(time.process_time() - worked)
    predictors.close()
    for words, every in (("clock", taken_s), ("processor", worked_s)):
        for name, seconds in every.items():
            print(f"{words}, {name}: {statistics.median(seconds):.2f} s (least {min(seconds):.2f})")
        more = [d - n for n, d in zip(*every.values(), strict=True)]
        print(
            f"{words}, DICOM takes {statistics.median(more):.2f} s more, median of {rounds} pairs"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
