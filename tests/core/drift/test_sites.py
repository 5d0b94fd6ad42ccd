"""Another site sends its scans, and has a state of its own."""

import threading

import numpy as np
import pytest
from sqlalchemy import select

from core.drift import sites as sites_module
from core.drift.sites import MOST_SCANS, Sites, features_in
from core.errors import ConflictError, ForbiddenError, InputError
from core.people.acting import Actor, acting_as
from core.state.database import connect, reading
from core.state.tables import SITE_CHAINS, SITE_STEPS
from tests.core.drift.test_of_cases import CROPS, reference_of
from tests.drift import table


class Versions:
    """What is asked of the registry."""

    def __init__(self, cases):
        self.cases, self.promotions, self.number = cases, [1], 1

    def history(self):
        return self.promotions

    def serving(self):
        return self

    def reference(self, number):
        return self.cases


class Place:
    def __init__(self, folder):
        self.engine = connect(folder)
        self.rng = np.random.default_rng(0)
        self.versions = Versions(reference_of(self.rng, crops=CROPS))
        self.sites = self.another()

    def another(self):
        return Sites(self.engine, self.versions, 100, 40)

    def scans(self, count, **shifts):
        return table(self.rng, count, **shifts)

    def rows(self, what):
        with reading(self.engine) as connection:
            return connection.execute(select(what)).all()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.engine.dispose()


def test_unchanged_scans_are_quiet_and_changed_ones_are_told_with_the_feature(place):
    ((state, count),) = place.sites.add_all("mainz", place.scans(15))
    assert (state.severity, state.scans, count) == ("quiet", 15, 15)
    ((state, _),) = place.sites.add_all("mainz", place.scans(15, sharpness=-3))
    assert (state.severity, state.scans) == ("act", 30)
    assert state.features[0] == "sharpness"
    assert state.as_dict()["state"] == "act"
    # Another one has nothing of it, nor has this one after a promotion.
    ((other, _),) = place.sites.add_all("cologne", place.scans(3))
    assert (other.severity, other.scans) == ("quiet", 3)
    place.versions.promotions.append(2)
    ((anew, _),) = place.another().add_all("mainz", place.scans(3))
    assert (anew.severity, anew.scans) == ("quiet", 3)
    assert [(s.site, s.scans) for s in place.sites.find()] == [("cologne", 3), ("mainz", 3)]


def test_a_scan_counts_once_also_sent_by_many_at_once_and_only_scores_are_kept(place):
    scans = place.scans(8, sharpness=-4)
    ready = threading.Barrier(4)

    def send():
        ready.wait()
        place.another().add_all("mainz", scans)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((state, count),) = place.sites.add_all("mainz", scans)
    assert (state.scans, count) == (8, 0)
    assert len(place.rows(SITE_STEPS)) == 8
    assert len(place.rows(SITE_CHAINS)) == 1
    kept = str(place.rows(SITE_STEPS)) + str(place.rows(SITE_CHAINS))
    assert str(scans[0]["sharpness"]) not in kept


@pytest.mark.parametrize("name", ["", "Mainz", "a" * 33, "a b", "../a", "mainz\n", "-a"])
def test_what_is_no_name_is_refused(name, place):
    with pytest.raises(InputError):
        place.sites.add_all(name, place.scans(1))


@pytest.mark.parametrize(
    "values",
    [
        {}, {"contrast": float("nan")}, {"contrast": 1e300}, {"contrast": True},
        {"contrast": "1"}, {"contrast": None}, {"other": 1.0},
    ],
)  # fmt: skip
def test_what_is_no_feature_is_refused_and_nothing_is_kept(values, place):
    with pytest.raises(InputError):
        place.sites.add_all("mainz", [*place.scans(1), values])
    assert place.rows(SITE_CHAINS) == []


def test_sites_and_scans_at_once_are_bounded(place, monkeypatch):
    with pytest.raises(InputError):
        place.sites.add_all("mainz", place.scans(MOST_SCANS + 1))
    monkeypatch.setattr(sites_module, "MOST_SITES", 2)
    for name in ("mainz", "cologne"):
        place.sites.add_all(name, place.scans(1))
    with pytest.raises(ConflictError):
        place.sites.add_all("another", place.scans(1))
    place.sites.add_all("mainz", place.scans(1))


def test_heads_need_a_version_that_knows_heads(place):
    with pytest.raises(ConflictError):
        place.sites.add_all("mainz", place.scans(1, kind="head"))


def test_a_token_of_the_scope_adds_and_nobody_else_but_an_administrator(place):
    for refused in (Actor("r", "Rita", "reader"), _service("segment"), _service("metrics")):
        with acting_as(refused), pytest.raises(ForbiddenError):
            place.sites.add_all("mainz", place.scans(1))
    with acting_as(_service("drift")):
        ((state, count),) = place.sites.add_all("mainz", place.scans(1))
    assert (state.scans, count) == (1, 1)


def _service(scope):
    return Actor("s", "service", "service", scopes=frozenset({scope}))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "nonsense", "[" * 100_000, '{"a": []}'])
def test_a_body_that_is_no_list_of_objects_is_refused(text):
    with pytest.raises(InputError):
        features_in(text)
