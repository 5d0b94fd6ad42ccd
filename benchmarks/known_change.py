"""``python -m benchmarks.known_change DATA [--pairs N] [--heads NAME ...]``: is it told from none?

DATA has ``heads``, as `benchmarks.cut_scans` reads them. Each head is scanned anew as
`benchmarks.rescans` does it, with another seed, and judged as the page *Patients* does, with the
figures of ``models/repeatability.json``. Printed are, for each head and in all, of N pairs of an
unchanged head how many sides and labels are called *within what the method varies by*; and of N
pairs whose later head has hippocampi that a known deformation made 3 % smaller, how many intervals
hold -3 %. The heads are others than those of which the figures were measured.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.cut_scans import Scan, heads, in_process, segmented
from benchmarks.rescans import centres_mm, rescans, shrunken
from core.anatomy import SIDES
from core.measures.change import PARTS, WITHIN, Change, Measured, changes, volumes_of
from core.measures.repeatability import spreads_of
from core.predictor.predictor import Predictor

_HEADS = ("subject_05", "subject_06", "subject_08")
_SEED = 1000
_LOST_PERCENT = -3.0
_DAYS = ("2024-01-01", "2026-01-01")


def main() -> int:
    """Print a line of JSON for each head, and one of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=10, help="of each head and kind")
    parser.add_argument("--heads", nargs="+", default=_HEADS)
    options = parser.parse_args()
    predictor = in_process()
    unchanged, smaller = [], []
    for scan in heads(options.data / "heads"):
        name = scan.name.removesuffix(".nii.gz")
        if name not in options.heads:
            continue
        of_same, of_smaller, spread = judged(predictor, scan, options.pairs, _SEED + len(unchanged))
        unchanged += of_same
        smaller += of_smaller
        line = {"head": name, "spread_percent": spread} | figures(of_same, of_smaller)
        print(json.dumps(line), flush=True)
    print(json.dumps({"head": "all"} | figures(unchanged, smaller)))
    predictor.close()
    return 0


Pair = dict[str, dict[str, Change | None]]


def judged(
    predictor: Predictor, scan: Scan, pairs: int, seed: int
) -> tuple[list[Pair], list[Pair], dict[str, float]]:
    """The changes of unchanged pairs, of those whose later head has smaller hippocampi, and spread.

    The spread is SD / mean over all unchanged scans, the root mean square of both sides, by part.
    """
    random = np.random.default_rng(seed)
    at_first = segmented(predictor, scan.data, scan.affine)
    if at_first is None:
        raise SystemExit(f"{scan.name} is refused")
    small = shrunken(scan, centres_mm(at_first), 1 + _LOST_PERCENT / 100)
    before = measured_again(predictor, rescans(scan, pairs, random), scan, _DAYS[0])
    same = measured_again(predictor, rescans(scan, pairs, random), scan, _DAYS[1])
    after = measured_again(predictor, rescans(small, pairs, random), scan, _DAYS[1])
    found = [
        [
            changes(one, other, spreads_of(one, other))
            for one, other in zip(before, later, strict=True)
            if one is not None and other is not None
        ]
        for later in (same, after)
    ]
    spread = {}
    for part in PARTS:
        volumes = np.array([
            [of.volumes_mm3[side][part] for side in SIDES]
            for of in (*before, *same)
            if of is not None and all(side in of.volumes_mm3 for side in SIDES)
        ])  # fmt: skip
        of_sides = volumes.std(axis=0, ddof=1) / volumes.mean(axis=0)
        spread[part] = round(100 * float(np.sqrt((of_sides**2).mean())), 2)
    return found[0], found[1], spread


def measured_again(
    predictor: Predictor, scans: Iterable[Scan], scan: Scan, day: str
) -> list[Measured | None]:
    """Each scan as a change needs it; None where it is refused."""
    spacing = tuple(float(mm) for mm in np.linalg.norm(scan.affine[:3, :3], axis=0))
    model = predictor.model
    found: list[Measured | None] = []
    for one in scans:
        analysis = segmented(predictor, one.data, one.affine)
        found.append(
            None if analysis is None
            else Measured(
                day, volumes_of(analysis.measures.as_dict()), model.version, model.sha256, spacing,
                is_head=True,
            )
        )  # fmt: skip
    return found


def figures(unchanged: list[Pair], smaller: list[Pair]) -> dict[str, object]:
    """Counts by part over both sides, and of pairs of which each side's total is called so."""
    of_same, of_smaller = ([side for pair in pairs for side in pair.values()]
                           for pairs in (unchanged, smaller))  # fmt: skip
    return {
        "pairs": len(unchanged),
        "sides": len(of_same),
        "called_unchanged": {
            part: sum(side[part] is not None and side[part].meaning == WITHIN for side in of_same)
            for part in PARTS
        },
        "pairs_called_unchanged": sum(
            all(side["total"] is not None and side["total"].meaning == WITHIN
                for side in pair.values())
            for pair in unchanged
        ),
        "smaller_sides": len(of_smaller),
        "interval_holds_the_known": {
            part: sum(_holds(side[part]) for side in of_smaller) for part in PARTS
        },
        "percent_found": {
            part: round(float(np.mean([s[part].percent for s in of_smaller if s[part]])), 2)
            for part in PARTS
        },
    }  # fmt: skip


def _holds(one: Change | None) -> bool:
    if one is None or one.interval_percent is None:
        return False
    low, high = one.interval_percent
    return low <= _LOST_PERCENT <= high


if __name__ == "__main__":
    sys.exit(main())
