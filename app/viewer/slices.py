"""Slices in the browser, drawn by NiiVue (niivue-streamlit, BSD-2, works without a network).

docs/decisions/0001-viewer.md says why this component, and what it cannot do.
"""

import base64
import hashlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import streamlit as st
from streamlit.components.v1 import declare_component

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
_STYLE = """<style>
button.text-outline { display: none }
body, body * { background-color: black }
</style>"""
# NiiVue's own defaults, which the component does not let through: letters on all four sides
# of a pane, large and in a colour that stands out on black, grey and white; no foreign file
# dropped onto the picture.
LETTER_RGB = (219, 26, 158)
_OPTIONS = {
    "fontMinPx:13": "fontMinPx:20",
    "fontColor:[.5,.5,.5,1]": f"fontColor:{[round(c / 255, 3) for c in LETTER_RGB] + [1]}",
    "showAllOrientationMarkers:!1": "showAllOrientationMarkers:!0",
    "dragAndDropEnabled:!0": "dragAndDropEnabled:!1",
}
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
    images: CaseImages,
    shown: Collection[str],
    *,
    layout: Layout,
    opacity: float,
    convention: Convention,
    height_px: int,
    cache_dir: Path,
    key: str,
) -> None:
    """Draw the viewer. Scrolling and the crosshair stay in the browser.

    Parameters
    ----------
    shown
        Names of the labels that are drawn.
    opacity
        From 0 to 1.
    cache_dir
        Where the component's files are kept.
    key
        One for each case: the component tells two scans of one size apart by little.
    """
    # The arguments are those of niivue_component.niivue_viewer. It takes an overlay for new
    # when its name, opacity or length differ, never its content: the name says what is shown.
    _component(cache_dir)(
        nifti_data=base64.b64encode(image_file(images)).decode(),
        filename="scan.nii",
        overlays=[
            {
                "data": base64.b64encode(overlay_file(images, shown)).decode(),
                "name": f"labels-{'-'.join(shown)}.nii",
                "opacity": opacity,
                "colormap": "gray",
            }
        ],
        height=height_px,
        view_mode=layout,
        styled=False,
        settings={
            "crosshair": _CROSSHAIR_WIDTH,
            "radiological": convention == "radiological",
            "interpolation": False,
        },
        update_interval_ms=None,
        default=None,
        key=key,
    )


@st.cache_resource(show_spinner=False)
def _component(cache_dir: Path) -> Callable[..., Any]:
    """niivue-streamlit's own files, copied once, with our style and options on top.

    It draws an X that takes the picture away for good, and a navy background.
    """
    version = importlib.metadata.version("niivue-streamlit")
    ours = hashlib.sha256(f"{_STYLE}{_OPTIONS}".encode()).hexdigest()[:8]
    folder = cache_dir / f"niivue-{version}-{ours}"
    if not folder.is_dir():
        package = importlib.util.find_spec("niivue_component")
        if package is None or package.origin is None:
            raise ModuleNotFoundError("niivue-streamlit is not installed")
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as name:
            copy = Path(name) / "build"
            shutil.copytree(Path(package.origin).parent / "frontend" / "build", copy)
            index = copy / "index.html"
            index.write_text(index.read_text().replace("</head>", f"{_STYLE}</head>"))
            script = copy / "assets" / "index.js"
            script.write_text(_with_options(script.read_text()))
            copy.rename(folder)
    component: Callable[..., Any] = declare_component("slices", path=str(folder))
    return component


def _with_options(script: str) -> str:
    for theirs, ours in _OPTIONS.items():
        if script.count(theirs) != 1:
            raise ValueError(f"this niivue-streamlit has no single {theirs!r} to replace")
        script = script.replace(theirs, ours)
    return script
