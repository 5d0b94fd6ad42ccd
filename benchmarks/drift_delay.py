"""How many scans it takes until drift is seen, scan by scan, on changed crops.

``python -m benchmarks.drift_delay CROPS [--draws 300] [--cache FILE]``. CROPS is a folder such as
``../shared/data/Task04_Hippocampus/imagesTr``. Of each draw thirty persons' scans, changed in known
ways, come one after the other, against the unchanged scans of the other persons. Thresholds are
those of a chain on all crops. Features are computed once, and kept in a file if one is given.
"""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift import Array, Change, blurred, gamma, noisy, same, thick
from core.drift.calibration import calibrate
from core.drift.cusum import Thresholds, added, level_of, severity_after
from core.drift.kinds import followed
from core.drift.scores import Scale
from core.image import volume
from core.image.intake import vetted
from core.measures.features import Values, features_of

_RNG = np.random.default_rng(0)
_WINDOW, _LONGEST = 20, 60
FEATURES = followed("crop")


def shaded(data: Array, share: float = 0.3) -> NDArray[np.floating]:
    """A bias field: brighter by a share at one end and darker at the other, in some direction."""
    direction = _RNG.normal(size=3)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in data.shape), indexing="ij")
    field = sum(grid * part for grid, part in zip(grids, direction, strict=True))
    return data * (1 + share * field / np.abs(field).max())


def ghosted(data: Array, share: float = 0.15) -> NDArray[np.floating]:
    """A ghost half a field of view away, from back to front."""
    return data + share * np.roll(data, data.shape[1] // 2, axis=1)


# What is done to the voxels, and how high they are then (mm).
CHANGES: dict[str, tuple[Change, float]] = {
    "none": (same, 1),
    "gamma 0.7": (gamma, 1),
    "noise 5 %": (noisy, 1),
    "blur 0.7 mm": (partial(blurred, sigma=0.7), 1),
    "bias 30 %": (shaded, 1),
    "2 mm slices": (thick, 2),
    "3 mm slices": (partial(thick, slices=3), 3),
    "ghosting 15 %": (ghosted, 1),
    "gamma 0.9": (partial(gamma, exponent=0.9), 1),
    "blur 0.4 mm": (partial(blurred, sigma=0.4), 1),
    "noise 2 %": (partial(noisy, share=0.02), 1),
}


def main() -> None:
    """Print the table."""
    options = options_of(__doc__, draws=300)
    features = features_of_options(options)
    thresholds = calibrate(features["none"], FEATURES, 500, neighbours=2)
    print(thresholds)
    print(f"{'change':<16}{'to watch':>10}{'to act':>10}{'watch in 20':>13}{'act in 20':>11}")
    for name in CHANGES:
        delays = np.array([
            delay(features["none"], features[name], thresholds) for _ in range(options.draws)
        ])  # fmt: skip
        shares = "".join(f"{share:>12.1%}" for share in (delays <= _WINDOW).mean(axis=0))
        print(f"{name:<16}" + "".join(f"{scans:>10.0f}" for scans in np.median(delays, 0)) + shares)


def options_of(description: str | None, draws: int) -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("crops", type=Path)
    parser.add_argument("--draws", type=int, default=draws)
    parser.add_argument("--cache", type=Path)
    return parser.parse_args()


def features_of_options(options: argparse.Namespace) -> dict[str, list[Values]]:
    """`features_by_change`, of the file where there is one."""
    if options.cache and options.cache.is_file():
        return dict(json.loads(options.cache.read_bytes())["features"])
    features = features_by_change(options.crops)
    if options.cache:
        options.cache.write_text(json.dumps({"features": features}))
    return features


def features_by_change(folder: Path) -> dict[str, list[Values]]:
    """By change, the features of the crops of a folder, in the order of their names."""
    found: dict[str, list[Values]] = {name: [] for name in CHANGES}
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("[!.]*.nii.gz")):
            with path.open("rb") as stream, vetted(stream, Path(scratch)) as file:
                data = volume.load(file).data
            for name, (change, height_mm) in CHANGES.items():
                changed = np.asarray(change(data), np.float32)
                found[name].append(features_of(changed, (1, 1, height_mm)))
    return found


def delay(plain: list[Values], changed: list[Values], thresholds: Thresholds) -> tuple[int, int]:
    """Scans until *watch* and until *act*; one more than there are where that is never."""
    first = 2 * _RNG.choice(len(plain) // 2, _LONGEST // 2, replace=False)
    order = np.stack([first, first + 1], axis=1).ravel()
    scale = Scale([plain[i] for i in np.setdiff1d(np.arange(len(plain)), order)], FEATURES)
    sums, severity = {}, "quiet"
    until = {"watch": _LONGEST + 1, "act": _LONGEST + 1}
    for number, index in enumerate(order, 1):
        sums = added(sums, scale.score(changed[index]), thresholds)
        severity = severity_after(severity, level_of(sums), level_of(sums), thresholds)
        if severity != "quiet":
            until["watch"] = min(until["watch"], number)
        if severity == "act":
            until["act"] = number
            break
    return until["watch"], until["act"]


if __name__ == "__main__":
    main()
