"""Rules ask for a training once, for a reason, and never on their own promote anything."""

import atexit
import functools
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest

from core.cases.store import Cases
from core.errors import InputError
from core.limits import MIN_DATASET_CASES
from core.state.database import connect
from core.state.storage import LocalStorage
from core.state.tables import JOBS
from core.training.jobs import Jobs, Work
from core.training.rules import (
    Alarm,
    Facts,
    Rules,
    RuleSettings,
    alarm_after,
    decide,
)
from tests import tiny
from tests.ends import in_child

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ALARM = Alarm("2026-11-29T08:00:00+00:00")
REVIEWS = RuleSettings(after_cases=20)
DRIFT = RuleSettings(on_drift=True)


def ago(**spent) -> str:
    return (NOW - timedelta(**spent)).isoformat(timespec="milliseconds")


@pytest.mark.parametrize(
    ("settings", "facts", "rules"),
    [
        (RuleSettings(), Facts(500, 500, ALARM), ()),
        (REVIEWS, Facts(19, 50), ()),
        (REVIEWS, Facts(20, 50), ("reviews",)),
        (REVIEWS, Facts(20, 50, active=True), ()),
        (REVIEWS, Facts(20, 50, paused_since=ago(days=6, hours=23)), ()),
        (REVIEWS, Facts(20, 50, paused_since=ago(days=7)), ("reviews",)),
        (REVIEWS, Facts(20, 50, ALARM), ("reviews",)),
        (RuleSettings(after_cases=5), Facts(5, MIN_DATASET_CASES - 1), ()),
        (DRIFT, Facts(0, 50), ()),
        (DRIFT, Facts(0, 50, ALARM), ("drift",)),
        (DRIFT, Facts(0, MIN_DATASET_CASES - 1, ALARM), ()),
        (DRIFT, Facts(0, 50, Alarm(ALARM.since, asked=True)), ()),
        (DRIFT, Facts(0, 50, ALARM, active=True), ()),
        (DRIFT, Facts(0, 50, ALARM, paused_since=ago(days=1)), ()),
        (RuleSettings(20, on_drift=True), Facts(20, 50, ALARM), ("reviews", "drift")),
        (RuleSettings(20, pause_days=1), Facts(20, 50, paused_since=ago(days=1)), ("reviews",)),
    ],
)
def test_a_training_is_asked_for_when(settings, facts, rules):
    decision = decide(settings, facts, NOW)
    assert decision.rules == rules
    assert bool(decision.waits) == (settings.any_on and not rules)


def test_the_words_say_why_or_what_is_waited_for():
    def words(settings, *facts, **more):
        decision = decide(settings, Facts(*facts, **more), NOW)
        return decision.reason or decision.waits

    assert words(REVIEWS, 20, 50) == "20 newly reviewed cases"
    both = RuleSettings(20, on_drift=True)
    assert words(both, 20, 50, ALARM) == (
        "20 newly reviewed cases and a drift alarm since 2026-11-29"
    )
    assert words(both, 12, 50) == "12 of 20 newly reviewed cases, no drift alarm"
    assert "7 of the 10 reviewed cases" in words(RuleSettings(5), 7, 7)
    assert "after the one that is under way" in words(REVIEWS, 20, 50, active=True)
    assert "not before 2026-12-06" in words(REVIEWS, 20, 50, paused_since=ago(days=1))


def test_an_alarm_lasts_from_the_first_act_to_the_next_quiet():
    alarm, seen = None, []
    for day, drift in enumerate(
        ("not enough yet", "quiet", "watch", "act", "act", "watch", "act", "not enough yet",
         "quiet", "watch", "act")
    ):  # fmt: skip
        alarm = alarm_after(alarm, drift, NOW + timedelta(days=day))
        seen.append(alarm and alarm.since[8:10])
    assert seen == [None] * 3 + ["03"] * 5 + [None] * 2 + ["10"]


class Place:
    """An installation with cases, all accepted."""

    def __init__(self, folder):
        self.engine = connect(folder)
        self.cases = Cases(self.engine, LocalStorage(folder / "storage"))
        self.jobs = Jobs(self.engine, folder)
        self.rules = Rules(self.engine, self.cases)
        self.ids = [row.id for row in self.cases.find()]

    def review(self, count):
        for _ in range(count):
            case = self.cases.add(tiny.analysis(len(self.ids)), "x")
            self.ids.append(case.id)
            self.cases.review(case.id, "accepted", "Dr A")

    def end(self, job, state="succeeded"):
        with self.engine.begin() as connection:
            connection.execute(
                JOBS.update().where(JOBS.c.id == job.id).values(state=state, ended_at=now_text())
            )


def now_text():
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def later(**time):
    return datetime.now(UTC) + timedelta(**time)


@functools.cache
def template() -> Path:
    """A data folder with just enough cases; each takes some writes that wait for the disk."""
    folder = Path(mkdtemp(prefix="hippoview-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = Place(folder / "var")
    place.review(MIN_DATASET_CASES)
    place.engine.dispose()
    return folder / "var"


def placed(folder) -> Place:
    """An installation with just enough cases."""
    shutil.copytree(template(), folder, dirs_exist_ok=True)
    return Place(folder)


@pytest.fixture
def place(tmp_path):
    return placed(tmp_path)


def test_rules_are_off_until_somebody_switches_them_on(place):
    assert not place.rules.settings().any_on
    assert place.rules.ask(later()) is None
    assert place.jobs.find() == []


def test_enough_reviews_queue_one_training_that_says_why(place):
    place.rules.set(RuleSettings(after_cases=10, preset="cpu"))
    job = place.rules.ask(later())
    assert job == place.jobs.get(job.id)
    assert (job.state, job.version) == ("queued", None)
    assert job.spec == {"dataset": "reviewed", "preset": "cpu", "overrides": []}
    assert (job.rule, job.reason) == ("reviews", "10 newly reviewed cases")
    assert place.rules.ask(later()) is None  # it is under way
    place.end(job)
    assert place.rules.ask(later(days=8)) is None  # no new review since
    place.review(9)
    assert place.rules.look(later(days=8)).waits == "9 of 10 newly reviewed cases"
    place.review(1)
    assert place.rules.ask(later(days=6)) is None
    assert place.rules.ask(later(days=8)).id != job.id


def test_a_case_that_is_reviewed_again_counts_once_more(place):
    place.rules.set(RuleSettings(after_cases=1, pause_days=1))
    place.end(place.rules.ask(later()))
    assert place.rules.ask(later(days=2)) is None
    place.cases.review(place.ids[0], "rejected", "Dr A", "wrong side")
    place.cases.review(place.ids[0], "accepted", "Dr A")
    assert place.rules.ask(later(days=2)).reason == "1 newly reviewed case"


@pytest.mark.parametrize("state", ["failed", "cancelled", "lost"])
def test_a_training_that_came_to_nothing_is_not_asked_for_again_at_once(state, place):
    place.rules.set(RuleSettings(after_cases=10))
    place.end(place.rules.ask(later()), state)
    assert place.rules.ask(later(days=6)) is None
    assert place.rules.ask(later(days=8)).reason == "10 newly reviewed cases"


def test_nor_is_one_that_a_person_cancelled(place):
    place.jobs.cancel(place.jobs.submit({"dataset": "reviewed"}).id)
    place.rules.set(RuleSettings(after_cases=10))
    assert place.rules.ask(later()) is None
    assert place.rules.ask(later(days=8)) is not None


def test_a_training_on_other_cases_counts_no_review_as_trained(place):
    place.end(place.jobs.submit({"dataset": "thirty"}))
    place.rules.set(RuleSettings(after_cases=10))
    assert place.rules.ask(later()) is not None


def test_an_alarm_queues_once_however_long_it_lasts(place):
    place.rules.set(RuleSettings(on_drift=True))
    queued = []
    for day, drift in enumerate(["act", "watch"] * 15 + ["quiet", "act"]):
        place.rules.saw(drift, later(days=day))
        job = place.rules.ask(later(days=day))
        if job is not None:
            queued.append((day, job.rule))
            place.end(job)
    assert queued == [(0, "drift"), (31, "drift")]


@pytest.mark.parametrize("state", ["failed", "lost"])
def test_an_alarm_whose_training_broke_off_asks_again_after_the_pause(state, place):
    place.rules.set(RuleSettings(on_drift=True))
    place.rules.saw("act", later())
    place.end(place.rules.ask(later()), state)
    assert place.rules.ask(later(days=6)) is None
    assert "a drift alarm" in place.rules.look(later(days=6)).waits
    second = place.rules.ask(later(days=8))
    assert second.rule == "drift"
    place.end(second)
    assert place.rules.ask(later(days=16)) is None


def test_an_alarm_whose_training_a_person_cancelled_does_not(place):
    place.rules.set(RuleSettings(on_drift=True))
    place.rules.saw("act", later())
    place.jobs.cancel(place.rules.ask(later()).id)
    assert place.rules.ask(later(days=30)) is None


def test_a_rule_on_drift_that_is_switched_off_forgets_the_alarm(place):
    place.rules.set(RuleSettings(on_drift=True))
    place.rules.saw("act", NOW)
    place.rules.set(RuleSettings(after_cases=5))
    assert place.rules.alarm() is None
    place.rules.saw("act", NOW)
    assert place.rules.alarm() is None


def test_why_it_could_not_be_queued_stays_until_it_could(place):
    place.rules.note("Too few cases are left.")
    place.rules.set(RuleSettings(after_cases=10))
    place.rules.note("Too few cases are left.")
    assert place.rules.trouble() == "Too few cases are left."
    place.rules.ask(later())
    assert place.rules.trouble() == ""


def test_of_two_servers_that_look_at_once_one_queues_it(place, tmp_path):
    place.rules.set(RuleSettings(after_cases=10, on_drift=True))
    place.rules.saw("act", NOW)
    count, asked = 8, []
    gate = threading.Barrier(count)

    def server():
        engine = connect(tmp_path)
        own = Rules(engine, Cases(engine, LocalStorage(tmp_path / "storage")))
        gate.wait()
        asked.append(own.ask(later()))

    threads = [threading.Thread(target=server) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (job,) = [job for job in asked if job is not None]
    assert [found.id for found in place.jobs.find()] == [job.id]
    assert job.rule == "reviews+drift"


def test_another_process_does_not_queue_it_again(place, tmp_path):
    place.rules.set(RuleSettings(after_cases=10))
    assert place.rules.ask(later()) is not None
    place.engine.dispose()

    def server():
        engine = connect(tmp_path)
        own = Rules(engine, Cases(engine, LocalStorage(tmp_path / "storage")))
        assert own.ask(later(days=30)) is None

    assert in_child(server) == 0
    assert len(place.jobs.find()) == 1


@pytest.mark.parametrize(
    "settings",
    [RuleSettings(-1), RuleSettings(10_001), RuleSettings(1, pause_days=0),
     RuleSettings(1, preset="best")],
)  # fmt: skip
def test_settings_out_of_their_range_are_refused(settings, place):
    with pytest.raises(InputError):
        place.rules.set(settings)
    assert place.rules.settings() == RuleSettings()


def test_a_training_that_a_rule_asked_for_ends_as_any_other(place):
    """Its row is a job's: a process takes it over and leaves a candidate."""
    place.rules.set(RuleSettings(after_cases=10))
    job = place.rules.ask(later())
    work = Work(place.engine, job.id)
    assert work.begin()
    assert work.succeed(7)
    assert (place.jobs.get(job.id).state, place.jobs.get(job.id).version) == ("succeeded", 7)
