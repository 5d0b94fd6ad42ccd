"""Scans for tests: real ones from a package, and files made by hand."""

import functools
import io
import itertools
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from _pytest.mark import ParameterSet
from nibabel.orientations import apply_orientation, inv_ornt_aff
from numpy.typing import NDArray

from core.image.example import example_file, template_file


@functools.cache
def example() -> nib.Nifti1Image:
    """A real crop that needs no data folder: the averaged brain's left hippocampus."""
    return nib.Nifti1Image.from_bytes(example_file_cached())


@functools.cache
def example_file_cached() -> bytes:
    return example_file()


@functools.cache
def template_head() -> nib.Nifti1Image:
    """A whole brain that needs no data folder: the averaged one, 1 mm, without its skull."""
    found: Any = nib.load(template_file("t1"))
    data = np.asarray(found.dataobj, np.float32)
    return image((data / data.max() * 1000).astype(np.int16), found.affine)


def noise(shape: tuple[int, ...] = (35, 50, 35), dtype: Any = np.float32) -> NDArray[Any]:
    """Values that pass for an image."""
    return (np.random.default_rng(0).random(shape) * 1000).astype(dtype)


def image(
    data: NDArray[Any] | None = None,
    affine: Any = None,
    *,
    kind: Any = nib.Nifti1Image,
    **fields: Any,
) -> nib.Nifti1Image:
    """A NIfTI image with header fields set afterwards."""
    made = kind(noise() if data is None else data, np.eye(4) if affine is None else affine)
    for name, value in fields.items():
        made.header[name] = value
    return made


def as_bytes(made: nib.Nifti1Image) -> bytes:
    return bytes(made.to_bytes())


def patched(raw: bytes, field: str, value: Any, *, index: Any = ()) -> bytes:
    """The bytes of a NIfTI-1 file with one header field overwritten, whatever it means."""
    header = np.frombuffer(raw[:348], nib.nifti1.header_dtype).copy()
    header[field][(0, *np.atleast_1d(index)) if index != () else 0] = value
    return header.tobytes() + raw[348:]


def reoriented(original: nib.Nifti1Image, orientation: NDArray[Any]) -> nib.Nifti1Image:
    """The same scan with its voxel axes swapped and flipped, and the affine to match."""
    data = apply_orientation(np.asarray(original.dataobj), orientation)
    affine = original.affine @ inv_ornt_aff(orientation, original.shape)
    made = nib.Nifti1Image(np.ascontiguousarray(data), affine)
    made.set_sform(affine, 2)
    made.set_qform(affine, 1)
    return made


def all_orientations() -> list[NDArray[Any]]:
    """All 48: six orders of the axes, eight flips."""
    return [
        np.array(list(zip(order, flips, strict=True)), dtype=float)
        for order in itertools.permutations(range(3))
        for flips in itertools.product((1, -1), repeat=3)
    ]


# Of each order of the axes one, and all kinds of flips.
OFTEN = (7, 8, 18, 29, 38, 43)


def orders() -> list[ParameterSet]:
    """The numbers of all 48; those that are not tried each time are long."""
    return [
        pytest.param(number, marks=() if number in OFTEN else pytest.mark.long)
        for number in range(48)
    ]


def stream(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)
