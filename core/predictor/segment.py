"""The one way from a volume to labels: a crop at once, a head by way of its two hippocampi."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.image.volume import Volume
from core.predictor.engine import Engine, ScanRun
from core.predictor.head_segmentation import segment_head
from core.predictor.heads import Head
from core.predictor.signals import CROP


def segment(
    volume: Volume, engine: Engine, run: ScanRun, centres_mm: dict[str, Any] | None = None
) -> tuple[NDArray[np.uint8], Head | None]:
    """Segment a crop or a whole head.

    Parameters
    ----------
    centres_mm
        Of a head: by side, where a person says that a hippocampus is (mm, RAS+).

    Returns
    -------
    labels : ndarray of uint8, shape (X, Y, Z)
        On the volume's grid.
    head : Head or None
        None for a crop.

    Raises
    ------
    InputError
        There is nothing like a hippocampus in a head.
    GoneError
    """
    if volume.is_head:
        return segment_head(volume, engine, run, centres_mm)
    labels = engine.labels(volume.unit, volume.spacing_mm, run)
    run.of_masks[CROP] = run.signals[-1]
    return labels, None
