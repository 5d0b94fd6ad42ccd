"""Labels as a browser sends them: in RAS+, uint8, the first axis fastest, as gzip."""

import zlib

import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.errors import InputError
from core.image.header import Header
from core.image.volume import to_ras


def ras_shape(header: Header) -> tuple[int, int, int]:
    """Shape of a file's voxels once they are turned to RAS+."""
    x, y, z = to_ras(np.empty(header.shape, np.bool_), header).shape
    return x, y, z


def unpacked(packed: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Labels that a browser sent, never more of them than there are voxels.

    Parameters
    ----------
    packed
        As the module says.
    shape
        Of the case in RAS+: ``(X, Y, Z)``.

    Returns
    -------
    labels : (X, Y, Z) uint8, RAS+

    Raises
    ------
    InputError
        Not gzip, another number of voxels, or another value than a label's.
    """
    count = int(np.prod(shape))
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        raw = unzip.decompress(packed, count + 1)
    except zlib.error as error:
        raise _bad_labels() from error
    if len(raw) != count or not unzip.eof:
        raise _bad_labels()
    labels = np.frombuffer(raw, np.uint8)
    if not np.isin(labels, (0, *LABELS.values())).all():
        raise _bad_labels()
    return labels.reshape(shape, order="F")


def _bad_labels() -> InputError:
    return InputError(
        "The drawn labels do not fit this case",
        "Reload the page and draw again.",
        code="bad_labels",
    )
