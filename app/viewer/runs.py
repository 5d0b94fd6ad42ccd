"""Run-length coded labels: small enough for a page that is being closed to send.

A browser lets it send 64 KiB and gives it no time to compress. A run is a byte, the label, and
how many voxels have it: 7 bits a byte, the lowest first, the highest bit set where more follow
(as in Protocol Buffers). The mask of the template head takes 3 KiB.
"""

import gzip
from collections.abc import Iterator

import numpy as np

from core.errors import InputError

RUNS = "application/x-hippoview-runs"
# What browsers let a page send while it is closed (Fetch standard, keepalive).
_MOST_BYTES = 64 * 1024
_MORE = 0x80


def packed_of(runs: bytes, voxel_count: int) -> bytes:
    r"""The labels as gzip, as `core.cases.drafts.Drafts.keep` takes them.

    Raises
    ------
    InputError
        The runs are too long or cut off, or do not hold as many voxels.

    >>> gzip.decompress(packed_of(bytes([0, 2, 1, 3]), 5))
    b'\x00\x00\x01\x01\x01'
    """
    values: list[int] = []
    counts: list[int] = []
    rest = iter(runs if len(runs) <= _MOST_BYTES else b"")
    for value in rest:
        values.append(value)
        counts.append(_count(rest))
    if sum(counts) != voxel_count:
        raise _bad_runs()
    labels = np.repeat(np.array(values, np.uint8), counts)
    return gzip.compress(labels.tobytes(), compresslevel=1, mtime=0)


def _count(rest: Iterator[int]) -> int:
    count = shift = 0
    for byte in rest:
        count |= (byte & ~_MORE) << shift
        shift += 7
        if not byte & _MORE:
            return count
    raise _bad_runs()


def _bad_runs() -> InputError:
    return InputError(
        "The drawn labels do not fit this case", "Reload the page and draw again.",
        code="bad_labels",
    )  # fmt: skip
