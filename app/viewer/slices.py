"""Slices in the browser, drawn by NiiVue (niivue-streamlit, BSD-2, works without a network).

docs/decisions/0001-viewer.md says why this component, and what it cannot do.
"""

from collections.abc import Collection
from typing import Literal

import nibabel as nib
import numpy as np
from niivue_component import niivue_viewer

from core.cases import CaseImages
from core.colours import LABEL_RGB
from core.segmentation import LABELS
from core.strip import Convention

Layout = Literal["multiplanar", "axial", "coronal", "sagittal", "3d"]
LAYOUTS: dict[Layout, str] = {
    "multiplanar": "All",
    "axial": "Axial",
    "coronal": "Coronal",
    "sagittal": "Sagittal",
    "3d": "3-D",
}
_RGBA = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
# The component passes this on as the width of the crosshair, in voxels.
_CROSSHAIR_WIDTH = 0.15


def image_file(images: CaseImages) -> bytes:
    """The scan as NIfTI for the browser, its window set to the 2nd to 98th percentile."""
    image = nib.Nifti1Image(images.values, images.affine)
    low, high = np.percentile(images.values, (2, 98))
    image.header["cal_min"], image.header["cal_max"] = low, max(high, low + 1e-6)
    return bytes(image.to_bytes())


def overlay_file(images: CaseImages, shown: Collection[str]) -> bytes:
    """The labels as colours with transparency: NIfTI's RGBA, so that they are exactly ours."""
    coloured = np.zeros(images.labels.shape, _RGBA)
    for name in shown:
        inside = images.labels == LABELS[name]
        for channel, value in zip("RGBA", (*LABEL_RGB[name], 255), strict=True):
            coloured[channel][inside] = value
    return bytes(nib.Nifti1Image(coloured, images.affine).to_bytes())


def show_slices(
    image: bytes,
    overlay: bytes,
    *,
    layout: Layout,
    opacity: float,
    convention: Convention,
    height_px: int,
    key: str,
) -> None:
    """Draw the viewer. Scrolling and the crosshair stay in the browser."""
    niivue_viewer(
        nifti_data=image,
        filename="scan.nii",
        overlays=[{"data": overlay, "name": "labels.nii", "opacity": opacity, "colormap": "gray"}],
        height=height_px,
        view_mode=layout,
        styled=False,
        settings={
            "crosshair": _CROSSHAIR_WIDTH,
            "radiological": convention == "radiological",
            "interpolation": False,
        },
        update_interval_ms=None,
        key=key,
    )
