"""Measures and findings of a mask that a person drew: a report takes them for the model's."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS
from core.findings import Finding
from core.image.header import Header
from core.image.volume import ras_affine, to_ras
from core.measures.edges import extent_of
from core.measures.expected import (
    DRAWN,
    NOT_CALIBRATED,
    Expected,
    trust_record,
    with_intervals,
)
from core.measures.measure import MASK_CODES, appraise_head, assess, measure
from core.predictor.heads import fingerprint, halves
from core.predictor.signals import CROP


def report_of_mask(
    labels: NDArray[np.uint8],
    model: NDArray[np.uint8],
    header: Header,
    report: Mapping[str, Any],
    head: dict[str, Any] | None = None,
    earlier: Iterable[NDArray[np.uint8]] = (),
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
    earlier
        Other masks of the case, on the same grid: one of them holds the model's own mask of a side
        that was segmented where a person pointed. Read only where such a side was drawn on.
    """
    ras = to_ras(labels, header)
    affine, head = ras_affine(header), head or report.get("head")
    extent = extent_of(report["input"])
    of_mask: Sequence[Finding]
    expected: Expected
    trust = report.get("trust")  # not of an older case
    if head is None:
        measures = measure(ras, affine, extent)
        expected = _of_crop(ras, trust)
        of_mask = assess(ras, measures, expected or _of_hardly_changed(labels, model, trust))
        measures = with_intervals(measures, expected)
    else:
        head = _with_model_masks(head, model, header)
        near = _hardly_changed(ras, head, (to_ras(m, header) for m in chain((model,), earlier)),
                               affine)  # fmt: skip
        appraisal = appraise_head(ras, affine, head, extent, near)
        measures, of_mask = appraisal.measures, appraisal.findings
        expected = appraisal.expected
        head |= asdict(appraisal.judgement)
    of_scan = [w for w in report["warnings"] if w["code"] not in MASK_CODES]
    warnings = of_scan + [finding.as_dict() for finding in of_mask]
    parts: dict[str, Any] = {"measures": measures.as_dict(), "warnings": warnings, "head": head}
    if trust is not None:
        reason = trust["reason"].removeprefix(NOT_CALIBRATED)
        not_calibrated = "" if reason == DRAWN else reason
        told = trust_record(expected, not_calibrated)
        if head is not None and expected and _has_drawn_side(parts["measures"], expected):
            # Of both together nothing is expected where a person drew one of them.
            told |= {"expected_dice": None, "reason": DRAWN}
        parts["trust"] = trust | told
    return dict(json.loads(json.dumps(parts)))


def _has_drawn_side(measures: Mapping[str, Any], expected: Expected) -> bool:
    """Whether a side has a mask of which nothing is expected."""
    sides = measures["sides"].items()
    return any(of["total"]["voxels"] and name not in expected for name, of in sides)


def _of_crop(labels: NDArray[np.uint8], trust: dict[str, Any] | None) -> Expected:
    """What is expected of the mask of a crop, if it is the model's own."""
    kept = (trust or {}).get(CROP)
    if kept is None or kept["model_mask"] != fingerprint(labels):
        return {}
    return {CROP: kept}


def _of_hardly_changed(
    labels: NDArray[np.uint8], model: NDArray[np.uint8], trust: dict[str, Any] | None
) -> Expected:
    """What was expected of the model's mask of a crop, where a person hardly changed it."""
    kept = (trust or {}).get(CROP)
    return {CROP: kept} if kept is not None and _is_near(labels, model) else {}


def _hardly_changed(
    labels: NDArray[np.uint8],
    head: dict[str, Any],
    masks: Iterable[NDArray[np.uint8]],
    affine: NDArray[np.float64],
) -> set[str]:
    """Sides of a head whose drawn mask is nearly the model's own, which is in one of ``masks``.

    Where it is in none of them, as when the other side was pointed at elsewhere and the sides are
    told apart by another plane, it cannot be compared: the side counts as nearly the same, so that
    no doubt is lost.
    """
    parts = halves(labels, affine, head)
    wanted = {
        name: side["model_mask"]
        for name, side in head["sides"].items()
        if name in parts and side["model_mask"] != fingerprint(parts[name])
    }
    near = set()
    for mask in masks if wanted else ():
        of_model = halves(mask, affine, head)
        for name in [n for n in wanted if fingerprint(of_model[n]) == wanted[n]]:
            del wanted[name]
            if _is_near(parts[name], of_model[name]):
                near.add(name)
        if not wanted:
            break
    return near | set(wanted)


def _is_near(drawn: NDArray[np.uint8], model: NDArray[np.uint8]) -> bool:
    """Whether two masks are nearly the same; doubts are of the whole, so labels do not count."""
    both = int((drawn > 0).sum()) + int((model > 0).sum())
    same = int(((drawn > 0) & (model > 0)).sum())
    return both > 0 and 2 * same / both >= limits.HARDLY_CHANGED_DICE


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
