"""The scan and the mask of a case as the viewer gets them, the latest kept in memory."""

import functools
import gzip
import hashlib
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from core.case import MODEL_MASK, CaseImages
from core.cases import Cases
from core.colours import LABEL_RGB
from core.heads import sides_of
from core.landmarks import landmarks
from core.pipeline import NOTICE
from core.segmentation import LABELS
from core.slice_picture import slice_png
from core.strip import CONVENTION_WORDS, Convention

# Letters in a colour that stands out on black, grey and white.
LETTER_RGB = (219, 26, 158)
# A whole head takes 40 MiB here, a crop 0.3.
_KEPT_CASES = 8
# Percentiles of the scan's values that are drawn black and white.
_WINDOWS = {"2 to 98 %": (2, 98), "all values": (0, 100), "soft, 0.5 to 90 %": (0.5, 90)}
_SMALLEST_WINDOW = 1e-6
_WINDOW_VOXELS = 500_000  # as good as all millions of a head


@dataclass(frozen=True)
class ViewerFile:
    """One file for the browser, ``.nii.gz``, and the hash of its content."""

    content: bytes
    sha256: str


class ViewerFiles:
    """Files of cases for the viewer.

    They are turned to RAS+, so that a voxel's numbers are the same in the viewer, on the page and
    in the measures. A case's scan and the versions of its mask never change, so what is kept stays
    true; whether a case still exists is for the caller to ask.
    """

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        self.images = functools.lru_cache(_KEPT_CASES)(cases.images)
        self.scan = functools.lru_cache(_KEPT_CASES)(self._scan)
        self.mask = functools.lru_cache(2 * _KEPT_CASES)(self._mask)
        self.about = functools.lru_cache(2 * _KEPT_CASES)(self._about)

    def picture(
        self,
        case_id: str,
        version: int,
        axis: int,
        index: int,
        convention: Convention,
        opacity: float,
    ) -> bytes:
        """One slice as PNG, in the first window."""
        window = self.about(case_id, version)["windows"][0]
        return slice_png(
            self.images(case_id, version), axis, index, convention=convention, opacity=opacity,
            window=(window["low"], window["high"]), letter_rgb=LETTER_RGB,
        )  # fmt: skip

    def _scan(self, case_id: str) -> ViewerFile:
        images: CaseImages = self.images(case_id, MODEL_MASK)
        return _file(_short(images.values), images.affine)

    def _mask(self, case_id: str, version: int) -> ViewerFile:
        images: CaseImages = self.images(case_id, version)
        return _file(images.labels.astype(np.uint8), images.affine)

    def _about(self, case_id: str, version: int) -> dict[str, Any]:
        """What the viewer needs to know of a case and a version of its mask beside the files."""
        images: CaseImages = self.images(case_id, version)
        head, where = self._cases.get(case_id).report.get("head"), None
        if head:
            centres = {name: side["centre_mm"] for name, side in head["sides"].items()}
            where = sides_of(images.labels.shape, images.affine, centres)
        values = images.values.ravel()
        some = values[:: max(1, values.size // _WINDOW_VOXELS)]
        some = np.append(some, [values.min(), values.max()])
        windows = []
        for name, percents in _WINDOWS.items():
            low, high = (float(v) for v in np.percentile(some, percents))
            windows.append({"name": name, "low": low, "high": max(high, low + _SMALLEST_WINDOW)})
        return {
            "labels": [
                {"name": name, "value": value, "rgb": list(LABEL_RGB[name])}
                for name, value in LABELS.items()
            ],
            "letters": [round(c / 255, 3) for c in LETTER_RGB] + [1],
            "shape": list(images.values.shape),
            "affine": images.affine.tolist(),
            "conventions": CONVENTION_WORDS,
            "notice": NOTICE,
            "windows": windows,
            "head": head,
            "findings": [place.as_dict() for place in landmarks(images.labels, where)],
        }


def _short(values: NDArray[np.float32]) -> NDArray[Any]:
    """Whole numbers in half as many bytes: most scanners store no others."""
    limits = np.iinfo(np.int16)
    if values.min() < limits.min or values.max() > limits.max:
        return values
    short = values.astype(np.int16)
    return short if np.array_equal(short, values) else values


def _file(values: NDArray[Any], affine: NDArray[np.float64]) -> ViewerFile:
    made = nib.Nifti1Image(values, affine)
    made.header.set_xyzt_units("mm")
    content = gzip.compress(bytes(made.to_bytes()), compresslevel=1, mtime=0)
    return ViewerFile(content, hashlib.sha256(content).hexdigest())
