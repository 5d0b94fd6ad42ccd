"""``python -m benchmarks.repeatability DATA [--moves N] [--heads NAME ...]``: does a volume hold?

DATA has ``heads``, as `benchmarks.cut_scans` reads them. Each head as it is, moved rigidly N times
(up to 15 degrees an axis, 10 mm), resampled to cubes of 0.8, 1, 1.5 and 2 mm, under three bias
fields of up to 30 % or so and with noise of 1, 3 and 5 % of the 98th percentile. For each side
SD / mean of the volumes of the moves, and of the other copies with the head as it is.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation

from benchmarks.cut_scans import Scan, heads, in_process, segmented
from core.predictor.predictor import Predictor

_CUBES_MM = (0.8, 1.0, 1.5, 2.0)
_NOISE = (0.01, 0.03, 0.05)
_FIELDS = 3
_FIELD_SD = 0.15
_DEGREES, _SHIFT_MM = 15, 10

Copy = tuple[np.ndarray, np.ndarray]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--heads", nargs="+", default=[], help="names, by default all but adults")
    options = parser.parse_args()
    predictor = in_process()
    spreads = []
    for scan in _chosen(options.data / "heads", options.heads):
        random = np.random.default_rng(0)
        as_it_is = _volumes(predictor, scan.data, scan.affine)
        moves = [_volumes(predictor, *moved(scan, random)) for _ in range(options.moves)]
        copies = [as_it_is, *(_volumes(predictor, *copy) for copy in _copies(scan, random))]
        spreads.append([*_spread(moves), *_spread(copies)])
        edge = voxel_sizes(scan.affine).max()
        print(
            f"{scan.name[:-7]}, {edge:.2g} mm: moved {_words(spreads[-1][:2])}, resampled, "
            f"biased and noisy {_words(spreads[-1][2:])}; refused {_refused(moves + copies)}"
        )
    predictor.close()
    by_kind = np.array(spreads).reshape(-1, 2, 2)
    for kind, name in enumerate(("moved", "resampled, biased and noisy")):
        of_kind = by_kind[:, kind]
        print(f"{len(spreads)} heads, both sides, {name}: median {100 * np.median(of_kind):.2f} %, "
              f"worst {100 * of_kind.max():.2f} %")  # fmt: skip
    return 0


def _chosen(folder: Path, names: list[str]) -> Iterator[Scan]:
    """The named heads, or the twelve elderly ones and the one with its skull."""
    if not names:
        return islice(heads(folder), 13)
    return (scan for scan in heads(folder) if scan.name[:-7] in names)


def _volumes(predictor: Predictor, data: np.ndarray, affine: np.ndarray) -> tuple[float, ...]:
    """Left and right, mm3; NaN where it is refused or a side was not found."""
    found = segmented(predictor, data, affine)
    sides = {} if found is None else found.measures.sides
    return tuple(
        sides[name]["total"].volume_mm3 if name in sides else np.nan for name in ("left", "right")
    )


def moved(scan: Scan, random: np.random.Generator) -> Copy:
    """The head turned about its middle and shifted, on a grid of the same voxels."""
    angles = random.uniform(-_DEGREES, _DEGREES, 3)
    change = np.eye(4)
    change[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    middle = apply_affine(scan.affine, (np.array(scan.data.shape) - 1) / 2)
    shift = random.uniform(-_SHIFT_MM, _SHIFT_MM, 3)
    change[:3, 3] = middle - change[:3, :3] @ middle + shift
    shape = np.ceil(np.array(scan.data.shape) * 1.15).astype(int)
    affine = scan.affine.copy()
    affine[:3, 3] = middle + shift - affine[:3, :3] @ ((shape - 1) / 2)
    way = np.linalg.inv(change @ scan.affine) @ affine
    return _sampled(scan.data, way, shape), affine


def _copies(scan: Scan, random: np.random.Generator) -> Iterator[Copy]:
    for mm in _CUBES_MM:
        factors = mm / voxel_sizes(scan.affine)
        shape = np.ceil(np.array(scan.data.shape) / factors).astype(int)
        sigma = np.where(factors > 1, 0.4 * np.sqrt(np.maximum(factors**2 - 1, 0)), 0)
        way = np.diag([*factors, 1.0])
        yield _sampled(ndimage.gaussian_filter(scan.data, sigma), way, shape), scan.affine @ way
    bright = np.percentile(scan.data, 98)
    for _ in range(_FIELDS):
        knots = random.normal(0, _FIELD_SD, (3, 3, 3))
        field = ndimage.zoom(knots, np.array(scan.data.shape) / 3, order=2)
        yield scan.data * np.exp(field), scan.affine
    for share in _NOISE:
        noise = random.normal(0, share * bright, scan.data.shape)
        yield np.maximum(scan.data + noise, 0), scan.affine


def _sampled(data: np.ndarray, way: np.ndarray, shape: np.ndarray) -> np.ndarray:
    values = ndimage.affine_transform(data, way[:3, :3], way[:3, 3], tuple(shape), order=3)
    return np.clip(values, data.min(), data.max())


def _spread(volumes: list[tuple[float, ...]]) -> list[float]:
    """SD / mean of each side over the copies where it was found."""
    of_sides = np.array(volumes)
    return list(np.nanstd(of_sides, axis=0, ddof=1) / np.nanmean(of_sides, axis=0))


def _words(spread: list[float]) -> str:
    return f"{100 * spread[0]:.2f} % left, {100 * spread[1]:.2f} % right"


def _refused(volumes: list[tuple[float, ...]]) -> str:
    lost = int(np.isnan(np.array(volumes)).any(axis=1).sum())
    return f"{lost} of {len(volumes)}"


if __name__ == "__main__":
    sys.exit(main())
