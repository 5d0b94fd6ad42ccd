"""A batch of files as its threads, its page and a session that goes away see it."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from app.batch import Batch, Upload
from app.views.outcomes import best_of
from core import limits
from core.errors import AccessError, BusyError, GoneError, InputError
from core.image.dicom.offers import Offer, SeveralSeriesError
from core.people.acting import Actor, acting_as, actor
from tests.waiting import until


class Hospital:
    """Segments at once, or when it is told to; remembers whom it was asked for."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.began = threading.Semaphore(0)
        self.seen: list[str] = []
        self.users: set[str] = set()
        self.patients: list[str] = []
        self.busy = 0

    def work(self, source, name, caller, patient, series=""):
        if self.busy:
            self.busy -= 1
            raise BusyError("16 scans are waiting already", "", retry_after_s=1)
        content = source.read().decode()
        self.users.add(caller.user)
        self.began.release()
        caller.on_step("segment")
        while not self.may_go.wait(0.01):
            if caller.gone():
                raise GoneError("Nobody waits for this scan any more")
        self.seen.append(name)
        self.patients.append(patient)
        if content == "bad":
            raise InputError("This is not a NIfTI image", "Convert it.")
        if content == "several" and not series:
            offers = (Offer("1.2", "t1", "", 176, (1.0, 1.0, 1.0), False, ""),)
            raise SeveralSeriesError("2 series may be it", "Say which.", offers)
        if series:
            return SimpleNamespace(id=f"series {series} of {content}")
        if content == "unforeseen":
            raise RuntimeError("a bug")
        return SimpleNamespace(id=f"case of {content}")


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    made = Hospital()
    yield made
    made.may_go.set()


def batch_of(hospital: Hospital, folder, **options) -> Batch:
    return Batch(hospital.work, folder, **{"here": lambda: True, **options})


def uploads(*contents: str) -> list[Upload]:
    return [Upload(f"{n}.nii", io.BytesIO(c.encode())) for n, c in enumerate(contents)]


def done(batch: Batch) -> list[str]:
    until(lambda: not batch.now().active, 20, poll_s=0.01)
    return [o.case.id if o.case else o.error for o in batch.now().outcomes]


def test_outcomes_come_in_the_order_of_the_files_and_one_bad_file_stops_none(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    hospital.may_go.set()
    batch.add(uploads("a", "bad", "b", "unforeseen", "c"))
    first, bad, second, unforeseen, third = done(batch)
    assert (first, second, third) == ("case of a", "case of b", "case of c")
    assert bad == "This is not a NIfTI image. Convert it."
    assert "the log says more" in unforeseen
    assert list(tmp_path.iterdir()) == []


def test_files_are_taken_before_they_are_segmented_and_are_private(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    files = uploads("a", "b", "c")
    batch.add(files)
    for file in files:
        file.source.close()  # as when the page's uploader goes
    kept = list(tmp_path.iterdir())
    assert len(kept) == 3
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    hospital.may_go.set()
    assert done(batch) == ["case of a", "case of b", "case of c"]


def test_files_that_are_added_meanwhile_join_it(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    batch.add(uploads("a"))
    hospital.began.acquire(timeout=10)
    batch.add(uploads("b", "c"))
    assert (batch.progress().done, batch.progress().total) == (0, 3)
    hospital.may_go.set()
    assert done(batch) == ["case of a", "case of b", "case of c"]
    batch.add(uploads("d"))
    assert batch.progress().total == 1  # a batch of its own
    assert len(done(batch)) == 4


def test_two_at_a_time_whatever_is_added(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    for content in "abcd":
        batch.add(uploads(content))
    assert hospital.began.acquire(timeout=10)
    assert hospital.began.acquire(timeout=10)
    assert not hospital.began.acquire(timeout=0.2)
    hospital.may_go.set()
    assert len(done(batch)) == 4
    assert len(hospital.users) == 1  # between whom the queue is fair


def test_what_is_given_up_is_named_and_its_copy_removed(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    batch.add(uploads(*"abcde"))
    hospital.began.acquire(timeout=10)
    batch.give_up()
    assert all("Drop it again" in words for words in done(batch))
    assert [o.name for o in batch.now().outcomes] == [f"{n}.nii" for n in range(5)]
    assert list(tmp_path.iterdir()) == []
    hospital.may_go.set()
    batch.add(uploads("f"))
    assert done(batch)[-1] == "case of f"


@pytest.mark.parametrize("minutes_away", [14, 16])
def test_a_session_that_is_gone_for_long_ends_it(minutes_away, hospital, tmp_path):
    now = [0.0]
    here = [True]
    batch = batch_of(hospital, tmp_path, here=lambda: here[0], clock=lambda: now[0])
    batch.add(uploads("a", "b", "c"))
    hospital.began.acquire(timeout=10)
    here[0] = False
    now[0] = minutes_away * 60.0
    if minutes_away < 15:
        hospital.may_go.set()
        assert done(batch) == ["case of a", "case of b", "case of c"]
    else:
        assert all("given up" in words for words in done(batch))
        assert hospital.seen == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_queue_is_tried_again(hospital, tmp_path):
    hospital.busy = 1
    hospital.may_go.set()
    batch = batch_of(hospital, tmp_path)
    batch.add(uploads("a"))
    assert done(batch) == ["case of a"]


def test_a_disk_that_takes_nothing_is_said_and_fails_no_page(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path / "gone")
    batch.add(uploads("a"))
    assert "disk may be full" in done(batch)[0]


def test_two_batches_keep_apart(hospital, tmp_path):
    one, other = batch_of(hospital, tmp_path), batch_of(hospital, tmp_path)
    one.add(uploads("a", "b", "c"))
    other.add(uploads("x"))
    one.give_up()
    assert all("given up" in words for words in done(one))
    hospital.may_go.set()
    assert done(other) == ["case of x"]


def test_the_list_can_be_cleared(hospital, tmp_path):
    hospital.may_go.set()
    batch = batch_of(hospital, tmp_path)
    batch.add(uploads("a"))
    done(batch)
    before = batch.now().outcomes
    batch.clear()
    assert batch.now().outcomes == []
    assert batch.cleared == 1
    batch.undo_clear()
    assert batch.now().outcomes == before
    batch.clear()
    batch.add(uploads("b"))  # with new files the old list is gone
    done(batch)
    batch.undo_clear()
    assert done(batch) == ["case of b"]


def test_a_second_press_of_clear_loses_nothing(hospital, tmp_path):
    hospital.may_go.set()
    batch = batch_of(hospital, tmp_path)
    batch.add(uploads("a"))
    done(batch)
    before = batch.now().outcomes
    batch.clear()
    batch.clear()
    batch.undo_clear()
    assert batch.now().outcomes == before


def test_each_file_is_listed_asks_or_is_awaited_at_every_moment(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    hospital.may_go.set()
    for _ in range(20):
        batch.clear()
        batch.add(uploads("a", "several", "bad"))
        now = batch.now()
        while now.active:
            now = batch.now()
        assert len(now.outcomes) + len(now.questions) == 3
        batch.choose(now.questions[0].number, "")
        done(batch)


def test_each_file_keeps_the_patient_that_was_chosen_when_it_came(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    hospital.may_go.set()
    batch.add([Upload("1.nii", io.BytesIO(b"a"), "P-1")])
    batch.add([Upload("2.nii", io.BytesIO(b"b"))])
    done(batch)
    assert dict(zip(hospital.seen, hospital.patients, strict=True)) == {"1.nii": "P-1", "2.nii": ""}


def asked(batch: Batch):
    return until(lambda: not batch.now().active and batch.now().questions, 20, poll_s=0.01)


def test_a_file_with_several_series_waits_for_a_choice_while_the_others_go_on(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    hospital.may_go.set()
    batch.add(uploads("several", "a", "several", "b"))
    first, second = asked(batch)
    assert [offer.uid for offer in first.offers] == ["1.2"]
    assert len(batch.now().outcomes) == 2
    assert len(list(tmp_path.iterdir())) == 2  # the files that ask are kept
    batch.clear()
    batch.choose(second.number, "1.2")
    batch.choose(second.number, "1.2")  # a second click changes nothing
    until(lambda: batch.now().outcomes, 20, poll_s=0.01)
    assert batch.now().outcomes[0].case.id == "series 1.2 of several"
    assert [question.number for question in batch.now().questions] == [first.number]
    batch.choose(first.number, "")
    assert "given up" in done(batch)[0]
    assert batch.now().questions == []
    assert list(tmp_path.iterdir()) == []


def test_a_series_that_a_person_chose_is_what_the_page_opens(hospital, tmp_path):
    batch = batch_of(hospital, tmp_path)
    hospital.may_go.set()
    batch.add(uploads("several", "a"))
    (question,) = asked(batch)
    until(lambda: batch.now().outcomes, 20, poll_s=0.01)
    batch.choose(question.number, "1.2")
    assert done(batch) == ["case of a", "series 1.2 of several"]
    assert best_of(batch.now().outcomes) == 1


def test_a_file_that_asks_goes_with_the_session(hospital, tmp_path):
    now = [0.0]
    here = [True]
    batch = batch_of(hospital, tmp_path, here=lambda: here[0], clock=lambda: now[0])
    hospital.may_go.set()
    batch.add(uploads("several"))
    asked(batch)
    here[0] = False
    now[0] += limits.BATCH_GONE_AFTER_S + 1
    assert "given up" in until(lambda: batch.now().outcomes, 20, poll_s=0.01)[0].error
    assert list(tmp_path.iterdir()) == []


def test_what_waits_of_an_account_that_is_switched_off_stops_and_says_so(hospital, tmp_path):
    """Also what would be fetched from the PACS in its name; the file that is at work ends."""
    off, fetched = threading.Event(), []

    def as_of_now(who):
        if off.is_set():
            raise AccessError("Your account was switched off meanwhile", "Ask an administrator.")
        return replace(who, groups=frozenset({"now"}))

    def work(source, name, caller, patient, series):
        groups.append(actor().groups)
        return hospital.work(source, name, caller, patient, series)

    groups = []
    batch = Batch(work, tmp_path, lambda: True, as_of_now=as_of_now)
    with acting_as(Actor("a", "Anna", "reader", frozenset({"then"}))):
        batch.add(
            [*(Upload(name, io.BytesIO(name.encode())) for name in "abc"),
             Upload("PACS", lambda *of: fetched.append(of))]
        )  # fmt: skip
    for _ in range(2):
        hospital.began.acquire(timeout=10)
    off.set()
    hospital.may_go.set()
    until(lambda: not batch.now().active)
    words = "Your account was switched off meanwhile. Ask an administrator."
    assert [outcome.error for outcome in batch.now().outcomes].count(words) == 2
    assert (fetched, sorted(hospital.seen)) == ([], ["a", "b"])
    assert groups == [frozenset({"now"})] * 2
    assert list(tmp_path.iterdir()) == []
