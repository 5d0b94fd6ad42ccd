"""``python -m benchmarks.head_size DATA``: whether the localiser knows how large a head is.

DATA has ``heads/adults/whole``: skull-stripped heads whose brain is what is above 0. For each, as
it lies and moved (10 degrees and 6 mm, by its affine alone, so that no voxel changes): the
localiser's brain volume, and the volume that its affine gives the template, against the brain.
Printed are their SD / mean over the moves, and how far each explains the brain's volume over the
heads: a head size that does not cannot adjust a hippocampus for it.
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec

from benchmarks.cut_scans import in_process, segmented

_MOVES = ((0.0, 0.0), (10.0, 6.0), (-10.0, -6.0))


def main() -> None:
    """Print a line a head, then what they say together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    predictor = in_process()
    rows = []
    for path in sorted((options.data / "heads" / "adults" / "whole").glob("*.nii.gz")):
        image = nib.load(path)
        data = np.asarray(image.dataobj, np.float32)
        brain_ml = float((data > 0).sum() * abs(np.linalg.det(image.affine[:3, :3]))) / 1000
        seen = []
        for degrees, mm in _MOVES:
            analysis = segmented(predictor, data, _turned(degrees, mm) @ image.affine)
            head = None if analysis is None else analysis.segmentation.head
            if head is not None:
                seen.append((head.brain_ml, head.scale**3))
        rows.append((brain_ml, np.array(seen)))
        means, spreads = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) / np.mean(seen, axis=0)
        print(
            f"{path.name}: brain {brain_ml:.0f} ml; localiser {means[0]:.0f} ml (varies by "
            f"{100 * spreads[0]:.1f} %), affine {means[1]:.3f} ({100 * spreads[1]:.1f} %)",
            flush=True,
        )
    brains = np.array([brain for brain, _ in rows])
    print(f"brains: SD {100 * brains.std(ddof=1) / brains.mean():.1f} % of the mean")
    for column, name in enumerate(("localiser's brain", "affine's volume")):
        means = np.array([seen[:, column].mean() for _, seen in rows])
        spread = np.sqrt(
            np.mean([(seen[:, column].std(ddof=1) / seen[:, column].mean()) ** 2
                     for _, seen in rows])
        )  # fmt: skip
        rest = brains - np.polyval(np.polyfit(means, brains, 1), means)
        print(
            f"{name}: r = {np.corrcoef(means, brains)[0, 1]:.2f}, scatter after the best line "
            f"{100 * rest.std(ddof=2) / brains.mean():.1f} %, moves {100 * spread:.1f} %"
        )


def _turned(degrees: float, mm: float) -> np.ndarray:
    """A turn about the patient's left-right axis, with a shift along it."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return from_matvec([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]], [mm, 0, 0])


if __name__ == "__main__":
    main()
