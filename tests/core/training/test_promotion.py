"""Promotions through the gate, on an installation of tiny versions."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import ConflictError, GateError, HippoViewError, InputError, NotFoundError
from core.limits import MAX_REASON_CHARS
from core.settings import Settings
from core.training.evaluation.verdict import Margins
from core.training.promotion import margins_of, promote, verdict_on
from tests.core.training.evaluation.figures import all_heads, crop, crops
from tests.places import Place
from tests.tiny_models import tiny_registry

REASON = "it is to be tried"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "var")


def figures(place, number, dice):
    """A version gets figures."""
    for one in (crops([crop(n, dice) for n in range(12)]), all_heads(dice)):
        place.registry.add_evaluation(number, one["test_key"], one)


def put(place, number, reason="", seen=None, swap=None):
    swap = swap or place.predictors.swap
    return promote(place.registry, number, swap, Margins(), by="mara", reason=reason, seen=seen)


def newest(place):
    return place.registry.history()[0]


def test_a_version_that_passes_needs_no_reason(place):
    figures(place, 1, 0.8)
    figures(place, 2, 0.81)
    assert put(place, 2).passed
    assert place.truth().served == "2"
    assert (newest(place).note.by, newest(place).note.reason) == ("mara", "")
    assert newest(place).note.objections == ()


def test_a_worse_version_is_stopped_and_goes_with_a_reason_that_is_kept(place):
    figures(place, 1, 0.8)
    figures(place, 2, 0.75)
    with pytest.raises(GateError, match="Dice anterior, task failed") as stopped:
        put(place, 2)
    assert stopped.value.code == "gate"
    assert place.truth().served == "1"
    verdict = put(place, 2, f" {REASON}\n\x07")
    for lost in (False, True):
        place.start_again(lost=lost)
        assert place.truth().served == "2"
        note = newest(place).note
        assert (note.by, note.reason) == ("mara", REASON)
        assert note.objections == tuple(check.line for check in verdict.objections)


@pytest.mark.parametrize(
    "reason", ["ok", "x" * (MAX_REASON_CHARS + 1), "a\x00\x00\x00\x00\x00\x00b"]
)
def test_a_reason_that_is_none_changes_nothing(reason, place):
    with pytest.raises(InputError) as refused:
        put(place, 2, reason)
    assert refused.value.code == "bad_reason"
    assert place.truth().stored == [1]


def test_what_there_is_not_or_serves_already_is_told_first(place):
    with pytest.raises(NotFoundError):
        put(place, 99)
    with pytest.raises(ConflictError, match="in service already"):
        put(place, 1, REASON)


def test_figures_that_changed_since_they_were_seen_are_shown_again(place):
    figures(place, 1, 0.8)
    figures(place, 2, 0.81)
    seen = verdict_on(place.registry, 2, Margins())
    figures(place, 2, 0.75)
    with pytest.raises(ConflictError) as told:
        put(place, 2, REASON, seen.key)
    assert told.value.code == "gate_changed"
    assert place.truth().served == "1"
    put(place, 2, REASON, verdict_on(place.registry, 2, Margins()).key)
    assert place.truth().served == "2"


def test_of_two_administrators_who_promote_at_once_one_is_told(place):
    """Both versions were judged against the first: the second of them was not against the other."""
    judged = threading.Barrier(2)

    def swap(open_model, keep):
        judged.wait(60)
        place.predictors.swap(open_model, keep)

    def one(number):
        try:
            return put(place, number, REASON, swap=swap)
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(one, (2, 3)))
    (refused,) = [answer for answer in told if isinstance(answer, ConflictError)]
    assert "went into service meanwhile" in refused.message
    assert place.truth().agrees
    assert len(place.truth().stored) == 2


def test_another_server_that_promoted_meanwhile_is_heard_of(place):
    def swap(open_model, keep):
        tiny_registry(place.folder, place.storage).promote(3)
        place.predictors.swap(open_model, keep)

    with pytest.raises(ConflictError, match="Version 3 went into service meanwhile"):
        put(place, 2, REASON, swap=swap)
    place.follow()
    assert place.truth().served == "3"


def test_a_version_that_cannot_be_loaded_stays_out_whatever_the_reason(place):
    place.storage.delete("models/2/plans.json")
    with pytest.raises(HippoViewError):
        put(place, 2, REASON)
    assert place.truth().stored == [1]


def test_a_roll_back_does_not_ask_the_gate(place):
    put(place, 2, REASON)
    place.act("roll_back", 1)
    assert place.truth().served == "1"


def test_the_margin_comes_from_the_settings():
    environment = {"HIPPOVIEW_GATE_DICE_MARGIN": "0.02"}
    assert margins_of(Settings.from_environment(environment)) == Margins(dice=0.02)
    assert margins_of(Settings()) == Margins()
