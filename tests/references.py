"""Groups of people drawn by number, and reports of heads to compare with them."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from core.references.group import OUR_PROTOCOL, Group, Person
from tests import tiny

SHA256 = "a" * 64
KNOWN = {"date": "2026-11-30", "sex": "F", "age_years": 50}


def people(count: int, seed: int = 0, ages: tuple[float, float] = (20, 80)) -> tuple[Person, ...]:
    """Women and men in turn, of some 3,300 mm3 a side."""
    rng = np.random.default_rng(seed)
    return tuple(
        Person(float(age), "FM"[n % 2], float(left), float(left + apart))
        for n, (age, left, apart) in enumerate(
            zip(
                rng.uniform(*ages, count),
                rng.normal(3300, 340, count),
                rng.normal(80, 120, count),
                strict=True,
            )
        )
    )


def group(count: int = 60, **changes: Any) -> Group:
    """A group that this program measured."""
    fields = {
        "id": "ab12", "name": "Controls", "protocol": OUR_PROTOCOL, "source": "Volunteers of 2026.",
        "people": people(count), "model_sha256": SHA256, "model_version": "1",
    }  # fmt: skip
    return Group(**fields | changes)


def head_report(left: float = 2400.0, right: float = 2500.0, **changes: Any) -> dict[str, Any]:
    """The report on a head with these volumes in mm3; a side of 0 was not found."""
    sides = {
        side: {"total": _size(mm3), "anterior": _size(mm3 / 2), "posterior": _size(mm3 / 2)}
        for side, mm3 in (("left", left), ("right", right))
    }
    both = _size(left + right)
    report = {
        "head": {"confidence": "high", "reasons": [], "brain_ml": 1200.0},
        "measures": {
            "sides": sides, "total": both, "anterior": both, "posterior": both, "too_small": {},
            "side": "left and right together",
        },
        "model": {"version": "1", "sha256": SHA256}, "warnings": [], "study": KNOWN,
    }  # fmt: skip
    return report | changes


def head_analysis(number: int, **changes: Any) -> Any:
    """What `core.cases.store.Cases.add` takes, of a head."""
    crop = tiny.analysis(number)
    report = crop.as_dict() | head_report(**changes)
    return SimpleNamespace(**vars(crop) | {"as_dict": lambda: dict(report)})


def _size(mm3: float) -> dict[str, Any]:
    return {
        "volume_mm3": mm3, "volume_ml": mm3 / 1000, "voxels": round(mm3),
        "volume_interval_mm3": [0.9 * mm3, 1.1 * mm3],
    }  # fmt: skip


def of_person(analysis: Any, study: dict[str, Any]) -> Any:
    """An analysis as if the scan's DICOM file had said this of the person."""
    return SimpleNamespace(
        origin=None, as_dict=lambda: analysis.as_dict() | {"study": study},
        features=analysis.features, scan_file=analysis.scan_file, mask_file=analysis.mask_file,
    )  # fmt: skip
