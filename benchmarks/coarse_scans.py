"""``python -m benchmarks.coarse_scans DATA [--every N]``: which voxels make volumes too small?

The heads of `benchmarks.cut_scans`, and every tenth of its crops, with longer voxels along one axis
or all, as means over them and sampled: each side's volume against that of the scan as it is.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from benchmarks.cut_scans import Scan, crops, heads, in_process, segmented
from core.measures.flaws import COARSE
from core.pipeline import Analysis

_SLICES_MM = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
_CUBES_MM = (1.5, 2.0, 2.5)
_AXES = ("left-right", "behind-front", "below-above")
_MATTERS = -0.1


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    predictor = in_process()
    few = islice(crops(options.data), 0, None, 10)
    for title, scans in (("heads", heads(options.data / "heads")), ("crops", few)):
        rows: dict[tuple[str, float], list[tuple[float, bool]]] = {}
        for scan in islice(scans, 0, None, options.every):
            before = _volumes(segmented(predictor, scan.data, scan.affine))
            for axis, mm, steps in _grids(scan):
                for is_mean in (True, False):
                    found = segmented(predictor, *resampled(scan, steps, is_mean=is_mean))
                    said = found is None or any(f.code == COARSE for f in found.findings)
                    now = _volumes(found)
                    rows.setdefault((axis, mm), []).extend(
                        (now[name] / mm3 - 1, said) for name, mm3 in before.items() if name in now
                    )
        _report(title, rows)
    return 0


def _volumes(found: Analysis | None) -> dict[str, float]:
    if found is None:
        return {}
    sides = found.measures.sides
    if not sides:
        return {"": found.measures.total.volume_mm3}
    return {name: parts["total"].volume_mm3 for name, parts in sides.items()}


def _grids(scan: Scan) -> Iterator[tuple[str, float, np.ndarray]]:
    spacing = voxel_sizes(scan.affine)
    for axis, name in enumerate(_AXES):
        for mm in _SLICES_MM:
            if mm > 1.05 * spacing[axis]:
                steps = spacing.copy()
                steps[axis] = mm
                yield name, mm, steps
    for mm in _CUBES_MM:
        if mm > 1.05 * spacing.max():
            yield "all", mm, np.full(3, mm)


def resampled(scan: Scan, steps_mm: np.ndarray, *, is_mean: bool) -> tuple[np.ndarray, np.ndarray]:
    """The scan with longer voxels: means over each, or values at their middles."""
    factors = np.maximum(steps_mm / voxel_sizes(scan.affine), 1)
    shape = tuple(np.floor(np.array(scan.data.shape) / factors).astype(int))
    data = scan.data
    if is_mean:
        for axis, factor in enumerate(factors):
            size = max(1, round(float(factor)))
            data = ndimage.uniform_filter1d(data, size, axis, origin=0)
    values = ndimage.affine_transform(data, np.diag(factors), (factors - 1) / 2, shape, order=1)
    affine = scan.affine.copy()
    affine[:3, 3] += scan.affine[:3, :3] @ ((factors - 1) / 2)
    affine[:3, :3] = scan.affine[:3, :3] * factors
    return values, affine


def _report(title: str, rows: dict[tuple[str, float], list[tuple[float, bool]]]) -> None:
    print(
        f"{title}: change of the volume, how many lost more than 10 %, and how many it is said of"
    )
    for (axis, mm), found in sorted(rows.items()):
        changes, said = np.array([c for c, _ in found]), np.array([s for _, s in found])
        lost = changes < _MATTERS
        print(f"  {axis:13s}{mm:4.1f} mm: mean {100 * changes.mean():+6.1f} %, worst "
              f"{100 * changes.min():+6.1f} %, {lost.sum()} of {len(lost)} lost, "
              f"{(said & lost).sum()} of those said, {said.sum()} of all")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
