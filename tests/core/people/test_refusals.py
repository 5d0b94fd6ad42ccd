"""Refusals: each is in the trail, and nobody grows it by being refused."""

import threading
from dataclasses import replace

import pytest

from core.cases.store import Cases
from core.errors import AccessError, ForbiddenError, NotFoundError, StorageError
from core.people import refusals
from core.people.acting import NOBODY, SERVER, Actor, acting_as
from core.people.audit import lines, mark
from core.people.limits import MAX_REFUSED_STRANGERS, REFUSED_AGAIN_S
from core.people.refusals import refusals_of
from core.state.storage import LocalStorage
from tests.tiny import analysis


@pytest.fixture
def trail(people):
    """The refusals of a house whose clock a test sets."""
    kept = refusals_of(people.engine)
    kept.clock = people.clock
    return kept


def told(people):
    return [(line.who, line.note) for line in lines(people.engine, act="refused")][::-1]


def refused(people, who, times=1):
    for _ in range(times):
        with acting_as(who), pytest.raises(ForbiddenError):
            people.accounts.guard.require("models")


def test_who_may_not_leaves_a_line_with_the_address_at_the_next_tick(people, trail):
    anna = replace(people.actor("Anna", "reader"), address="10.0.0.7")
    refused(people, anna)
    assert told(people) == []  # nobody waits for the database
    trail.tick()
    assert told(people) == [(anna.id, "may not put model versions into service")]
    assert lines(people.engine, act="refused")[0].address == "10.0.0.7"
    with acting_as(anna), pytest.raises(ForbiddenError):
        people.accounts.add("X", "reader")  # another act is another line
    trail.tick()
    assert told(people)[1] == (anna.id, "may not change accounts, roles, groups and tokens")


def test_a_case_of_another_group_is_a_refusal_and_one_that_is_none_is_not(people, trail, tmp_path):
    cases = Cases(people.engine, LocalStorage(tmp_path / "storage"))
    with acting_as(SERVER):
        case_id = cases.add(analysis(1), "a scan").id
    anna = people.actor("Anna", "reader", ["memory"])
    for ask in (lambda one: cases.get(one), lambda one: cases.acts.admit(one, "review")):
        for one in (case_id, "HV-AAAAAA"):
            with acting_as(anna), pytest.raises(NotFoundError):
                ask(one)
    trail.tick()
    line = lines(people.engine, act="refused")[0]
    assert told(people) == [(anna.id, "a case of another group: 2 times")]
    assert line.what == mark(people.engine, "case", case_id)


def test_who_goes_on_for_a_day_grows_the_trail_by_few_lines_and_all_are_counted(people, trail):
    anna, ben = people.actor("Anna", "reader"), people.actor("Ben", "reader")
    for minute in range(24 * 60):
        refused(people, anna, 3)
        people.clock.now_s = 1000.0 + 60 * minute
        trail.tick()
    assert len(told(people)) <= 31
    refused(people, ben)
    trail.close()  # what is not due yet as well
    notes = [note for who, note in told(people) if who == anna.id]
    assert sum(int(note.rsplit(": ", 1)[1].removesuffix(" times")) for note in notes) == 4320
    assert told(people)[-1][0] in (anna.id, ben.id)
    assert [who for who, _ in told(people)].count(ben.id) == 1


def test_after_a_pause_a_refusal_is_a_first_one_again(people, trail):
    anna = people.actor("Anna", "reader")
    refused(people, anna)
    trail.tick()
    people.clock.now_s += REFUSED_AGAIN_S
    trail.tick()
    refused(people, anna)
    trail.tick()
    assert len(told(people)) == 2


def test_strangers_with_many_addresses_have_few_lines_and_are_counted(people, trail):
    with pytest.raises(AccessError):
        people.sign_ins.check("Nobody", "a wrong password", "10.0.0.0")
    for number in range(1, 1000):
        stranger = replace(NOBODY, id="", address=f"10.0.{number // 250}.{number % 250}")
        trail.note("wrong name or password", by=stranger)
        if number % 100 == 0:
            people.clock.now_s += 1
            trail.tick()
    trail.close()
    notes = [note for _, note in told(people)]
    assert len(notes) <= MAX_REFUSED_STRANGERS + 2
    further = [int(n.rsplit(": ", 1)[1].split()[0]) for n in notes if ": " in n]
    assert len(notes) - len(further) + sum(further) == 1000
    assert len(trail._noted) == 0
    people.clock.now_s += 3600
    trail.note("a token", by=replace(NOBODY, id="", address="10.9.9.9"))
    trail.tick()
    assert lines(people.engine, act="refused")[0].address == "10.9.9.9"


def test_refusals_that_cannot_be_written_are_written_later(people, trail, monkeypatch):
    anna = people.actor("Anna", "reader")
    refused(people, anna, 2)

    def fail(*args, **words):
        raise StorageError("The disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(refusals, "record", fail)
        with pytest.raises(StorageError):
            trail.tick()
        refused(people, anna)
        trail.tick()  # waits, and does not fill the log
    people.clock.now_s += REFUSED_AGAIN_S
    trail.tick()
    assert told(people) == [(anna.id, "may not put model versions into service: 3 times")]


def test_many_threads_lose_none(people, trail):
    anna = people.actor("Anna", "reader")
    threads = [threading.Thread(target=refused, args=(people, anna, 50)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        people.clock.now_s += 3600
        trail.tick()
    trail.close()
    counts = [n.rsplit(": ", 1)[1].split()[0] for _, n in told(people) if ": " in n]
    single = sum(": " not in note for _, note in told(people))
    assert single + sum(map(int, counts)) == 400


def test_somebody_who_may_leaves_none(people, trail):
    with acting_as(people.actor("Anna", "reader")):
        people.accounts.guard.require("see")
    with acting_as(Actor("x", "x", "nobody")), pytest.raises(AccessError):
        people.accounts.guard.require("see")
    trail.tick()
    assert told(people) == []
