"""Cases of an installation followed one by one."""

from datetime import UTC, datetime, timedelta

import pytest
from loguru import logger
from sqlalchemy import select

from core import limits
from core.cases.store import Cases
from core.drift.baseline import KEY, HeadBaseline
from core.drift.known import known_of
from core.drift.normal import Normals
from core.drift.of_cases import drift_of_cases
from core.drift.watch import LEAST_CASES, DriftWatch
from core.drift.words import chain_dict, count_words, rule_words, since_words
from core.models.registry import Registry
from core.state.database import connect, reading
from core.state.storage import LocalStorage
from core.state.tables import CASES, DRIFT_STEPS
from tests.core.drift.test_of_cases import CROPS, Installation, reference_of
from tests.drift import analysis, table
from tests.house import Seconds

RUN_LENGTH, STREAMS = 100, 40


class Place(Installation):
    """Cases after the promotions, and who follows them."""

    def __init__(self, folder):
        super().__init__(folder)
        self.house.clock.now = datetime.now(UTC) + timedelta(hours=1)
        self.seconds = Seconds()
        self.watch = self.another()

    def another(self, run_length=RUN_LENGTH):
        """As a server after a restart, or another process beside it."""
        engine = self.house.cases.acts.engine
        return DriftWatch(
            engine, self.house.cases, self.registry, self.house.storage, run_length, STREAMS,
            self.seconds,
        )  # fmt: skip

    def known(self, kind):
        number = self.registry.serving().number
        house = self.house
        return known_of(
            kind, number, self.registry.reference(number), HeadBaseline(house.cases, house.storage),
            Normals(house.cases, house.storage),
        )  # fmt: skip

    def crops(self):
        return self.watch.look(may_begin=True)["crop"]

    def heads(self):
        return self.watch.look(may_begin=True)["head"]

    def steps(self):
        with reading(self.house.cases.acts.engine) as connection:
            return connection.execute(select(DRIFT_STEPS).order_by(DRIFT_STEPS.c.number)).all()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BASELINE_HEADS", 15)
    return Place(tmp_path)


def test_unchanged_cases_are_quiet_and_changed_ones_are_told_with_their_beginning(place):
    place.add("crop", 15)
    assert place.crops().severity == "quiet"
    place.add("crop", 15, sharpness=-3)
    chain = place.crops()
    assert (chain.severity, chain.scans) == ("act", 30)
    moved = chain.moved[0]
    assert (moved.feature.key, moved.direction) == ("sharpness", -1)
    assert 13 <= moved.first.number <= 19
    assert moved.earliest.number <= 16 <= moved.latest.number
    assert moved.away_sd == pytest.approx(-3, abs=1)
    words = since_words(chain)[0]
    assert words.startswith("sharpness: the scans are blurred since scan ")
    assert moved.first.case_id in words
    assert f"once in {chain.thresholds.watch_cases:,.0f} cases on average" in rule_words(chain)
    assert "30 crops followed one by one" in count_words(chain)
    told = chain_dict(chain)
    assert told["moved"][0]["since"]["number"] == moved.first.number
    assert told["severity"] == "act"


def test_it_is_quiet_again_when_the_change_is_over(place):
    place.add("crop", 10, sharpness=-4)
    assert place.crops().severity == "act"
    place.add("crop", 45)
    assert place.crops().severity == "quiet"
    assert place.crops().moved == ()


def test_the_state_survives_a_restart_and_a_case_counts_once_in_two_processes(place):
    place.add("crop", 8, sharpness=-4)
    before = place.crops()
    other = place.another()
    assert other.look()["crop"] == before
    place.add("crop", 4, sharpness=-4)
    first, second = place.watch.look()["crop"], other.look()["crop"]
    assert first == second
    assert first.scans == len(place.steps()) == 12


def test_a_promotion_begins_a_new_chain(place):
    place.add("crop", 10, sharpness=-4)
    assert place.crops().severity == "act"
    place.serve(reference_of(place.rng, crops=CROPS))
    with place.house.cases.acts.engine.begin() as connection:
        connection.execute(CASES.update().values(created_at="2026-01-01T00:00:00.000+00:00"))
    assert place.crops() is None
    place.add("crop", 6)
    assert (place.crops().severity, place.crops().scans) == ("quiet", 6)


def test_a_deleted_case_keeps_its_part_without_the_link(place):
    place.add("crop", 10, sharpness=-4)
    before = place.crops()
    for case in place.house.cases.find():
        place.house.cases.delete(case.id)
    assert all(moved.first.case_id is None for moved in place.crops().moved)
    place.house.clock.now += timedelta(days=limits.TRASH_DAYS + 1)
    assert place.house.cases.purge_expired()
    after = place.crops()
    assert (after.level, after.scans, after.severity) == (before.level, 10, before.severity)
    assert {step.case_id for step in place.steps()} == {None}
    assert "a scan that is not kept" in since_words(after)[0]


def test_one_scan_counts_once_however_often_it_is_dropped(place):
    (values,) = table(place.rng, 1, sharpness=-4)
    for _ in range(12):
        place.house.cases.add(analysis(1, values, is_head=False), "again")
    chain = place.crops()
    assert (chain.severity, chain.scans) == ("quiet", 12)


def test_results_alone_ask_for_a_look_and_not_for_action(place):
    place.add("head", 15, "accepted")
    place.add("head", 6)
    assert place.heads().severity == "quiet"
    place.add("head", 16, agreement=-4)
    chain = place.heads()
    assert chain.severity == "watch"
    assert since_words(chain)[0].startswith("note, agreement of the two crops")
    assert chain.scans == 22  # those of the baseline do not count
    assert place.crops() is None


def test_nothing_begins_before_a_state_could_be_reached_nor_while_a_page_is_opened(place):
    place.add("crop", LEAST_CASES - 1)
    assert place.crops() is None
    place.add("crop", 1)
    assert place.watch.look()["crop"] is None
    assert place.crops().scans == LEAST_CASES


def test_another_run_length_is_another_chain(place):
    place.add("crop", 6)
    assert place.crops().run_length == RUN_LENGTH
    other = place.another(2 * RUN_LENGTH).look(may_begin=True)["crop"]
    assert (other.run_length, other.scans) == (2 * RUN_LENGTH, 6)


def test_it_follows_by_itself_and_a_baseline_that_cannot_be_read_hides_no_crops(place):
    place.house.inner.write(KEY, b"{}")
    place.add("crop", 6)
    place.watch.tick()
    assert len(place.steps()) == 6
    place.add("crop", 1)
    place.watch.tick()
    assert len(place.steps()) == 7


def test_the_state_is_that_of_the_chain_and_the_window_explains_it(place):
    place.add("crop", 9, sharpness=-4)
    chains = place.watch.look(may_begin=True)
    report = drift_of_cases(
        place.house.cases, place.registry, place.house.storage, 20, chains
    )  # fmt: skip
    assert report.crops.drift.state == "not enough yet"
    assert report.crops.state == report.state == chains["crop"].severity == "act"
    assert report.crops.as_dict()["monitoring"]["severity"] == "act"


def test_a_first_start_has_nothing_to_follow_yet_and_warns_of_nothing(tmp_path):
    engine, storage = connect(tmp_path), LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    cases.import_from_storage()
    said = []
    handler = logger.add(said.append, level="WARNING")
    watch = DriftWatch(engine, cases, Registry(engine, storage, tmp_path), storage)
    watch.tick()
    logger.remove(handler)
    assert (said, watch._seen) == ([], None)  # it looks again at the next tick
