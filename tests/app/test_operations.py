"""What the pages say of the cases while not all is well."""

from types import SimpleNamespace

from app.operations import cases_health, cases_words, damaged_words, trash_words
from core.cases.caretaker import Progress, Trash


def health(progress=None, trash=None):
    caretaker = SimpleNamespace(
        progress=progress or Progress(finished=True), trash=trash or Trash()
    )
    return cases_health(SimpleNamespace(cases=SimpleNamespace(caretaker=caretaker)))


def test_nothing_is_said_while_all_is_well():
    well = health()
    assert well["state"] == "ready"
    assert cases_words(well) == damaged_words(well) == trash_words(well) == ""


def test_how_far_the_cases_are_taken_in_is_said_and_why_it_stands_still():
    started = health(Progress())
    assert started["state"] == "taking in"
    assert "(" not in cases_words(started)
    midway = health(Progress(1200, 5000))
    assert "(1,200 of 5,000)" in cases_words(midway)
    failing = health(Progress(1200, 5000, failure="The storage does not answer"))
    assert failing["state"] == "failing"
    assert "does not go on: The storage does not answer" in cases_words(failing)


def test_cases_that_cannot_be_read_are_said():
    seen = health(Progress(5, 5, finished=True, damaged=2))
    assert seen["damaged"] == 2
    assert cases_words(seen) == ""  # the list is all there is
    assert "records are damaged: 2. The log names them" in damaged_words(seen)


def test_a_removal_that_fails_is_said():
    words = trash_words(health(trash=Trash(3, "The disk of the storage is full")))
    assert "7 days are over: 3 could not be removed" in words
    assert "disk of the storage is full. It is tried again" in words
