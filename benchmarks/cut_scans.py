"""``python -m benchmarks.cut_scans DATA [--every N] [--losses 0.05 0.1]``: is a cut scan said?

DATA holds ``Task04_Hippocampus`` and ``heads`` (``elderly_2mm``, ``adults``, ``hippodeep`` and
``whole_head_t1.nii.gz``). Each scan as it is, and cut from six sides so that the reference loses a
share of its hippocampus; of a head cut on the left or right, of that side's. Every N-th scan is
taken, with one share a side drawn at random, so that a sample takes minutes.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from core.errors import InputError
from core.measures.edges import FACES
from core.measures.flaws import CUT
from core.models.folder import opened
from core.pipeline import Analysis, analyse
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import Settings

LOSSES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)
_DLMUSE = {48: 1, 47: 2}
# Lost shares from which a cut must be said.
_MATTERS = 0.05


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan with its reference, RAS+: 1 left, 2 right; of a crop, 1."""

    name: str
    data: np.ndarray
    affine: np.ndarray
    reference: np.ndarray
    is_head: bool


@dataclass(frozen=True)
class Row:
    """What came of one scan; ``side`` is where it was cut."""

    side: str
    loss: float
    lost: float
    said: bool
    trusted: bool


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--losses", type=float, nargs="+", default=LOSSES)
    options = parser.parse_args()
    predictor = in_process()
    for title, scans in (("crops", crops(options.data)), ("heads", heads(options.data / "heads"))):
        rows: list[Row] = []
        for number, scan in enumerate(scans):
            if number % options.every == 0:
                rows += _of_scan(predictor, scan, np.random.default_rng(number), options.losses)
        _report(title, rows)
    return 0


def in_process() -> Predictor:
    """The predictor as it serves."""
    settings = Settings.from_environment()
    return Predictors(
        partial(opened, settings.model_dir), InferenceOptions.from_settings(settings), 1
    ).on("auto")


def segmented(predictor: Predictor, data: np.ndarray, affine: np.ndarray) -> Analysis | None:
    """None where it is refused."""
    file = io.BytesIO(nib.Nifti1Image(data.astype(np.float32), affine).to_bytes())
    with tempfile.TemporaryDirectory() as folder:
        try:
            return analyse(file, predictor, Path(folder))
        except InputError:
            return None


def crops(data: Path) -> Iterator[Scan]:
    """The Decathlon's."""
    for path in sorted((data / "Task04_Hippocampus/imagesTr").glob("[!.]*.nii.gz")):
        label = path.parents[1] / "labelsTr" / path.name
        yield _read(path, label, {1: 1, 2: 1}, is_head=False)


def heads(folder: Path) -> Iterator[Scan]:
    """Of the elderly, of adults, and one with its skull."""
    for path in sorted((folder / "elderly_2mm/t1").glob("*.nii.gz")):
        yield _read(path, path.parents[1] / "segmentation" / path.name, _DLMUSE, is_head=True)
    name = "whole_head_t1.nii.gz"
    yield _read(folder / name, folder / "hippodeep" / name, {1: 1, 2: 2}, is_head=True)
    for path in sorted((folder / "adults/whole").glob("*.nii.gz")):
        yield _read(path, folder / "adults/hippodeep" / path.name, {1: 1, 2: 2}, is_head=True)


def _read(path: Path, label: Path, values: dict[int, int], *, is_head: bool) -> Scan:
    scan = nib.as_closest_canonical(nib.load(path))
    drawn = np.asarray(nib.as_closest_canonical(nib.load(label)).dataobj)
    reference = np.zeros(drawn.shape, np.uint8)
    for value, number in values.items():
        reference[drawn == value] = number
    data = np.asarray(scan.dataobj, np.float32)
    return Scan(path.name, data, scan.affine, reference, is_head)


def _of_scan(
    predictor: Predictor, scan: Scan, random: np.random.Generator, losses: tuple[float, ...]
) -> list[Row]:
    rows = []
    for side, loss in _cuts(random, losses):
        part = kept(_mask_of(scan, side), side, loss) if side else (slice(None),) * 3
        affine = scan.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [p.start or 0 for p in part]
        mask = _mask_of(scan, side)
        lost = 1 - mask[part].sum() / mask.sum()
        found = segmented(predictor, scan.data[part], affine)
        if found is None:
            rows.append(Row(side, loss, lost, True, False))
            continue
        said = any(f.code == CUT for f in found.findings)
        head = found.segmentation.head
        trusted = not said if head is None else head.confidence == "high"
        rows.append(Row(side, loss, lost, said, trusted))
    return rows


def _cuts(random: np.random.Generator, losses: tuple[float, ...]) -> Iterator[tuple[str, float]]:
    yield "", 0.0
    for pair in FACES:
        for side in pair:
            yield side, float(random.choice(losses))


def _mask_of(scan: Scan, side: str) -> np.ndarray:
    """Of a head that is cut on one side, the hippocampus of that side."""
    if scan.is_head and side in FACES[0]:
        return np.asarray(scan.reference == 1 + FACES[0].index(side))
    return np.asarray(scan.reference > 0)


def kept(mask: np.ndarray, side: str, loss: float) -> tuple[slice, ...]:
    """What is left of an image where a share of a mask, or a little more, is cut away."""
    axis = next(a for a, pair in enumerate(FACES) if side in pair)
    share = np.cumsum(mask.sum(tuple(a for a in range(3) if a != axis))) / mask.sum()
    part = [slice(None)] * 3
    if FACES[axis].index(side) == 0:
        part[axis] = slice(int(np.searchsorted(share, loss)) + 1, None)
    else:
        part[axis] = slice(None, int(np.searchsorted(share, 1 - loss, side="right")))
    return tuple(part)


def _report(title: str, rows: list[Row]) -> None:
    whole = [r for r in rows if not r.side]
    cut = [r for r in rows if r.side and r.lost >= _MATTERS]
    print(f"{title}: {len(whole)} whole, {sum(r.said for r in whole)} of them said to be cut; "
          f"{len(cut)} that lost 5 % or more, {sum(r.said for r in cut)} said, "
          f"{sum(r.trusted for r in cut)} trusted")  # fmt: skip
    losses = sorted({r.loss for r in rows if r.side})
    print(f"  {'cut by':9s}" + "".join(f"{100 * loss:>9.1f} %" for loss in losses))
    for side in (side for pair in FACES for side in pair):
        cells = []
        for loss in losses:
            said = [r.said for r in rows if r.side == side and r.loss == loss]
            cells.append(f"{sum(said)} of {len(said)}" if said else "")
        print(f"  {side:9s}" + "".join(f"{cell:>11s}" for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
