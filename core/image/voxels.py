"""A scan's voxels as the file stores them, mapped into memory and scaled when they are read.

A head of 512 x 512 x 512 voxels is 256 MiB on the disk as int16 and 1 GiB in memory as float64:
so the file is mapped, and each step reads only the part that it needs.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.image.header import Header

Box = tuple[slice, slice, slice]
WHOLE: Box = (slice(None), slice(None), slice(None))
# Voxels that a pass over all of them reads at once: 16 MiB as float64.
SLAB_VOXELS = 2_000_000
# Smaller files are read completely: a mapped one keeps a file descriptor open.
_MAPPED_BYTES = 4 * 1024 * 1024
# Types whose values float32 represents exactly.
_EXACT = ("i1", "u1", "i2", "u2", "f4")


@dataclass(frozen=True, eq=False)
class Voxels:
    """The values of one image, read by parts.

    Attributes
    ----------
    stored : ndarray, shape (X, Y, Z)
        In the file's own type; a view, whose axes may be swapped and flipped.
    slope, inter : float
        Value = stored * slope + inter.
    background : float or None
        Replaces values that are not finite; None where all are finite, or nobody checked.
    """

    stored: NDArray[Any]
    slope: float = 1.0
    inter: float = 0.0
    background: float | None = None
    _mapped: mmap.mmap | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        x, y, z = self.stored.shape
        return x, y, z

    def read(self, box: Box = WHOLE) -> NDArray[np.float64]:
        """The scaled values of a box, as a new array."""
        values = self.stored[box].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.slope != 1:
                values *= self.slope
            if self.inter != 0:
                values += self.inter
        if self.background is not None:
            values[~is_finite(values)] = self.background
        return values

    def read_float32(self, box: Box = WHOLE) -> NDArray[np.float32]:
        """The scaled values of a box, rounded to float32."""
        is_plain = self.slope == 1 and self.inter == 0 and self.background is None
        if is_plain and self.stored.dtype.newbyteorder("=") in _EXACT:
            return self.stored[box].astype(np.float32)
        return self.read(box).astype(np.float32)

    def at(self, indices: NDArray[np.intp]) -> NDArray[np.float64]:
        """The values of single voxels.

        Parameters
        ----------
        indices : ndarray, shape (N, 3)
        """
        x, y, z = indices.T
        single = self.with_stored(self.stored[x, y, z].reshape(1, 1, -1))
        return single.read().ravel()

    def with_stored(self, stored: NDArray[Any]) -> "Voxels":
        """The same scaling for another view of the stored values."""
        return replace(self, stored=stored)

    def sample(self, most: int) -> NDArray[np.float64]:
        """About ``most`` values, of evenly spaced voxels."""
        every = max(1, round((self.stored.size / most) ** (1 / 3)))
        thin = slice(None, None, every)
        return self.read((thin, thin, thin)).ravel()

    def slabs(
        self, voxels: int = SLAB_VOXELS, step: int = 1, axis: int | None = None
    ) -> Iterator[Box]:
        """Boxes that together cover the array, each of about ``voxels`` voxels.

        The pages of a mapped file that one box read are released before the next.

        Parameters
        ----------
        step
            The thickness of each box is a multiple of this, where possible.
        axis
            The axis to cut along; by default the slowest in memory, which reads fastest.
        """
        axis = self.slowest_axis if axis is None else axis
        count = self.shape[axis]
        across = max(1, self.stored.size // count)
        thickness = max(1, voxels // across // step) * step
        for start in range(0, count, thickness):
            box = list(WHOLE)
            box[axis] = slice(start, min(count, start + thickness))
            yield box[0], box[1], box[2]
            if self._mapped is not None:
                self._mapped.madvise(mmap.MADV_DONTNEED)

    @property
    def slowest_axis(self) -> int:
        """The axis along which neighbours lie farthest apart in the memory."""
        return int(np.argmax(np.abs(self.stored.strides)))


def is_finite(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each value is finite and not absurdly large."""
    finite: NDArray[np.bool_] = np.abs(values) < limits.LARGEST_VALUE
    return finite


def range_of(voxels: Voxels) -> tuple[float, float, int]:
    """The lowest and the highest finite value, and how many values are not finite.

    NaN, NaN and all where none is finite.
    """
    low, high, bad = np.inf, -np.inf, 0
    for box in voxels.slabs():
        stored = voxels.stored[box]
        ends = replace(voxels, stored=np.array([[[stored.min(), stored.max()]]])).read()
        if is_finite(ends).all():  # scaling keeps the order or turns it round
            low, high = min(low, float(ends.min())), max(high, float(ends.max()))
            continue
        values = voxels.read(box)
        finite = is_finite(values)
        bad += int(values.size - np.count_nonzero(finite))
        if finite.any():
            low = min(low, float(values.min(where=finite, initial=np.inf)))
            high = max(high, float(values.max(where=finite, initial=-np.inf)))
    return (np.nan, np.nan, bad) if low > high else (low, high, bad)


def block_means(voxels: Voxels, factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means of blocks of voxels, in float32; an incomplete last block is dropped."""
    counts = [n // f for n, f in zip(voxels.shape, factors, strict=True)]
    kept = tuple(slice(0, n * f) for n, f in zip(counts, factors, strict=True))
    cut = voxels.with_stored(voxels.stored[kept])
    axis = cut.slowest_axis
    means = np.empty(counts, np.float32)
    for box in cut.slabs(step=factors[axis]):
        part = cut.read_float32(box)
        for along, factor in enumerate(factors):
            part = _means(part, along, factor)
        into = list(WHOLE)
        into[axis] = slice(box[axis].start // factors[axis], box[axis].stop // factors[axis])
        means[tuple(into)] = part
    return means


def _means(values: NDArray[np.float32], axis: int, factor: int) -> NDArray[np.float32]:
    if factor == 1:
        return values
    along = np.moveaxis(values, axis, 0)
    total = along[::factor].copy(order="K")
    for start in range(1, factor):
        total += along[start::factor]
    total /= np.float32(factor)
    return np.moveaxis(total, 0, axis)


def with_background(voxels: Voxels) -> Voxels:
    """The voxels, with the lowest finite value in place of values that are not finite."""
    low, _, bad = range_of(voxels)
    return replace(voxels, background=low) if bad else voxels


def is_whole(voxels: Voxels) -> bool:
    """Whether all values are whole numbers."""
    if voxels.stored.dtype.kind in "iu" and voxels.slope % 1 == 0 and voxels.inter % 1 == 0:
        return True
    return all(bool((voxels.read(box) % 1 == 0).all()) for box in voxels.slabs())


def smallest_type(voxels: Voxels) -> type[np.uint8 | np.int16 | np.float32]:
    """The smallest type that holds all values: most scans are whole numbers below 32,768."""
    low, high, bad = range_of(voxels)
    if not bad and is_whole(voxels):
        for whole in (np.uint8, np.int16):
            if np.iinfo(whole).min <= low and high <= np.iinfo(whole).max:
                return whole
    return np.float32


def opened(path: Path, header: Header) -> Voxels:
    """The voxels of a file that `core.image.intake` wrote, along the file's own axes.

    They can be read for as long as they are held, also once the file was removed.
    """
    with path.open("rb") as file:
        return of_file(file, header)


def of_file(file: BinaryIO, header: Header) -> Voxels:
    """As `opened`, of a file that is open; it may be closed afterwards."""
    count = int(np.prod(header.shape, dtype=np.int64))
    if header.data_bytes < _MAPPED_BYTES:
        file.seek(0)
        content = file.read()
        stored = np.frombuffer(content, header.dtype, count, header.clean_offset)
        return Voxels(stored.reshape(header.shape, order="F"), header.slope, header.inter)
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    stored = np.frombuffer(mapped, header.dtype, count, header.clean_offset)
    shaped = stored.reshape(header.shape, order="F")
    return Voxels(shaped, header.slope, header.inter, None, mapped)
