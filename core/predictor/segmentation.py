"""What the predictor returns: labels on a volume's grid, and how they were computed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.image import nifti
from core.image.volume import Volume, from_ras
from core.models.folder import Model
from core.predictor.heads import Head
from core.predictor.signals import Signals


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels of one volume.

    Attributes
    ----------
    labels : ndarray of uint8, shape (X, Y, Z)
        On the grid of ``volume``: 0 background, 1 anterior, 2 posterior.
    volume : Volume
    model : Model
    device, backend, precision, mirroring : str
        How it was computed; see `core.predictor.networks.Network` and the setting.
    timings_s : dict of str to float
        Seconds by step.
    head : Head or None
        Of a whole head: its sides, and how far the masks can be trusted once they are judged.
    signals : dict of str to dict
        `core.predictor.signals` of each mask: by side of a head, and `CROP` of a crop.
    expected : dict or None
        Of a crop: `core.predictor.expectation.Expectation.as_dict`; a head's sides have their own.
    not_calibrated : str
        Why nothing is expected of any mask; else empty.
    """

    labels: NDArray[np.uint8]
    volume: Volume
    model: Model
    device: str
    backend: str
    precision: str
    mirroring: str
    timings_s: dict[str, float]
    head: Head | None = None
    signals: dict[str, Signals] = field(default_factory=dict)
    expected: dict[str, Any] | None = None
    not_calibrated: str = ""

    def mask_file(self) -> bytes:
        """The mask as ``.nii.gz`` on the file's own grid and affine."""
        labels = from_ras(self.labels, self.volume.header)
        return nifti.mask_bytes(labels, self.volume.header)
