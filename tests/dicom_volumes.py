"""Volumes that DICOM objects hold, read by pydicom alone."""

from typing import Any

import numpy as np
from pydicom.dataset import Dataset


def volumes_of(seg: Dataset) -> dict[str, Any]:
    """Volume (mm³) of each label of a Segmentation, counted in its frames."""
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    voxel_mm3 = np.prod([*measures.PixelSpacing, measures.SpacingBetweenSlices])
    numbers = [
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    return {
        segment.SegmentLabel.split()[-1]: voxel_mm3
        * sum(int(f.sum()) for f, n in zip(seg.pixel_array, numbers, strict=True)
              if n == segment.SegmentNumber)
        for segment in seg.SegmentSequence
    }  # fmt: skip


def numbers_in(item: Dataset) -> list[float]:
    """All measured values of a structured report."""
    own = [float(value.NumericValue) for value in item.get("MeasuredValueSequence", [])]
    return own + [n for inner in item.get("ContentSequence", []) for n in numbers_in(inner)]
