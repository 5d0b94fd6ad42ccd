"""Whole heads with labels, made for tests of the template that a package brings."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from core.anatomy import LEFT_MM, SIDES
from core.image.intake import vetted
from core.image.volume import Volume, load
from core.predictor.localiser import Detection, Location
from tests.scans import template_head

# Half the axes of the ellipsoid that stands for a left hippocampus; a right one is smaller.
HALF_MM = {"left": np.array((7.0, 18.0, 6.5)), "right": np.array((6.5, 16.0, 6.0))}
MIRROR = np.diag((-1.0, 1.0, 1.0, 1.0))


@functools.cache
def head_2mm() -> nib.Nifti1Image:
    """The averaged brain at 2 mm."""
    fine = template_head()
    data = np.asarray(fine.dataobj, np.float32)
    x, y, z = (n // 2 for n in data.shape)
    blocks = data[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2).mean((1, 3, 5))
    change = np.diag((2.0, 2.0, 2.0, 1.0))
    change[:3, 3] = 0.5
    return nib.Nifti1Image(np.round(blocks).astype(np.int16), fine.affine @ change)


def ellipsoid(mm: np.ndarray, side: str) -> np.ndarray:
    """Labels at some places (mm, RAS+) of the template: its middle is the border."""
    off = mm - LEFT_MM * ((1 if side == "left" else -1), 1, 1)
    inside = ((off / HALF_MM[side]) ** 2).sum(-1) < 1
    return np.where(inside, np.where(off[..., 1] > 0, 1, 2), 0).astype(np.uint8)


def head_labels(
    image: nib.Nifti1Image, sides: Sequence[str] = SIDES, *, by_side: bool = False
) -> np.ndarray:
    """An ellipsoid on each side; with ``by_side`` 3 and 4 on the right, as in our side files."""
    places = apply_affine(image.affine, np.moveaxis(np.indices(image.shape), 0, -1))
    labels = np.zeros(image.shape, np.uint8)
    for side in sides:
        of_side = ellipsoid(places, side)
        add = 2 if by_side and side == "right" else 0
        labels[of_side > 0] = of_side[of_side > 0] + add
    return labels


def location(frame: np.ndarray | None = None) -> Location:
    """Where the template lies in its own space, or moved by ``frame``."""
    frame = np.eye(4) if frame is None else frame
    detections = {
        side: Detection(tuple(apply_affine(frame, LEFT_MM * (sign, 1, 1))), 1.0)
        for side, sign in (("left", 1), ("right", -1))
    }
    return Location(detections, 1400.0, frame, 4.0)


def loaded(image: nib.Nifti1Image, folder: Path) -> Volume:
    """An image by way of the intake."""
    with vetted(io.BytesIO(image.to_bytes()), folder) as file:
        return load(file)


def save_head(folder: Path, name: str, labels: np.ndarray | None = None, gain: float = 1.0) -> None:
    """A head and its labels in the Decathlon's layout; another gain makes another head."""
    image = head_2mm()
    data = np.round(np.asarray(image.dataobj) * gain + gain).astype(np.int16)
    labels = head_labels(image) if labels is None else labels
    for part, values in (("imagesTr", data), ("labelsTr", labels)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, image.affine), folder / part / f"{name}.nii.gz")
