"""Measures and findings of a mask that a person drew: a report takes them for the model's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.findings import Finding
from core.image.header import Header
from core.image.volume import ras_affine, to_ras
from core.measures.edges import extent_of
from core.measures.measure import MASK_CODES, appraise_head, assess, measure
from core.predictor.heads import fingerprint, halves


def report_of_mask(
    labels: NDArray[np.uint8],
    model: NDArray[np.uint8],
    header: Header,
    report: Mapping[str, Any],
    head: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The parts of a case's report that depend on its mask.

    Parameters
    ----------
    labels, model : (X, Y, Z) uint8
        The mask, and the one that the model drew, both on the file's grid.
    header
        Of the file.
    report
        The case's, as it is.
    head
        A head's sides, where they are no longer those of ``report``.
    """
    ras = to_ras(labels, header)
    affine, head = ras_affine(header), head or report.get("head")
    extent = extent_of(report["input"])
    of_mask: Sequence[Finding]
    if head is None:
        measures = measure(ras, affine, extent)
        of_mask = assess(ras, measures)
    else:
        head = _with_model_masks(head, model, header)
        appraisal = appraise_head(ras, affine, head, extent)
        measures, of_mask = appraisal.measures, appraisal.findings
        head |= asdict(appraisal.judgement)
    of_scan = [w for w in report["warnings"] if w["code"] not in MASK_CODES]
    warnings = of_scan + [finding.as_dict() for finding in of_mask]
    parts = {"measures": measures.as_dict(), "warnings": warnings, "head": head}
    return dict(json.loads(json.dumps(parts)))


def _with_model_masks(
    head: dict[str, Any], model: NDArray[np.uint8], header: Header
) -> dict[str, Any]:
    """A head that tells the model's masks from drawn ones, also one of an older case."""
    sides = {name: dict(side) for name, side in head["sides"].items()}
    if not all("model_mask" in side for side in sides.values()):
        parts = halves(to_ras(model, header), ras_affine(header), head)
        for name, side in sides.items():
            side.setdefault("model_mask", fingerprint(parts[name]))
    return head | {"sides": sides}


def difference(
    labels: NDArray[np.uint8], model: NDArray[np.uint8], voxel_mm3: float
) -> dict[str, dict[str, float | None]]:
    """What a mask changes of the model's: `core.cases.corrections.MaskVersion.difference`."""
    by_label: dict[str, dict[str, float | None]] = {}
    for name, value in LABELS.items():
        a, b = labels == value, model == value
        both = int(a.sum()) + int(b.sum())
        added, removed = int((a & ~b).sum()), int((b & ~a).sum())
        by_label[name] = {
            "dice": 1 - (added + removed) / both if both else None,
            "added_mm3": added * voxel_mm3,
            "removed_mm3": removed * voxel_mm3,
            "volume_mm3": (added - removed) * voxel_mm3,
        }
    return by_label
