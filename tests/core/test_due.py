"""Tasks that come back are due at their time, and not sooner."""

import pytest

from core.due import Due
from tests.house import Seconds


@pytest.mark.parametrize("first_after_s", [0.0, 60.0])
def test_a_task_is_due_at_first_and_then_each_so_many_seconds(first_after_s):
    seconds = Seconds()
    task = Due(10.0, seconds, first_after_s)
    assert task.is_now() == (first_after_s == 0)
    seconds.now = first_after_s
    assert task.is_now() == (first_after_s != 0)
    seconds.now += 9.9
    assert not task.is_now()
    seconds.now += 25
    assert task.is_now()  # late, and once
    assert not task.is_now()
