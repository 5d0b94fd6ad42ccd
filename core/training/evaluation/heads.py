"""Evaluates a model version on whole heads: the whole way from the file to the mask, as in use."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.image.volume import box_around, cut_affine
from core.image.voxels import Box
from core.models.folder import Model
from core.pipeline import Analysis, analyse
from core.predictor.heads import halves
from core.predictor.predictor import InferenceOptions, Predictor, loaded
from core.training.evaluation.head_figures import head_figures, side_rows
from core.training.evaluation.head_sets import HeadSet, LabelledHead
from core.training.evaluation.references import SideReference

_UNRELIABLE = "unreliable"
OnAnalysis = Callable[[LabelledHead, Analysis], None]


def evaluate_heads(
    model: Model,
    head_set: HeadSet,
    scratch: Path,
    options: InferenceOptions,
    seen: Collection[str],
    on_head: Callable[[int, int], None] = lambda done, total: None,
    on_analysis: OnAnalysis = lambda head, analysis: None,
) -> dict[str, Any]:
    """Evaluate a version on heads.

    Parameters
    ----------
    scratch
        For private copies.
    options
        How the masks are computed.
    seen
        ``content_sha256`` of every case that the version, or one that it was made from, was
        trained on.
    on_head
        Called with the number of heads done, and of all.
    on_analysis
        Called with each head that was not refused, and what a user gets of it.

    Returns
    -------
    dict
        `core.training.evaluation.head_figures.head_figures`.
    """
    predictor = loaded(model, options)
    predictor.warm_up()
    sides: list[dict[str, Any]] = []
    heads: list[dict[str, Any]] = []
    for number, head in enumerate(head_set.heads):
        on_head(number, len(head_set.heads))
        start = perf_counter()
        result = _analysed(head, predictor, scratch)
        heads.append({"head": head.name, "seconds": round(perf_counter() - start, 3)})
        if result is not None:
            on_analysis(head, result)
        is_seen = not head.known_by.isdisjoint(seen)
        for row in rows_of(head, result, head_set.protocol):
            sides.append({
                "head": head.name, "patient": head.patient or head.name,
                "files": head.files_of(row["side"]), "seen": is_seen, **row,
            })  # fmt: skip
    predictor.close()
    on_head(len(head_set.heads), len(head_set.heads))
    figures = head_figures(head_set.source, head_set.protocol, sides, heads)
    return figures | {"options": asdict(options), "sha256": model.sha256}


def _analysed(head: LabelledHead, predictor: Predictor, scratch: Path) -> Analysis | None:
    """What a user gets of a head; None if it is refused."""
    with head.image.open("rb") as stream:
        try:
            return analyse(stream, predictor, scratch)
        except InputError:
            return None


def rows_of(head: LabelledHead, result: Analysis | None, protocol: str) -> list[dict[str, Any]]:
    """`core.training.evaluation.head_figures.side_rows` of one head.

    Parameters
    ----------
    result
        None if the head was refused.
    """
    if result is None:
        part = _Part.of(head, None)
        return side_rows({}, part.references, part.affine, protocol, flagged=True)
    segmentation = result.segmentation
    part = _Part.of(head, segmentation.labels)
    masks: dict[str, NDArray[np.uint8]] = {}
    is_flagged = segmentation.head is None  # taken for a crop: no side is offered at all
    if segmentation.head is not None:
        masks = halves(segmentation.labels[part.box], part.affine, segmentation.head.as_dict())
        is_flagged = segmentation.head.confidence == _UNRELIABLE
    return side_rows(masks, part.references, part.affine, protocol, flagged=is_flagged)


@dataclass(frozen=True, eq=False)
class _Part:
    """The part of a head's grid that holds every label of the references and of the mask.

    Attributes
    ----------
    box
    affine : ndarray, shape (4, 4)
    references : dict of str to ndarray of uint8
        By side, in that box.
    """

    box: Box
    affine: NDArray[np.float64]
    references: dict[str, NDArray[np.uint8]]

    @classmethod
    def of(cls, head: LabelledHead, labels: NDArray[np.uint8] | None) -> "_Part":
        boxes = [side.box for side in head.references.values()]
        of_mask = None if labels is None else box_around(labels, 0)
        box = _around([*boxes, of_mask] if of_mask else boxes)
        return cls(
            box,
            cut_affine(head.affine, box),
            {name: _placed(side, box) for name, side in head.references.items()},
        )


def _around(boxes: list[Box]) -> Box:
    x, y, z = (
        slice(min(p.start for p in parts), max(p.stop for p in parts))
        for parts in zip(*boxes, strict=True)
    )
    return x, y, z


def _placed(side: SideReference, box: Box) -> NDArray[np.uint8]:
    labels = np.zeros([part.stop - part.start for part in box], np.uint8)
    within = tuple(
        slice(inner.start - outer.start, inner.stop - outer.start)
        for inner, outer in zip(side.box, box, strict=True)
    )
    labels[within] = side.labels
    return labels
