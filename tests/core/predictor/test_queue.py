import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BusyError, GoneError
from core.predictor.queue import FairQueue
from tests.waiting import until


class Line:
    """Callers of a queue, each on a thread of its own, and the order in which they got turns."""

    def __init__(self, turns: FairQueue) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.places: dict[str, list[int]] = {}
        self.errors: dict[str, Exception] = {}
        self.threads: list[threading.Thread] = []

    def join(self, name: str, user: str = "", gone=lambda: False) -> None:
        """Queue up; returns once the caller waits."""
        before = self.turns.waiting
        self.places[name] = []
        self.threads.append(threading.Thread(target=self._work, args=(name, user, gone)))
        self.threads[-1].start()
        until(lambda: self.turns.waiting > before, poll_s=0.005)

    def _work(self, name, user, gone) -> None:
        try:
            with self.turns.slot(user, self.places[name].append, gone):
                self.order.append(name)
        except (BusyError, GoneError) as error:
            self.errors[name] = error

    def end(self) -> list[str]:
        for thread in self.threads:
            thread.join(30)
        return self.order


def turns(size=10, width=1) -> FairQueue:
    return FairQueue(size, width, clock=lambda: 0.0)


def test_turns_of_one_user_are_given_in_the_order_of_asking():
    line = Line(turns())
    with line.turns.slot():
        for number in range(10):
            line.join(str(number))
    assert line.end() == [str(number) for number in range(10)]


def test_who_has_one_scan_does_not_wait_for_fifty_of_another():
    line = Line(turns(100))
    with line.turns.slot("nurse"):
        for number in range(50):
            line.join(f"nurse {number}", "nurse")
        line.join("doctor", "doctor")
        line.join("other", "other")
        line.join("doctor again", "doctor")
    assert line.end()[:6] == ["doctor", "other", "nurse 0", "doctor again", "nurse 1", "nurse 2"]


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_nobody_who_waits_is_more_than_one_turn_behind(users):
    line = Line(turns(20))
    with line.turns.slot("first"):
        for number, user in enumerate(users):
            line.join(f"{user}{number}", user)
    order = line.end()
    assert sorted(order) == sorted(f"{user}{number}" for number, user in enumerate(users))
    for at in range(len(order)):
        served = Counter(name[0] for name in order[:at])
        waiting = {name[0] for name in order[at:]}
        assert min(served[user] for user in waiting) >= max(served.values(), default=0) - 1
    for user in set(users):
        own = [int(name[1:]) for name in order if name[0] == user]
        assert own == sorted(own)


def test_a_full_queue_refuses_with_a_time_to_come_back():
    line = Line(turns(size=1))
    with line.turns.slot():
        line.turns.check()
        line.join("waits")
        with pytest.raises(BusyError):
            line.turns.check()
        with pytest.raises(BusyError) as refused, line.turns.slot():
            pytest.fail("there was no room")
        assert refused.value.retry_after_s >= 1
    assert line.end() == ["waits"]


def test_two_have_a_turn_at_the_same_time_and_the_third_waits():
    line = Line(turns(width=2))
    with line.turns.slot(), line.turns.slot():
        line.join("third")
        assert line.order == []
    assert line.end() == ["third"]


def test_a_place_is_told_and_moves_up_when_one_leaves():
    line = Line(turns())
    left = threading.Event()
    with line.turns.slot():
        line.join("impatient", "a", left.is_set)
        line.join("patient", "b")
        until(lambda: line.places["patient"])
        assert line.places["patient"][0] == 2
        left.set()
        until(lambda: line.places["patient"][-1] == 1)
    assert line.end() == ["patient"]
    assert isinstance(line.errors["impatient"], GoneError)
    assert line.turns.waiting == 0


def test_whoever_cannot_be_told_its_place_frees_it():
    made = turns()

    def interrupted(place: int) -> None:
        raise KeyboardInterrupt

    with made.slot():
        with pytest.raises(KeyboardInterrupt), made.slot("", interrupted):
            pytest.fail("there was no turn to have")
        assert made.waiting == 0
    with made.slot():
        pass


def test_a_free_turn_is_as_good_as_taken_by_who_waited_for_it():
    """The first of the line is told its place, and has not noticed that its turn has come."""
    line = Line(turns(size=1))
    told, go_on = threading.Event(), threading.Event()

    def slow_to_notice() -> bool:
        told.set()
        return not go_on.wait(30)

    with line.turns.slot():
        line.join("slow", "a", slow_to_notice)
        assert told.wait(30)
    assert line.turns.waiting == 0
    line.join("next", "b")
    with pytest.raises(BusyError), line.turns.slot("c"):
        pytest.fail("there was no room")
    go_on.set()
    assert line.end() == ["slow", "next"]


def test_a_queue_that_ends_sends_away_who_waits_and_lets_who_runs_go_on():
    line = Line(turns())
    with line.turns.slot():
        line.join("waiting")
        line.turns.end()
        assert line.end() == []
        assert isinstance(line.errors["waiting"], BusyError)
        assert line.errors["waiting"].retry_after_s > 0
        with pytest.raises(BusyError, match="being stopped"):
            line.turns.check()
    assert line.turns.waiting == 0
