"""Waiting for what a process of its own does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], timeout_s: float = 240, poll_s: float = 0.2) -> T:
    """Look again and again until something true is seen, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {timeout_s} s, last: {seen!r}")
        time.sleep(poll_s)  # between two looks
    return seen
