"""False alarms and findings of the Drift page's rule, on crops and on heads.

``python -m benchmarks.drift CROPS [HEADS] [--windows 300]``. CROPS is a folder of scans such as
``../shared/data/Task04_Hippocampus/imagesTr``: windows of twenty, drawn at random and changed in
known ways, are compared with the unchanged rest. HEADS is ``../shared/data/heads/adults``, brains
of sixty people (``whole`` and ``region``) with masks of both hippocampi (``hippodeep``). All are
cut to the region around the hippocampi, turned, moved, scaled, sampled at 1 mm and given noise: so
they are of one making. Windows of twenty people, changed in known ways, are compared with fifty
heads of the other forty.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.drift.comparison import Drift, compare
from core.image import volume
from core.image.intake import vetted
from core.limits import BASELINE_HEADS, LEAST_PEAK
from core.measures.features import Values, features_of
from core.measures.head_features import HEAD_FEATURES, features_of_scan
from core.models.folder import opened
from core.pipeline import analyse
from core.predictor.engine import Engine, ScanRun
from core.predictor.heads import Head, Side
from core.predictor.localiser import locate
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import Settings

_WINDOW = 20
# People who are there twice, so that forty people give fifty heads; the changed heads are theirs.
_TWICE = 24
# Of the region around both hippocampi (mm); and how the copies of a head differ.
_MARGIN_MM = 28.0
_TURN_DEG, _SCALE, _NOISE = 8.0, 0.04, 0.01
_RNG = np.random.default_rng(0)
Array = NDArray[np.float32]
Change = Callable[[Array], NDArray[np.floating]]


def noisy(data: Array, share: float = 0.05) -> NDArray[np.floating]:
    """Gaussian noise of a share of the range from the 1st to the 99th percentile."""
    low, high = np.percentile(data, [1, 99])
    return data + _RNG.normal(0, share * (high - low), data.shape)


def gamma(data: Array, exponent: float = 0.7) -> NDArray[np.floating]:
    """A gamma curve over the range of the scan."""
    low, high = float(data.min()), float(data.max())
    return ((data - low) / (high - low)) ** exponent * (high - low) + low


def thick(data: Array, slices: int = 2) -> NDArray[np.floating]:
    """Thick slices: the mean of some."""
    count = data.shape[2] // slices
    return data[:, :, : slices * count].reshape(*data.shape[:2], count, slices).mean(axis=3)


def blurred(data: Array, sigma: float) -> NDArray[np.floating]:
    """A Gaussian blur; voxels of 1 mm."""
    return np.asarray(ndimage.gaussian_filter(data, sigma))


def same(data: Array) -> NDArray[np.floating]:
    """As it is."""
    return data


# What is done to the voxels, and how high they are then (mm).
CROP_CHANGES: dict[str, tuple[Change, float]] = {
    "none (false alarms)": (same, 1),
    "blur 0.7 mm": (partial(blurred, sigma=0.7), 1),
    "noise 5 %": (noisy, 1),
    "gamma 0.7": (gamma, 1),
    "2 mm slices": (thick, 2),
    "blur 0.4 mm": (partial(blurred, sigma=0.4), 1),
    "gamma 0.9": (partial(gamma, exponent=0.9), 1),
    "noise 2 %": (partial(noisy, share=0.02), 1),
}
HEAD_CHANGES: dict[str, tuple[Change, float]] = {
    "none (false alarms)": (same, 1),
    "blur 1 mm": (partial(blurred, sigma=1.0), 1),
    "3 mm slices": (partial(thick, slices=3), 3),
    "noise 5 %": (noisy, 1),
    "gamma 0.7": (gamma, 1),
}


@dataclass
class Tally:
    """How often the rule said what."""

    alarms: int = 0
    acts: int = 0
    sharpness: int = 0

    def add(self, drift: Drift) -> None:
        """Count one comparison."""
        self.alarms += drift.state != "quiet"
        self.acts += drift.state == "act"
        self.sharpness += any(reason.startswith("sharpness") for reason in drift.reasons)

    def show(self, name: str, windows: int) -> None:
        """Print a row."""
        shares = (n / windows for n in (self.alarms, self.acts, self.sharpness))
        print(f"{name:<22}" + "".join(f"{share:>14.1%}" for share in shares))


def _heads_of_table(title: str) -> None:
    print(title)
    print(f"{'change':<22}{'watch or act':>14}{'act':>14}{'sharpness':>14}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("crops", type=Path)
    parser.add_argument("heads", type=Path, nargs="?")
    parser.add_argument("--windows", type=int, default=300)
    options = parser.parse_args()
    of_crops(options.crops, options.windows)
    if options.heads:
        of_heads(options.heads, options.windows)
        of_time(options.heads)


def of_crops(folder: Path, windows: int) -> None:
    """Windows of crops against the rest."""
    scans = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("[!.]*.nii.gz")):
            with path.open("rb") as stream, vetted(stream, Path(scratch)) as file:
                scans.append(volume.load(file))
    plain = [features_of(scan.data, scan.spacing_mm) for scan in scans]
    _heads_of_table(f"{len(scans)} crops, {windows} windows of {_WINDOW}")
    for name, (change, height_mm) in CROP_CHANGES.items():
        changed = [
            features_of(np.asarray(change(scan.data), np.float32), (1, 1, height_mm))
            for scan in scans
        ]
        tally = Tally()
        for _ in range(windows):
            chosen = _RNG.choice(len(scans), _WINDOW, replace=False)
            rest = np.setdiff1d(np.arange(len(scans)), chosen)
            tally.add(compare([plain[i] for i in rest], [changed[i] for i in chosen]))
        tally.show(name, windows)
    neighbours = [compare(plain, plain[i : i + _WINDOW]) for i in range(len(plain) - _WINDOW)]
    told = sum(any(c.moved for c in drift.comparisons) for drift in neighbours)
    alarms = sum(drift.state != "quiet" for drift in neighbours)
    print(f"{len(neighbours)} windows of consecutive scans: {alarms} not quiet, and {told} if raw")
    print("intensities counted")


def of_heads(folder: Path, windows: int) -> None:
    """Windows of heads against heads of other people."""
    start = time.perf_counter()
    pools = _pools(folder)
    plain = pools["none (false alarms)"]
    people = list(plain)
    _heads_of_table(
        f"{sum(map(len, plain.values()))} heads of {len(people)} people, {windows} windows of "
        f"{_WINDOW} against {BASELINE_HEADS}; made in {time.perf_counter() - start:.0f} s"
    )
    for name, pool in pools.items():
        tally, without = Tally(), Tally()
        for _ in range(windows):
            chosen = _RNG.choice(sorted(pool), _WINDOW, replace=False).tolist()
            others = [person for person in people if person not in chosen]
            heads = [copies[0] for person, copies in plain.items() if person in others]
            second = [c for person in others for c in plain[person][1:]]
            more = _RNG.permutation(len(second))[: BASELINE_HEADS - len(heads)]
            reference = heads + [second[i] for i in more]
            window = [pool[person][0] for person in chosen]
            tally.add(compare(reference, window, HEAD_FEATURES))
            if HEAD_CHANGES[name][1] != 1:
                of_image = [f for f in HEAD_FEATURES if not f.key.startswith("spacing")]
                without.add(compare(reference, window, of_image))
        tally.show(name, windows)
        if HEAD_CHANGES[name][1] != 1:
            without.show("  by all but voxels", windows)


def of_time(folder: Path, count: int = 5) -> None:
    """What the features of a head cost beside its segmentation, in the processor's time."""
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 1)
    predictor = predictors.on("auto")
    costs_s = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("whole/*.nii.gz"))[:count]:
            start_s = time.process_time()
            with path.open("rb") as stream:
                analysis = analyse(stream, predictor, Path(scratch))
            done_s = time.process_time()
            _ = analysis.features  # computed by this
            costs_s.append((done_s - start_s, time.process_time() - done_s))
    predictors.close()
    head_s, features_s = np.median(costs_s, axis=0)
    print(f"features of a head: {1000 * features_s:.0f} ms of the processor, segmenting it "
          f"{1000 * head_s:.0f} ms: {features_s / head_s:.1%}")  # fmt: skip


def _pools(folder: Path) -> dict[str, dict[str, list[Values]]]:
    """By change and person, the features of that person's heads."""
    pools: dict[str, dict[str, list[Values]]] = {name: {} for name in HEAD_CHANGES}
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 1)
    engine = predictors.on("auto").engine
    files = sorted([*folder.glob("whole/*.nii.gz"), *folder.glob("region/*.nii.gz")],
                   key=lambda path: path.name)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for number, path in enumerate(files):
            copies = list(_copies(path, folder / "hippodeep" / path.name, 1 + (number < _TWICE)))
            for name, (change, height_mm) in HEAD_CHANGES.items():
                of_change = copies if change is same else copies[:1] * (number < _TWICE)
                found = [
                    _features(change(data), height_mm, engine, Path(scratch)) for data in of_change
                ]
                heads = [values for values in found if values is not None]
                if heads:
                    pools[name][path.name] = heads
    predictors.close()
    return pools


def _copies(path: Path, mask: Path, count: int) -> Iterator[Array]:
    """Heads made of one: turned, moved, scaled, on a grid of 1 mm around both hippocampi."""
    image, labels = nib.as_closest_canonical(nib.load(path)), nib.load(mask)
    places = np.argwhere(np.asarray(labels.dataobj) > 0)
    places_mm = nib.affines.apply_affine(labels.affine, places)
    low_mm, high_mm = places_mm.min(0) - _MARGIN_MM, places_mm.max(0) + _MARGIN_MM
    shape = tuple(np.ceil(high_mm - low_mm).astype(int).tolist())
    data = np.asarray(image.dataobj, np.float32)
    for _ in range(count):
        turn = Rotation.from_rotvec(_RNG.uniform(-_TURN_DEG, _TURN_DEG, 3), degrees=True)
        grid = np.eye(4)
        grid[:3, :3] = turn.as_matrix() * _RNG.uniform(1 - _SCALE, 1 + _SCALE)
        centre_mm = (low_mm + high_mm) / 2 + _RNG.uniform(-0.5, 0.5, 3)
        grid[:3, 3] = centre_mm - grid[:3, :3] @ ((np.array(shape) - 1) / 2)
        to_voxels = np.linalg.inv(image.affine) @ grid
        copy = ndimage.affine_transform(data, to_voxels[:3, :3], to_voxels[:3, 3], shape, order=1)
        yield np.asarray(noisy(copy, _NOISE), np.float32)


def _features(
    data: NDArray[np.floating], height_mm: float, engine: Engine, scratch: Path
) -> Values | None:
    """Features of a head with voxels of 1 x 1 x ``height_mm``; None where none is found."""
    affine = np.diag((1.0, 1.0, height_mm, 1.0))
    scan = nib.Nifti1Image(np.asarray(data, np.float32), affine)
    with vetted(io.BytesIO(scan.to_bytes()), scratch) as file:
        head = volume.load(file)
        location = locate(head, engine, ScanRun())
        sides = {
            name: Side(found.centre_mm, found.centre_mm, found.peak, 1.0, 1.0, pointed=False)
            for name, found in location.detections.items()
            if found.peak >= LEAST_PEAK
        }
        if not sides:
            return None
        axes, off_mm, scale = location.axes, location.off_mm, location.scale
        return features_of_scan(head, Head(sides, location.brain_ml, axes, off_mm, scale))


if __name__ == "__main__":
    main()
