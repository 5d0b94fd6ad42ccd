"""The example: an averaged brain, cropped around its left hippocampus."""

import importlib.util
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from core.localise import LEFT_MM

NAME = "Example (MNI152 average brain)"
# Centre of the template's left hippocampus, and where a centre lies in Task04's crops
# against the crop's own, both in mm (RAS), measured; 1 mm lower in the crop than the mean of
# Task04 (-2.3), where the mask would touch the crop's lower face.
_OFFSET_MM = np.array((-2.4, 1.3, -1.3))
_TEMPLATE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_SIZE_VOXELS = np.array((35, 50, 35))


def example_file() -> bytes:
    """A ``.nii`` crop of the ICBM 152 template that the nilearn package ships, 1 mm.

    Fonov et al., Unbiased nonlinear average age-appropriate brain templates, 2009.
    """
    template: Any = nib.load(template_file("t1"))
    to_voxels = np.linalg.inv(template.affine)
    centre = nib.affines.apply_affine(to_voxels, LEFT_MM - _OFFSET_MM)
    start = np.round(centre - (_SIZE_VOXELS - 1) / 2).astype(int)
    stop = start + _SIZE_VOXELS
    crop = template.slicer[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    values = np.asarray(crop.dataobj).astype(np.float32) / np.float32(template.dataobj[:].max())
    return bytes(nib.Nifti1Image(values, crop.affine).to_bytes())


def template_file(kind: str) -> Path:
    """nilearn's file of the template: its picture ``t1``, or the tissue maps ``gm`` and ``wm``.

    Without nilearn, which brings scikit-learn, seconds of import, along.
    """
    found = importlib.util.find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("nilearn")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / _TEMPLATE.format(kind)
