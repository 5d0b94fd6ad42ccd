"""``python -m benchmarks.rescans DATA [--rescans N] [--heads NAME ...]``: how far two scans differ.

DATA has ``heads``, as `benchmarks.cut_scans` reads them. Each head is scanned N times anew: moved
rigidly (up to 15 degrees an axis, 10 mm), under a smooth shading (standard deviation 5 %) and with
noise of 2 % of the 98th percentile, on a grid of its own voxels. Printed are, for each head, SD /
mean of the volumes over these scans, and what is found of hippocampi that a known deformation made
3 % smaller; at the end, by edge of the voxels, the root mean square over heads and sides: the
figures of ``models/repeatability.json``.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from benchmarks.cut_scans import Scan, heads, in_process, segmented
from benchmarks.repeatability import moved
from core.anatomy import SIDES
from core.pipeline import Analysis
from core.predictor.predictor import Predictor

PARTS = ("total", "anterior", "posterior")
_HEADS = ("whole_head_t1", "sub-02", "sub-08", "subject_01", "subject_02", "subject_04")
_FIELD_SD, _NOISE = 0.05, 0.02
# All of a hippocampus lies within the first distance of its centre, and the deformation ends at
# the second, before it meets that of the other side.
_WHOLE_MM, _END_MM = 22.0, 25.5


def main() -> int:
    """Print a line of JSON for each head, and the figures by edge of the voxels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rescans", type=int, default=10)
    parser.add_argument("--heads", nargs="+", default=_HEADS)
    options = parser.parse_args()
    predictor = in_process()
    spreads = defaultdict(list)
    for scan in heads(options.data / "heads"):
        name = scan.name.removesuffix(".nii.gz")
        if name not in options.heads:
            continue
        random = np.random.default_rng(0)
        at_first = segmented(predictor, scan.data, scan.affine)
        found = [_volumes(predictor, again) for again in rescans(scan, options.rescans, random)]
        spread = np.nanstd(found, axis=0, ddof=1) / np.nanmean(found, axis=0)
        edge_mm = round(float(voxel_sizes(scan.affine).max()), 2)
        spreads[edge_mm].append(spread)
        small = shrunken(scan, centres_mm(at_first), 0.97)
        after = [_volumes(predictor, again) for again in rescans(small, 3, random)]
        change = np.nanmean(after, axis=0) / np.nanmean(found, axis=0) - 1
        print(json.dumps({
            "head": name, "edge_mm": edge_mm, "spread_percent": np.round(100 * spread, 2).tolist(),
            "lost": int(np.isnan(found).any(axis=(1, 2)).sum()),
            "change_percent": np.round(100 * change, 2).tolist(),
            "volumes_mm3": np.round(found, 1).tolist(), "smaller_mm3": np.round(after, 1).tolist(),
        }), flush=True)  # fmt: skip
    predictor.close()
    for edge_mm, of_heads in sorted(spreads.items()):
        rms = np.sqrt(np.nanmean(np.square(of_heads), axis=(0, 1)))
        named = dict(zip(PARTS, np.round(100 * rms, 2).tolist(), strict=True))
        print(json.dumps({"edge_mm": edge_mm, "heads": len(of_heads), "spread_percent": named}))
    return 0


def rescans(scan: Scan, count: int, random: np.random.Generator) -> Iterator[Scan]:
    """The same head, lying otherwise, shaded and noisy."""
    bright = np.percentile(scan.data, 98)
    for _ in range(count):
        data, affine = moved(scan, random)
        knots = random.normal(0, _FIELD_SD, (3, 3, 3))
        factors = np.array(data.shape) / 3
        shading = np.exp(ndimage.zoom(knots, factors, order=2))
        noisy = data * shading + random.normal(0, _NOISE * bright, data.shape)
        yield Scan(scan.name, np.maximum(noisy, 0), affine, scan.reference, is_head=True)


def centres_mm(analysis: Analysis) -> list[np.ndarray]:
    """Of both hippocampi, where the masks lie."""
    labels, affine = analysis.segmentation.labels, analysis.segmentation.volume.affine
    places = apply_affine(affine, np.argwhere(labels > 0))
    middle = places[:, 0].mean()
    return [
        places[side].min(axis=0) / 2 + places[side].max(axis=0) / 2
        for side in (places[:, 0] < middle, places[:, 0] >= middle)
    ]


def shrunken(scan: Scan, centres: list[np.ndarray], share: float) -> Scan:
    """The same head, with hippocampi of a share of their volume; around them it is stretched."""
    edge = share ** (1 / 3)
    places = apply_affine(scan.affine, np.moveaxis(np.indices(scan.data.shape), 0, -1))
    source = places.copy()
    for centre in centres:
        away = places - centre
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        within = np.clip((_END_MM - distance) / (_END_MM - _WHOLE_MM), 0, 1)
        source += away * (1 / edge - 1) * within
    indices = apply_affine(np.linalg.inv(scan.affine), source)
    data = ndimage.map_coordinates(scan.data, np.moveaxis(indices, -1, 0), order=3, mode="nearest")
    clipped = np.clip(data, scan.data.min(), scan.data.max())
    return Scan(scan.name, clipped, scan.affine, scan.reference, is_head=True)


def _volumes(predictor: Predictor, scan: Scan) -> list[list[float]]:
    """Of each side the parts, mm3; NaN where it is refused or a side was not found."""
    found = segmented(predictor, scan.data, scan.affine)
    sides = {} if found is None else found.measures.sides
    return [
        [sides[side][part].volume_mm3 if side in sides else np.nan for part in PARTS]
        for side in SIDES
    ]


if __name__ == "__main__":
    sys.exit(main())
