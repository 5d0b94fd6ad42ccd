"""The shadow of a server: only while nobody waits, never without bound, one choice for all."""

import atexit
import functools
import shutil
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import func, select

from core import limits
from core.cases.store import Cases
from core.errors import (
    ComputeError,
    ConflictError,
    GoneError,
    InputError,
    ModelError,
    NotFoundError,
    StorageError,
)
from core.shadow.figures import most_different, summaries
from core.shadow.runner import Shadow
from core.state.database import connect, reading
from core.state.storage import LocalStorage
from core.state.tables import SHADOWS, VERSIONS
from tests import tiny
from tests.core.shadow.test_comparison import HEAD, blocks, swapped, volume
from tests.ends import die, in_child
from tests.house import Clock, Seconds
from tests.tiny_models import add, copied, tiny_registry


class Painter:
    """In the place of a loaded version: swaps the two labels."""

    def __init__(self, meanwhile=lambda: None):
        self.meanwhile = meanwhile
        self.begun = 0
        self.is_closed = False

    def segment(self, volume, gone):
        self.begun += 1
        self.meanwhile()
        if gone():
            raise GoneError("nobody waits")
        return SimpleNamespace(labels=swapped(blocks(10)))

    def close(self):
        self.is_closed = True


@functools.cache
def template() -> Path:
    """A data folder with three versions; each takes some writes that wait for the disk."""
    folder = Path(mkdtemp(prefix="hippoview-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    registry = tiny_registry(folder / "var")
    registry.prepare()
    add(registry, "second")
    add(registry, "third")
    registry._engine.dispose()
    return folder / "var"


class Place:
    """One database, its versions 1 in service, 2 and 3; and any number of servers on it."""

    def __init__(self, folder):
        self.folder = copied(template(), folder)
        self.clock = Seconds()
        self.registry = tiny_registry(folder)
        self.painter = Painter()
        self.shadow = self.server(self.painter)

    def server(self, painter):
        registry = tiny_registry(self.folder)
        return Shadow(registry._engine, registry, lambda number: painter, self.clock)

    def counts(self, shadow=None, number=2):
        return (shadow or self.shadow).report(number).counts

    def rows(self):
        with reading(self.registry._engine) as connection:
            return connection.scalar(select(func.count()).select_from(SHADOWS))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "var")


@pytest.fixture
def on(place):
    """A place whose shadow is version 2, loaded."""
    place.shadow.switch_on(2)
    place.shadow.tick()
    return place


def delivered(labels=None, head=None, version=1):
    """What a request got."""
    found = SimpleNamespace(as_dict=lambda: head) if head else None
    segmentation = SimpleNamespace(
        volume=volume(), labels=blocks(10) if labels is None else labels, head=found,
        model=SimpleNamespace(version=str(version)),
    )  # fmt: skip
    return SimpleNamespace(segmentation=segmentation, timings_s={"segment": 0.5})


def quiet(place):
    place.clock.now += limits.SHADOW_QUIET_S


def test_without_a_choice_nothing_is_held_or_computed(place):
    place.shadow.offer(delivered())
    place.shadow.tick()
    assert place.painter.begun == 0
    assert place.rows() == 0


def test_a_delivered_scan_is_compared_and_its_figures_are_kept(on):
    on.shadow.offer(delivered())
    on.shadow.tick()
    report = on.shadow.report(2)
    (row,) = report.rows
    assert (row.dice, row.dice_anterior, row.dice_posterior) == (1, 0, 0)
    assert (row.case_id, row.seconds) == (None, 0.5)
    assert report.counts.compared == 1
    told = report.as_dict()
    assert (told["state"], told["beside"], told["scans"]) == ("on", 1, 1)


def test_both_sides_of_a_head_are_rows_of_one_scan(on):
    on.shadow.offer(delivered(blocks(10, 30), HEAD))
    on.shadow.tick()
    rows = on.shadow.report(2).rows
    assert sorted((row.side, row.dice) for row in rows) == [("left", 1.0), ("right", 0.0)]
    assert len({row.scan for row in rows}) == 1


def test_nothing_runs_while_somebody_waits_nor_just_after(on):
    on.shadow.offer(delivered())
    with on.shadow.attending():
        on.shadow.tick()
    on.shadow.tick()
    assert on.painter.begun == 0
    quiet(on)
    on.shadow.tick()
    assert on.counts().compared == 1


def test_who_comes_interrupts_it_and_it_begins_again_but_not_for_ever(on):
    visits = []

    def comes():  # and stays until the segmentation has seen it
        visit = on.shadow.attending()
        visit.__enter__()
        visits.append(visit)

    on.painter.meanwhile = comes
    on.shadow.offer(delivered())
    for tries in range(1, limits.MAX_SHADOW_TRIES + 1):
        quiet(on)
        on.shadow.tick()
        assert on.painter.begun == tries
        visits.pop().__exit__(None, None, None)
    quiet(on)
    on.shadow.tick()
    assert on.painter.begun == limits.MAX_SHADOW_TRIES
    assert on.counts().interrupted == 1
    assert on.counts().compared == on.rows() == 0


def test_of_more_scans_than_may_wait_the_newest_stay(on):
    for number in range(10):
        on.shadow.offer(delivered(blocks(10 + number)))
    assert len(on.shadow._waiting) == limits.MAX_SHADOW_WAITING
    on.shadow.tick()
    assert on.counts().dropped == 10 - limits.MAX_SHADOW_WAITING
    assert on.counts().compared == limits.MAX_SHADOW_WAITING
    assert [row.dice for row in on.shadow.report(2).rows] == [0.0] * limits.MAX_SHADOW_WAITING


def test_a_scan_that_would_take_too_much_memory_is_not_held(on, monkeypatch):
    monkeypatch.setattr(limits, "MAX_SHADOW_VOXELS", blocks(10).size - 1)
    on.shadow.offer(delivered())
    assert not on.shadow._waiting
    assert on.counts().too_large == 1


def test_what_a_shadow_does_not_find_counts_as_no_mask(on):
    def nothing():
        raise InputError("No hippocampus was found")

    on.painter.meanwhile = nothing
    on.shadow.offer(delivered())
    on.shadow.tick()
    (row,) = on.shadow.report(2).rows
    assert row.dice == row.shadow_anterior_mm3 == 0


def test_a_shadow_that_fails_again_and_again_is_switched_off(on):
    def fail():
        raise ComputeError("out of memory")

    on.painter.meanwhile = fail
    for _ in range(limits.MAX_SHADOW_FAILURES):
        on.shadow.offer(delivered())
        on.shadow.tick()
    assert on.shadow.choice().number is None
    assert "Version 2 failed on 3 scans in a row" in on.shadow.choice().ended
    assert on.painter.is_closed


def test_one_version_at_a_time_and_not_the_one_in_service(on):
    with pytest.raises(ConflictError, match="Version 2 runs as the shadow"):
        on.shadow.switch_on(3)
    with pytest.raises(ConflictError, match="is in service"):
        on.shadow.switch_on(1)
    with pytest.raises(ConflictError, match="is not the shadow"):
        on.shadow.switch_off(3)
    for act in (on.shadow.switch_on, on.shadow.switch_off, on.shadow.report):
        with pytest.raises(NotFoundError):
            act(99)
    on.shadow.switch_on(2)  # as it is
    on.shadow.switch_off(2)
    on.shadow.tick()
    assert on.painter.is_closed
    on.shadow.offer(delivered())
    assert not on.shadow._waiting
    on.shadow.switch_on(3)


def test_a_promotion_ends_it(on):
    on.registry.promote(2)
    on.shadow.tick()
    assert on.painter.is_closed
    assert on.shadow.choice().number is None
    assert on.shadow.choice().ended == "Version 2 went into service."


def test_a_version_that_is_gone_ends_it(on):
    with on.registry._engine.begin() as connection:
        connection.execute(VERSIONS.delete().where(VERSIONS.c.number == 2))
    on.shadow.tick()
    assert on.painter.is_closed
    assert on.shadow.choice().ended == "Version 2 is no longer there."


def test_figures_are_of_one_pair_of_versions(on):
    on.shadow.offer(delivered())
    on.shadow.tick()
    on.registry.promote(3)
    on.shadow.offer(delivered(version=3))
    on.shadow.offer(delivered(version=3))
    on.shadow.tick()
    assert len(on.shadow.report(2).rows) == 2
    on.registry.roll_back(1)
    assert len(on.shadow.report(2).rows) == 1


@pytest.mark.parametrize("error", [ModelError("its weights changed"), RuntimeError("a fault")])
def test_a_version_that_cannot_be_loaded_is_said_and_switched_off(error, place):
    def open_version(number):
        raise error

    shadow = Shadow(place.registry._engine, place.registry, open_version, place.clock)
    shadow.switch_on(2)
    shadow.tick()
    assert shadow.choice().number is None
    assert "Version 2 could not be loaded" in shadow.choice().ended


def test_a_storage_that_fails_for_a_moment_does_not_switch_it_off(place):
    problems = [StorageError("the bucket does not answer")]

    def open_version(number):
        if problems:
            raise problems.pop()
        return place.painter

    shadow = Shadow(place.registry._engine, place.registry, open_version, place.clock)
    shadow.switch_on(2)
    with pytest.raises(StorageError):
        shadow.tick()
    shadow.offer(delivered())
    shadow.tick()
    assert place.painter.begun == 0  # not at once
    place.clock.now += 60
    shadow.tick()
    assert place.counts(shadow).compared == 1


def test_two_servers_on_one_database_compare_what_they_delivered(on):
    others = Painter()
    other = on.server(others)
    other.tick()
    for shadow in (on.shadow, other):
        shadow.offer(delivered())
        shadow.tick()
    assert (on.painter.begun, others.begun) == (1, 1)
    assert len(on.shadow.report(2).rows) == len(other.report(2).rows) == 2
    other.switch_off(2)
    on.shadow.tick()
    assert on.painter.is_closed


def test_a_server_that_is_killed_at_work_goes_on_after_its_start(place):
    place.shadow.switch_on(2)
    place.shadow.tick()
    place.shadow.offer(delivered())
    place.shadow.tick()
    place.registry._engine.dispose()

    def work():
        shadow = place.server(Painter(die))
        shadow.tick()
        shadow.offer(delivered())
        shadow.tick()

    assert in_child(work) == -9
    again = place.server(place.painter)
    again.tick()
    again.offer(delivered())
    again.tick()
    assert again.choice().number == 2
    assert len(again.report(2).rows) == 2


class TestCases:
    """Rows of scans that were kept."""

    @pytest.fixture
    def kept(self, on):
        """A case with figures."""
        on.now = Clock()
        on.cases = Cases(connect(on.folder), LocalStorage(on.folder / "storage"), on.now)
        case = on.cases.add(tiny.analysis(1), "x")
        on.shadow.offer(delivered(), case.id)
        on.shadow.tick()
        return on, case.id

    def test_the_most_different_ones_are_named(self, kept):
        place, case_id = kept
        place.shadow.offer(delivered(blocks(12)))
        place.shadow.tick()
        rows = place.shadow.report(2).rows
        assert len(rows) == 2
        assert [row.case_id for row in most_different(rows, 10)] == [case_id]

    def test_a_deleted_case_takes_its_rows_along(self, kept):
        place, case_id = kept
        place.cases.delete(case_id)
        assert place.shadow.report(2).rows == []
        place.cases.restore(case_id)
        assert len(place.shadow.report(2).rows) == 1
        place.cases.delete(case_id)
        place.now.now += timedelta(days=limits.TRASH_DAYS + 1)
        place.cases.purge_expired()
        assert place.rows() == 0

    def test_a_case_deleted_before_it_was_compared_leaves_none(self, kept):
        place, case_id = kept
        place.shadow.offer(delivered(), case_id)
        place.cases.delete(case_id)
        place.shadow.tick()
        assert place.rows() == 1


def test_only_the_newest_figures_of_a_shadow_are_kept(on, monkeypatch):
    monkeypatch.setattr(limits, "MAX_SHADOW_ROWS", 4)
    for number in range(6):
        on.shadow.offer(delivered(blocks(5 + number)))
        on.shadow.tick()
    rows = on.shadow.report(2).rows
    assert len(rows) == on.rows() == 4
    assert rows[0].dice > rows[-1].dice  # the newest first


def test_the_summary_has_median_range_and_time(on):
    for start in (10, 10, 12):
        on.shadow.offer(delivered(blocks(start)))
    on.shadow.tick()
    rows = on.shadow.report(2).rows
    (found,) = summaries(rows)
    assert (found.kind, found.scans) == ("crop", 3)
    assert found.dice == {"total": 1.0, "anterior": 0.0, "posterior": 0.0}
    spread = found.difference_mm3["total"]
    assert (spread.median, spread.low, spread.high) == (0, 0, 0)
    assert found.time_ratio == pytest.approx(np.median([r.shadow_seconds / 0.5 for r in rows]))
