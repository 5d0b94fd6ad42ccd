"""False alarms and findings of the drift report on windows of twenty real scans.

``python -m benchmarks.drift FOLDER [WINDOWS]`` reads the scans of a folder, changes them in
known ways, draws windows of twenty at random and compares each with the unchanged rest.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.drift.comparison import compare
from core.image import volume
from core.image.intake import vetted
from core.measures.features import Values, features_of

_WINDOW = 20
_RNG = np.random.default_rng(0)
Change = Callable[[NDArray[np.float32]], NDArray[np.floating]]


def noisy(data: NDArray[np.float32], share: float = 0.05) -> NDArray[np.floating]:
    """Gaussian noise of a share of the range from the 1st to the 99th percentile."""
    low, high = np.percentile(data, [1, 99])
    return data + _RNG.normal(0, share * (high - low), data.shape)


def gamma(data: NDArray[np.float32], exponent: float = 0.7) -> NDArray[np.floating]:
    """A gamma curve over the range of the scan."""
    low, high = float(data.min()), float(data.max())
    return ((data - low) / (high - low)) ** exponent * (high - low) + low


def thick(data: NDArray[np.float32]) -> NDArray[np.floating]:
    """Slices of 2 mm: the mean of two."""
    half = data.shape[2] // 2
    return data[:, :, : 2 * half].reshape(*data.shape[:2], half, 2).mean(axis=3)


CHANGES: dict[str, tuple[Change, tuple[float, float, float]]] = {
    "none (false alarms)": (lambda d: d, (1, 1, 1)),
    "blur 0.7 mm": (lambda d: ndimage.gaussian_filter(d, 0.7), (1, 1, 1)),
    "noise 5 %": (noisy, (1, 1, 1)),
    "gamma 0.7": (gamma, (1, 1, 1)),
    "2 mm slices": (thick, (1, 1, 2)),
    "blur 0.4 mm": (lambda d: ndimage.gaussian_filter(d, 0.4), (1, 1, 1)),
    "gamma 0.9": (lambda d: gamma(d, 0.9), (1, 1, 1)),
    "noise 2 %": (lambda d: noisy(d, 0.02), (1, 1, 1)),
}


def main() -> None:
    """Print the table."""
    folder, windows = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500
    scans = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("[!.]*.nii.gz")):
            with path.open("rb") as stream, vetted(stream, Path(scratch)) as file:
                scans.append(volume.load(file))
    plain = [features_of(scan.data, scan.spacing_mm) for scan in scans]
    print(f"{len(scans)} scans, {windows} windows of {_WINDOW}")
    print(f"{'change':<22}{'watch or act':>14}{'act':>8}{'sharpness named':>18}")
    for name, (change, spacing) in CHANGES.items():
        changed: list[Values] = [
            features_of(np.asarray(change(scan.data), np.float32), spacing) for scan in scans
        ]
        alarms = acts = named = 0
        for _ in range(windows):
            chosen = _RNG.choice(len(scans), _WINDOW, replace=False)
            rest = np.setdiff1d(np.arange(len(scans)), chosen)
            drift = compare([plain[i] for i in rest], [changed[i] for i in chosen])
            alarms += drift.state != "quiet"
            acts += drift.state == "act"
            named += any(r.startswith("sharpness") for r in drift.reasons)
        print(f"{name:<22}{alarms / windows:>13.1%}{acts / windows:>9.1%}{named / windows:>17.1%}")
    neighbours = [compare(plain, plain[i : i + _WINDOW]) for i in range(len(plain) - _WINDOW)]
    told = sum(any(c.moved for c in drift.comparisons) for drift in neighbours)
    alarms = sum(drift.state != "quiet" for drift in neighbours)
    print(f"{len(neighbours)} windows of consecutive scans: {alarms} not quiet, and {told} if raw")
    print("intensities counted")


if __name__ == "__main__":
    main()
