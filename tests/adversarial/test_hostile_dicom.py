"""DICOM files with changed bytes: a volume or a reason, and nothing else."""

import io
import re
from pathlib import Path

import numpy as np
import pytest

from core.errors import HippoViewError
from core.image.dicom.unpack import zipped
from core.image.intake import vetted
from tests.phantoms import Phantom

SHAPE = (40, 36, 30)
MOST_MIB = 300


def peak_mib():
    """Most memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def files():
    values = np.random.default_rng(3).integers(0, 3000, SHAPE).astype(np.int16)
    made = Phantom(values, np.diag([-1.0, -1.0, 1.0, 1.0]))
    contents = []
    for dataset in (*made.datasets(), made.enhanced()):
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        contents.append(buffer.getvalue())
    return contents[:-1], contents[-1]


def mutated(content, random):
    """Bytes changed, cut out or doubled, mostly in the header."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 6))):
        end = len(changed) if random.random() < 0.2 else min(len(changed), 1600)
        place = int(random.integers(132, end))
        kind = random.integers(4)
        if kind == 0:
            changed[place] = int(random.integers(256))
        elif kind == 1:
            changed[place : place + 4] = random.bytes(4)
        elif kind == 2:
            del changed[place : place + int(random.integers(1, 40))]
        else:
            changed[place:place] = changed[place : place + int(random.integers(1, 40))]
    return bytes(changed)


@pytest.mark.parametrize(
    "count", [150, pytest.param(2000, marks=pytest.mark.long)], ids=["some", "many"]
)
@pytest.mark.filterwarnings("ignore")  # pydicom's, of values that it does not like
def test_a_changed_file_gives_a_volume_or_a_reason(tmp_path, count):
    random = np.random.default_rng(11)
    slices, enhanced = files()
    codes = {}
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before_mib = peak_mib()
    for number in range(count):
        if number % 3:
            content = mutated(enhanced, random)
        else:
            several = list(slices)
            place = int(random.integers(len(several)))
            several[place] = mutated(several[place], random)
            target = io.BytesIO()
            zipped([io.BytesIO(one) for one in several], target)
            content = target.getvalue()
            if number % 2:
                content = mutated(content, random)
        try:
            with vetted(io.BytesIO(content), tmp_path) as file:
                code = "read"
                assert file.header.data_bytes > 0
        except HippoViewError as error:
            code = error.code
        codes[code] = codes.get(code, 0) + 1
        assert not any(tmp_path.iterdir()), code
    assert codes.get("read", 0) > count * 0.1, codes
    assert len(codes) > 4, codes
    # The files take less than 1 MiB: all the rest would be what a changed byte asks for.
    assert peak_mib() - before_mib < MOST_MIB
    print(f"{count} files: {dict(sorted(codes.items()))}, {peak_mib() - before_mib:.0f} MiB")
