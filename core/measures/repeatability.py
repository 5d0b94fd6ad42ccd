"""The measured repeatability of model versions: ``models/repeatability.json``, beside the models.

A version is known by the sha256 of its weights, so that the figures hold for a case whatever the
version's number is here. A version that is not listed was not measured.
"""

import json
from functools import cache
from pathlib import Path

from core.measures.change import Measured, Repeatability, repeatability_of
from core.settings import ROOT

FILE = ROOT / "models" / "repeatability.json"


@cache
def measured_for(sha256: str, file: Path = FILE) -> tuple[Repeatability, ...]:
    """What was measured of a version, one for each size of voxels; empty where nothing was."""
    if not file.is_file():
        return ()
    return tuple(
        Repeatability(
            edge_mm=float(entry["edge_mm"]),
            spread={str(part): float(share) for part, share in entry["spread"].items()},
            heads=int(entry["heads"]),
            scans=int(entry["scans"]),
            source=str(entry["source"]),
            found_of_3_percent=entry.get("found_of_3_percent"),
        )
        for entry in json.loads(file.read_bytes())
        if entry["sha256"] == sha256
    )


def spreads_of(earlier: Measured, later: Measured) -> tuple[Repeatability, Repeatability] | None:
    """The repeatability of both scans; None unless it was measured for both."""
    both = [
        repeatability_of(measured_for(scan.model_sha256), scan.spacing_mm, is_head=scan.is_head)
        for scan in (earlier, later)
    ]
    return (both[0], both[1]) if both[0] and both[1] else None
