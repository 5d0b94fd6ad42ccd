"""What the API is sent, kept as a setting says."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from core.drift.collection import Collection
from core.drift.words import since_words
from core.errors import StorageError
from core.people.acting import Actor, acting_as
from core.people.audit import lines
from core.state.database import reading
from core.state.tables import API_SCANS
from tests.core.drift.test_watch import Place
from tests.drift import analysis, table

SERVICE = Actor("s", "pacs gateway", "service", frozenset({"ward-3"}), frozenset({"segment"}))


class Sending(Place):
    """What its API is sent, by a service that may only segment."""

    def keeping(self, keep, days=0):
        acts = self.house.cases.acts
        return Collection(acts.engine, self.house.cases, keep, days, self.seconds)

    def send(self, collection, count, **shifts):
        with acting_as(SERVICE):
            return [
                collection.keep(analysis(1, values, is_head=False))
                for values in table(self.rng, count, **shifts)
            ]

    def kept(self):
        with reading(self.house.cases.acts.engine) as connection:
            return connection.scalar(select(func.count()).select_from(API_SCANS))

    def uploads(self):
        found = lines(self.house.cases.acts.engine, act="upload")
        return [(line.name, line.note) for line in found]


@pytest.fixture
def place(tmp_path):
    return Sending(tmp_path)


def test_by_default_nothing_is_kept_and_the_answer_says_so(place):
    assert place.send(place.keeping("nothing", 30), 1) == [{"kept": "nothing", "days": None}]
    assert (place.kept(), place.house.cases.find()) == (0, [])
    assert place.uploads() == [("pacs gateway", "segmented for the api, not kept")]


def test_numbers_alone_are_watched_each_once_in_two_processes_and_name_nothing(place):
    collection = place.keeping("features", 30)
    assert place.send(collection, 5) == 5 * [{"kept": "features", "days": 30}]
    assert place.house.cases.find() == []
    chain = place.crops()
    assert (chain.severity, chain.scans) == ("quiet", 5)
    place.send(collection, 12, sharpness=-4)
    other = place.another()
    first, second = place.crops(), other.look()["crop"]
    assert first == second
    assert (first.severity, first.scans) == ("act", 17)
    assert {step.case_id for step in place.steps()} == {None}
    assert "a scan that is not kept" in since_words(first)[0]
    assert first.looks.unusual == ()
    with reading(place.house.cases.acts.engine) as connection:
        row = connection.execute(select(API_SCANS)).first()
    assert set(row._mapping) == {"id", "at", "kind", "content"}
    assert all(isinstance(value, float) for value in json.loads(row.content).values())
    assert set(place.uploads()) == {("pacs gateway", "segmented for the api, numbers kept")}


def test_a_whole_case_is_kept_for_the_groups_of_who_sends_and_told_by_its_id(place):
    (told,) = place.send(place.keeping("cases"), 1)
    (case,) = place.house.cases.find()
    assert told == {"kept": "case", "case_id": case.id, "days": None}
    assert case.owners == " ward-3 "
    assert [name for name, _ in place.uploads()] == ["pacs gateway"]


def test_features_end_with_their_days_and_what_they_added_stays(place):
    collection = place.keeping("features", 30)
    place.send(collection, 6)
    before = place.crops()
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat(timespec="milliseconds")
    with place.house.cases.acts.engine.begin() as connection:
        connection.execute(API_SCANS.update().where(API_SCANS.c.id <= 4).values(at=old))
    collection.tick()
    assert place.kept() == 2
    assert place.crops() == before
    removed = lines(place.house.cases.acts.engine, act="remove")
    assert [(line.what, line.note) for line in removed] == [("features", "of 4 API scans")]
    # A number never comes twice, so that a new scan counts.
    with place.house.cases.acts.engine.begin() as connection:
        connection.execute(API_SCANS.delete())
    place.send(collection, 1)
    assert place.crops().scans == 7


def test_a_full_disk_costs_nobody_the_mask(place, monkeypatch):
    def full(*args, **options):
        raise StorageError("The disk is full", "Free some space.")

    monkeypatch.setattr(place.house.cases, "add", full)
    assert place.send(place.keeping("cases"), 1) == [{"kept": "nothing", "days": None}]
    assert place.uploads() == [("pacs gateway", "segmented for the api, not kept")]
