"""``python -m benchmarks.known_loss DATA [--heads NAME ...]``: how much of a known loss is found.

DATA has ``heads``, as `benchmarks.scans_again` reads them. The hippocampi of each head are made
smaller by a known deformation, on the head's own grid and without anything else (no move, no
noise), and what the program finds is compared with what it finds of the head as it is. Printed are
both sides by part for each head, and their mean by voxels.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.cut_scans import in_process, segmented
from benchmarks.rescans import centres_mm, shrunken
from benchmarks.scans_again import ELDERLY, REGION, WHOLE, read
from core.anatomy import SIDES
from core.measures.change import PARTS, volumes_of

_LOST_PERCENT = (3, 10)
_HEADS = {
    "2 mm": [(ELDERLY, f"subject_{n:02d}") for n in (1, 2, 4, 5, 6, 8, 9, 10, 14, 16, 18, 21)],
    "1 mm": [
        *((REGION, f"sub-{n:02d}") for n in (3, 6, 15, 23, 33, 46, 58, 71)),
        (WHOLE, "sub-14"), (WHOLE, "sub-38"),
    ],
}  # fmt: skip


def main() -> int:
    """Print a line a head, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", nargs="+", default=[], help="only these")
    options = parser.parse_args()
    predictor = in_process()
    found = defaultdict(list)
    for voxels, of_kind in _HEADS.items():
        for kind, name in of_kind:
            if options.heads and name not in options.heads:
                continue
            scan = read(options.data / "heads" / kind / f"{name}.nii.gz", name)
            analysis = segmented(predictor, scan.data, scan.affine)
            if analysis is None:
                continue
            volumes = [volumes_of(analysis.measures.as_dict())]
            for lost in _LOST_PERCENT:
                small = shrunken(scan, centres_mm(analysis), 1 - lost / 100)
                again = segmented(predictor, small.data, small.affine)
                volumes.append({} if again is None else volumes_of(again.measures.as_dict()))
            for lost, after in zip(_LOST_PERCENT, volumes[1:], strict=True):
                changes = [
                    [100 * (after[side][p] / volumes[0][side][p] - 1) for p in PARTS]
                    for side in SIDES
                    if side in after and side in volumes[0]
                ]
                found[voxels, lost] += changes
                print(f"{name}, {voxels}, -{lost} %:", np.round(changes, 1).tolist(), flush=True)
    predictor.close()
    for (voxels, lost), changes in found.items():
        print(json.dumps({
            "voxels": voxels, "lost_percent": lost, "sides": len(changes),
            "parts": PARTS, "found_percent": np.mean(changes, axis=0).round(2).tolist(),
            "sd": np.std(changes, axis=0, ddof=1).round(2).tolist(),
        }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
