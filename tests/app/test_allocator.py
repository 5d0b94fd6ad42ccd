"""What is freed goes back to the system."""

import subprocess
import sys

import pytest

from core.settings import ROOT

_SCRIPT = """
import sys, threading
import numpy as np
from pathlib import Path
from app.allocator import give_memory_back

def resident_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

if sys.argv[1] == "with" and not give_memory_back():
    sys.exit("another allocator")
kept = []

def work(number):
    for _ in range(3):  # glibc learns from what is freed
        arrays = [np.ones((n + number) * 2**18, np.float64) for n in range(8)]
        kept.append(np.ones(2000))
        del arrays

before = resident_mib()
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident_mib() - before)
"""


def grew_mib(how: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, how], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    if "another allocator" in done.stderr:
        pytest.skip("this system's allocator is not glibc's")
    return float(done.stdout)


def test_arrays_of_many_threads_go_back():
    """Eight threads free up to 184 MiB each."""
    assert grew_mib("with") < 40
