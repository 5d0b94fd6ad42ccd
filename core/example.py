"""The example: an averaged brain, cropped around its left hippocampus."""

import nibabel as nib
import numpy as np

NAME = "Example (MNI152 average brain)"
# Centre of the template's left hippocampus, and where a centre lies in Task04's crops
# against the crop's own, both in mm (RAS), measured; 1 mm lower in the crop than the mean of
# Task04 (-2.3), where the mask would touch the crop's lower face.
_HIPPOCAMPUS_MM = np.array((-25.7, -22.0, -14.3))
_OFFSET_MM = np.array((-2.4, 1.3, -1.3))
_SIZE_VOXELS = np.array((35, 50, 35))


def example_file() -> bytes:
    """A ``.nii`` crop of the ICBM 152 template that the nilearn package ships, 1 mm.

    Fonov et al., Unbiased nonlinear average age-appropriate brain templates, 2009.
    """
    # nilearn brings scikit-learn along, seconds of import that only the example needs.
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=1)
    to_voxels = np.linalg.inv(template.affine)
    centre = nib.affines.apply_affine(to_voxels, _HIPPOCAMPUS_MM - _OFFSET_MM)
    start = np.round(centre - (_SIZE_VOXELS - 1) / 2).astype(int)
    stop = start + _SIZE_VOXELS
    crop = template.slicer[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    image = nib.Nifti1Image(crop.get_fdata().astype(np.float32), crop.affine)
    return bytes(image.to_bytes())
