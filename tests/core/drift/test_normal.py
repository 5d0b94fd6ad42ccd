"""Cases that are accepted as the new normal, and that taken back."""

import json
from datetime import timedelta

import pytest

from core import limits
from core.drift.known import known_of
from core.drift.normal import FOLDER, Normals
from core.drift.of_cases import BEFORE, IN_BASELINE, drift_of_cases
from core.errors import ConflictError, ForbiddenError, InputError
from core.people.acting import Actor, acting_as
from core.people.audit import lines
from core.state.database import connect
from tests.core.drift.test_watch import Place
from tests.drift import analysis, table

WHY = "the new scanner, checked by physics"
ROLE = {role: Actor(role, role, role) for role in ("reader", "reviewer", "administrator")}


class Accepting(Place):
    """Fifteen plain and fifteen blurred crops, and what is known of them."""

    def __init__(self, folder):
        super().__init__(folder)
        self.normals = Normals(self.house.cases, self.house.storage)
        self.add("crop", 15)
        self.add("crop", 15, sharpness=-3)

    def report(self, last=20):
        chains = self.watch.look(may_begin=True)
        return drift_of_cases(self.house.cases, self.registry, self.house.storage, last, chains)

    def newest(self, count):
        return [row.id for row, _ in self.house.cases.features()[:count]]

    def accept(self, count=15, reason=WHY, seen=None):
        seen = seen or self.report().crops.known
        self.watch.accept("crop", self.newest(count), reason, seen)

    def settings_lines(self):
        return [
            (line.what, line.note) for line in lines(self.house.cases.acts.engine, act="settings")
        ]


@pytest.fixture
def place(tmp_path):
    return Accepting(tmp_path)


def test_what_was_accepted_is_normal_and_what_was_before_it_is_not(place):
    assert place.report().crops.state == "act"
    place.accept()
    crops = place.report().crops
    assert crops.state == "not enough yet"
    assert crops.left_out == {IN_BASELINE: 15, BEFORE: 15}
    assert "15 crops since 2026-" in crops.reference_words
    assert "accepted here as the new normal on" in crops.reference_words
    told = crops.as_dict()["new_normal"]
    assert (told["reason"], told["cases"]) == (WHY, 15)
    place.add("crop", 12, sharpness=-3)
    crops = place.report().crops
    assert (crops.state, crops.chain.scans) == ("quiet", 12)  # a chain of its own
    place.add("crop", 15)
    assert place.report().crops.state in ("watch", "act")
    assert place.settings_lines() == [("drift of crops", f"new normal of 15 cases: {WHY}")]


def test_taken_back_the_reference_of_the_model_holds_again_with_all_that_came_meanwhile(place):
    before = place.report().crops.chain
    place.accept()
    place.add("crop", 10, sharpness=-3)
    place.watch.take_back("crop", "it was a fault of the coil", place.report().crops.known)
    crops = place.report().crops
    assert crops.known.normal is None
    assert (crops.state, crops.chain.scans) == ("act", before.scans + 10)
    assert place.settings_lines()[0] == ("drift of crops", "taken back: it was a fault of the coil")


def test_a_lost_database_and_a_second_process_have_it(place, tmp_path):
    place.accept()
    known = place.report().crops.known
    assert place.another().look(may_begin=True)["crop"] is None
    cases = place.house.cases
    fresh = type(cases)(connect(tmp_path / "other"), place.house.storage)
    fresh.import_from_storage()
    found = drift_of_cases(fresh, place.registry, place.house.storage, 20).crops
    assert found.known == known
    assert found.left_out == {IN_BASELINE: 15, BEFORE: 15}


def test_of_two_tabs_at_once_the_later_one_is_told(place):
    seen = place.report().crops.known
    place.accept(seen=seen)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        place.accept(count=12, seen=seen)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        place.watch.take_back("crop", WHY, seen)
    assert len(place.report().crops.known.apart) == 15


def test_two_processes_that_write_at_the_same_moment_have_one_file(place, monkeypatch):
    seen = place.report().crops.known
    held = place.house.storage.replace

    def other_first(key, data, old):
        if FOLDER in key:
            monkeypatch.setattr(place.house.storage, "replace", held)
            Normals(place.house.cases, place.house.storage).accept(
                "crop", seen.instead_of, place.newest(12), WHY, seen.acts
            )
        held(key, data, old)

    monkeypatch.setattr(place.house.storage, "replace", other_first)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        place.accept(seen=seen)
    assert len(place.report().crops.known.apart) == 12


def test_a_case_that_came_after_the_look_counts_and_one_that_went_is_left_out(place):
    shown, seen = place.newest(15), place.report().crops.known
    place.add("crop", 5, sharpness=-3)
    place.house.cases.delete(shown[3])
    place.watch.accept("crop", shown, WHY, seen)
    crops = place.report().crops
    assert set(crops.known.apart) == set(shown) - {shown[3]}
    assert crops.chain.scans == 5


def test_one_scan_many_times_and_too_few_are_no_normal_and_a_reason_must_say_something(place):
    (values,) = table(place.rng, 1, sharpness=-4)
    for _ in range(12):
        place.house.clock.now += timedelta(minutes=1)
        place.house.cases.add(analysis(1, values, is_head=False), "again")
    with pytest.raises(ConflictError, match="1 different scans"):
        place.accept(count=12)
    with pytest.raises(InputError, match="10 to 1000"):
        place.accept(count=25, reason="ok")
    assert place.report().crops.known.normal is None
    assert place.settings_lines() == []


def test_another_reference_is_not_what_it_stands_in_for(place):
    place.accept()
    seen = place.report().crops.known
    place.serve([
        {"content_sha256": f"n{n}", "inherited": False, "features": features}
        for n, features in enumerate(table(place.rng, 40))
    ])  # fmt: skip
    assert place.report().crops.known.normal is None
    with pytest.raises(ConflictError, match="other scans than those shown"):
        place.accept(seen=seen)


def test_only_who_changes_what_holds_for_all_may(place):
    seen = place.report().crops.known
    for role in ("reader", "reviewer"):
        with acting_as(ROLE[role]), pytest.raises(ForbiddenError):
            place.normals.accept("crop", seen.instead_of, place.newest(15), WHY, 0)
    with acting_as(ROLE["administrator"]):
        place.normals.accept("crop", seen.instead_of, place.newest(15), WHY, 0)
    assert place.normals.newest("crop").by == "administrator"


def test_a_damaged_one_hides_no_other_kind_and_says_what_to_do(place, monkeypatch):
    monkeypatch.setattr(limits, "BASELINE_HEADS", 15)
    place.house.inner.write(f"{FOLDER}/crop/000001.json", json.dumps({"format": 1}).encode())
    report = place.report()
    assert "Restore drift/normal/crop/000001.json" in report.crops.drift.reasons[0]
    assert report.crops.chain is None
    assert report.heads.drift.state == "learning the baseline"
    assert known_of("crop", 2, [], None, place.normals).trouble is not None
