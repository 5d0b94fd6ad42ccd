"""``python -m benchmarks.seen DATA [--every N]``: what the limits on brains and contrast rest on.

The heads of `benchmarks.cut_scans` as they are, and every N-th with a tenth and a fifth of it cut
away from six sides: how much of the brain is seen, and how far its share is off. Every N-th of its
crops, cut so that it loses 5 to 30 % of the hippocampus: the contrast that is left.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from benchmarks.cut_scans import Scan, crops, heads, in_process, kept, segmented
from core import limits
from core.image.contrast import brain_seen, crop_contrast
from core.measures.edges import FACES
from core.measures.measure import measure
from core.pipeline import Analysis
from core.predictor.predictor import Predictor

_HEAD_SHARES = (0.1, 0.2)
_CROP_LOSSES = (0.05, 0.1, 0.2, 0.3)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=4)
    options = parser.parse_args()
    _heads(in_process(), options.data / "heads", options.every)
    contrasts = [
        contrast
        for scan in islice(crops(options.data), 0, None, options.every)
        for contrast in _contrasts(scan)
    ]
    drawn = [
        measure((scan.reference > 0).astype(np.uint8), scan.affine).total.length_mm or 0.0
        for scan in crops(options.data)
    ]
    print(f"{len(drawn)} crops as experts drew them: {min(drawn):.0f} to {max(drawn):.0f} mm long")
    low = sum(contrast < limits.LEAST_CROP_CONTRAST for contrast in contrasts)
    print(f"{len(contrasts)} cut crops: lowest contrast {min(contrasts):.2f}, {low} below the "
          f"{limits.LEAST_CROP_CONTRAST} of whole ones")  # fmt: skip
    return 0


def _heads(predictor: Predictor, folder: Path, every: int) -> None:
    scales, lengths, whole, cut = [], [], [], []
    for number, scan in enumerate(heads(folder)):
        analysis = segmented(predictor, scan.data, scan.affine)
        if analysis is None:
            continue
        head = _head_of(analysis)
        scales.append(head["scale"])
        lengths += [
            parts["total"].length_mm / head["scale"] for parts in analysis.measures.sides.values()
        ]
        whole.append(_seen(analysis))
        if number % every == 0:
            share = 100 * analysis.measures.total.volume_mm3 / (1000 * head["brain_ml"])
            for data, affine in _cuts(scan):
                found = segmented(predictor, data, affine)
                if found is not None and _head_of(found)["frame"] is not None:
                    now = found.measures.total.volume_mm3 / (10 * _head_of(found)["brain_ml"])
                    cut.append((_seen(found), now / share - 1))
    print(f"{len(whole)} whole heads: scale {min(scales):.2f} to {max(scales):.2f}, length at the "
          f"template's size {min(lengths):.0f} to {max(lengths):.0f} mm, brain seen "
          f"{min(whole):.3f} to {max(whole):.3f}")  # fmt: skip
    print("brain seen, and how far the share of the brain is off, by copy that was cut:")
    for seen, off in sorted(cut):
        print(f"  {seen:.3f} {100 * off:+6.1f} %")


def _head_of(analysis: Analysis) -> dict[str, Any]:
    head = analysis.segmentation.head
    return {} if head is None else head.as_dict()


def _seen(analysis: Analysis) -> float:
    frame = np.array(_head_of(analysis)["frame"])
    return brain_seen(frame, analysis.segmentation.volume.affine, analysis.extent)


def _cuts(scan: Scan) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """The head without a share of what is brighter than most of the image, from each side."""
    bright = np.argwhere(scan.data > np.percentile(scan.data, 60))
    for axis in range(3):
        begin, end = np.percentile(bright[:, axis], (1, 99)).astype(int)
        for share in _HEAD_SHARES:
            lost = int((end - begin) * share)
            for part in (slice(begin + lost, None), slice(None, end - lost)):
                box = [slice(None)] * 3
                box[axis] = part
                affine = scan.affine.copy()
                affine[:3, 3] += affine[:3, axis] * (part.start or 0)
                yield scan.data[tuple(box)], affine


def _contrasts(scan: Scan) -> Iterator[float]:
    x, y, z = (float(mm) for mm in voxel_sizes(scan.affine))
    for side in (name for pair in FACES for name in pair):
        for loss in _CROP_LOSSES:
            part = kept(scan.reference > 0, side, loss)
            contrast = crop_contrast(scan.data[part], (x, y, z))
            if contrast is not None:
                yield contrast


if __name__ == "__main__":
    sys.exit(main())
