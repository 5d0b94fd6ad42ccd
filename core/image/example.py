"""The example: an averaged brain, cropped around its left hippocampus."""

import importlib.util
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.anatomy import LEFT_MM

NAME = "Example (MNI152 average brain)"
# From the crop's centre to the hippocampus', mm (RAS).
_OFFSET_MM = np.array((-0.7, 0.8, -1.3))
# The average brain is larger than real ones and its hippocampus steeper than in Task04: unscaled
# and untilted, a crop of Task04's size would cut it off.
_SCALE = 1.08
_PITCH_DEG = -15.0
_TEMPLATE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_SIZE_VOXELS = np.array((35, 50, 35))


def example_file() -> bytes:
    """A ``.nii`` crop, 1 mm, of the ICBM 152 template that the nilearn package ships.

    Fonov et al., Unbiased nonlinear average age-appropriate brain templates, 2009.
    """
    template: Any = nib.load(template_file("t1"))
    values = np.asarray(template.dataobj, np.float32)
    centre = nib.affines.apply_affine(np.linalg.inv(template.affine), LEFT_MM)
    crop_centre = (_SIZE_VOXELS - 1) / 2 + _OFFSET_MM
    sin, cos = np.sin(np.radians(_PITCH_DEG)), np.cos(np.radians(_PITCH_DEG))
    turn = _SCALE * np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    crop = ndimage.affine_transform(
        values / values.max(), turn, centre - turn @ crop_centre, tuple(_SIZE_VOXELS), order=1
    )
    affine = np.eye(4)
    affine[:3, 3] = LEFT_MM - crop_centre
    return bytes(nib.Nifti1Image(crop, affine).to_bytes())


def values_of(file: bytes) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Voxels (RAS+) and their size in mm of what `example_file` returned."""
    image: Any = nib.Nifti1Image.from_bytes(file)
    return np.asarray(image.dataobj, np.float32), image.header.get_zooms()[:3]


def template_file(kind: str) -> Path:
    """nilearn's file of the template: the image ``t1``, or a tissue map, ``gm`` or ``wm``.

    nilearn itself is not imported: that would import scikit-learn, which takes seconds.
    """
    package = importlib.util.find_spec("nilearn")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("nilearn")
    return (
        Path(package.submodule_search_locations[0]) / "datasets" / "data" / _TEMPLATE.format(kind)
    )
