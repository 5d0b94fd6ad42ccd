"""A file in, an analysis out: the one path for pages, API and command line."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

from core import limits
from core.anatomy import NOTICE
from core.errors import ComputeError
from core.findings import Finding
from core.image import contrast, nifti, volume
from core.image.intake import Source, vetted
from core.image.volume import from_ras
from core.measures.edges import Extent, content_extent
from core.measures.expected import Expected, trust_record, with_intervals
from core.measures.features import Values, features_of
from core.measures.flaws import CUT
from core.measures.head_features import features_of_head
from core.measures.measure import appraise_head, assess, measure
from core.measures.sizes import Measures
from core.predictor.heads import fingerprint
from core.predictor.predictor import Predictor
from core.predictor.segmentation import Segmentation
from core.predictor.signals import CROP

if TYPE_CHECKING:
    from core.image.dicom.origin import Origin

Step = Literal["check", "wait", "orient", "segment", "measure"]
STEPS: tuple[Step, ...] = ("check", "wait", "orient", "segment", "measure")


@dataclass(frozen=True)
class Caller:
    """Who requests an analysis, and how they are kept informed.

    Attributes
    ----------
    user : str
        The queue is fair between users.
    on_step
        Called with each step as it begins.
    on_place
        Called with the place in the queue, from 1, while it waits; raising gives the place up.
    gone
        Called now and then: whether nobody waits for the result any more.
    """

    user: str = ""
    on_step: Callable[[Step], None] = lambda step: None
    on_place: Callable[[int], None] = lambda place: None
    gone: Callable[[], bool] = lambda: False


_NOBODY = Caller()


@dataclass(frozen=True, eq=False)
class Analysis:
    """One segmented and measured scan.

    Attributes
    ----------
    segmentation, measures
    findings : tuple of Finding
        Of the checks of the file, the grid, the contrast and the mask.
    sha256, size_bytes : of the file as it came
    mask_file : bytes
        The mask as ``.nii.gz``.
    timings_s : dict of str to float
        Seconds by step, with their ``total``.
    extent : Extent
        The part of the scan without padding, RAS+; see `core.measures.edges`.
    origin : Origin or None
        Of a DICOM series: the way back to its study, which names the patient.
    kept : dict
        See `core.drift.collection.Collection.keep`; empty where nobody asked for that.
    """

    segmentation: Segmentation
    measures: Measures
    findings: tuple[Finding, ...]
    sha256: str
    size_bytes: int
    mask_file: bytes
    timings_s: dict[str, float]
    extent: Extent
    origin: "Origin | None" = None
    kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def features(self) -> Values:
        """Drift features of the crop (`core.measures.features`) or head."""
        if self.segmentation.head is not None:
            return features_of_head(self.segmentation, self.measures)
        volume = self.segmentation.volume
        return features_of(volume.data, volume.spacing_mm)

    @property
    def trust(self) -> dict[str, Any]:
        """`core.measures.expected.trust_record`; of a crop with what is expected of its mask."""
        segmentation = self.segmentation
        record = trust_record(expected_of(segmentation), segmentation.not_calibrated)
        if segmentation.expected is not None:
            # A mask that is drawn later is told by its fingerprint, and what is expected is kept.
            mask = fingerprint(segmentation.labels)
            record["crop"] = segmentation.expected | {"model_mask": mask}
        return record

    def scan_file(self) -> bytes:
        """The scan as ``.nii.gz``, on the file's own grid, without free text or extensions."""
        volume = self.segmentation.volume
        stored = from_ras(volume.voxels.stored, volume.header)
        return nifti.scan_bytes(volume.voxels.with_stored(stored), volume.header)

    def as_dict(self) -> dict[str, Any]:
        """The record of an analysis, as the exports and the API give it."""
        header = self.segmentation.volume.header
        return {
            "notice": NOTICE,
            "measures": self.measures.as_dict(),
            "trust": self.trust,
            "warnings": [f.as_dict() for f in self.findings],
            "input": {
                "sha256": self.sha256,
                "size_bytes": self.size_bytes,
                "shape": list(header.shape),
                "spacing_mm": list(header.spacing_mm),
                "orientation": header.orientation,
                "oblique_deg": header.oblique_deg,
                "content_extent": [list(ends) for ends in self.extent],
            },
            "study": self.origin.about() if self.origin else None,
            "scanner": (self.origin.scanner or None) if self.origin else None,
            "head": self.segmentation.head.as_dict() if self.segmentation.head else None,
            "model": self.segmentation.model.as_dict(),
            "device": self.segmentation.device,
            "backend": self.segmentation.backend,
            "precision": self.segmentation.precision,
            "mirroring": self.segmentation.mirroring,
            "timings_s": self.timings_s,
        }


def analyse(
    source: Source,
    predictor: Predictor,
    folder: Path,
    *,
    max_bytes: int = limits.MAX_UPLOAD_MIB * limits.MIB,
    series: str = "",
    caller: Caller = _NOBODY,
) -> Analysis:
    """Check, orient, segment and measure one file.

    Parameters
    ----------
    source
        The file as it came.
    predictor
        Its queue is entered after the file was checked; a full one refuses it before that.
    folder
        Where the private copy lies meanwhile.
    series
        UID of the DICOM series to take, where there are several.
    caller
        Who asks.

    Raises
    ------
    InputError, BusyError, GoneError, ComputeError
        Nothing of the file is kept.
    """
    try:
        return _analysis(source, predictor, folder, max_bytes, series, caller)
    except MemoryError as error:
        logger.error("The memory was not enough for a scan")
        raise ComputeError(
            "This scan needs more memory than the server has free",
            "Try again later, or crop the scan around the hippocampus.",
        ) from error


def _analysis(
    source: Source, predictor: Predictor, folder: Path, max_bytes: int, series: str, caller: Caller
) -> Analysis:
    steps = _StepClock(caller.on_step)
    steps.begin("check")
    predictor.check_queue()
    with vetted(source, folder, max_bytes, series) as file:
        steps.begin("wait")
        with predictor.slot(caller.user, caller.on_place, caller.gone):
            steps.begin("orient")
            image = volume.load(file)
            steps.begin("segment")
            segmentation = predictor.segment(image, caller.gone)
            steps.begin("measure")
            extent = content_extent(image.voxels.stored)
            segmentation, measures, of_mask = appraise(segmentation, extent)
            mask_file = segmentation.mask_file()
    return Analysis(
        segmentation, measures, (*image.findings, *of_mask), file.sha256, file.size_bytes,
        mask_file, steps.timings_s(segmentation.timings_s), extent, file.origin,
    )  # fmt: skip


class _StepClock:
    """Announces the steps of an analysis and times them."""

    def __init__(self, on_step: Callable[[Step], None]) -> None:
        self._on_step = on_step
        self._begun: list[tuple[Step, float]] = []

    def begin(self, step: Step) -> None:
        self._begun.append((step, time.perf_counter()))
        self._on_step(step)

    def timings_s(self, of_segment: dict[str, float]) -> dict[str, float]:
        """Seconds by step until now, those within ``segment`` after it, and the total."""
        starts = [at for _, at in self._begun]
        ends = [*starts[1:], time.perf_counter()]
        timings_s: dict[str, float] = {}
        for (step, start), end in zip(self._begun, ends, strict=True):
            timings_s[step] = end - start
            if step == "segment":
                timings_s |= {f"segment_{part}": s for part, s in of_segment.items()}
        timings_s["total"] = ends[-1] - starts[0]
        return {name: round(seconds, 4) for name, seconds in timings_s.items()}


def expected_of(segmentation: Segmentation) -> Expected:
    """By mask of a segmentation, what is expected of it."""
    if segmentation.head is None:
        return {} if segmentation.expected is None else {CROP: segmentation.expected}
    return {
        name: side.expected
        for name, side in segmentation.head.sides.items()
        if side.expected is not None
    }


def appraise(
    segmentation: Segmentation, extent: Extent
) -> tuple[Segmentation, Measures, Sequence[Finding]]:
    """Measure a segmentation; of a head, also judge it. Returns it with measures and findings."""
    labels, affine = segmentation.labels, segmentation.volume.affine
    if segmentation.head is None:
        measures = measure(labels, affine, extent)
        is_cut = CUT in measures.too_small.get("total", {})
        of_scan = contrast.crop_findings(
            segmentation.volume.data, segmentation.volume.spacing_mm,
            limits.LEAST_CUT_CROP_CONTRAST if is_cut else limits.LEAST_CROP_CONTRAST,
        )  # fmt: skip
        expected = expected_of(segmentation)
        of_mask = assess(labels, measures, expected)
        return segmentation, with_intervals(measures, expected), of_scan + of_mask
    appraisal = appraise_head(labels, affine, segmentation.head.as_dict(), extent)
    word, reasons = appraisal.judgement.confidence, appraisal.judgement.reasons
    judged = replace(
        segmentation, head=replace(segmentation.head, confidence=word, reasons=reasons)
    )
    of_scan = [] if segmentation.head.is_t1 else [contrast.contrast_finding()]
    return judged, appraisal.measures, [*appraisal.findings, *of_scan]
