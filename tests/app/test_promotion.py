"""The dialog that puts another version into service, on an installation of tiny versions."""

from dataclasses import replace

import pytest

from app.services import build_services
from app.views import promotion
from core.settings import Settings
from tests.core.training.evaluation.figures import all_heads, crop, crops
from tests.parts import Part
from tests.tiny_models import TinyPredictors, add, tiny_registry


@pytest.fixture
def shared(tmp_path):
    made = build_services(Settings(data_dir=tmp_path / "var"))
    registry = tiny_registry(tmp_path / "var")
    made = replace(made, registry=registry, predictors=TinyPredictors(registry))
    made.predictors.load(before=registry.prepare)
    made.predictors.check()
    add(registry, "second")
    figures(made, 1, 0.8)
    return made


@pytest.fixture(autouse=True)
def admitted(monkeypatch):
    """Whether the visitor is an administrator, from one look to the next; the last answer stays."""
    answers = [True]
    monkeypatch.setattr(
        promotion, "is_admitted", lambda: answers.pop(0) if len(answers) > 1 else answers[0]
    )
    return answers


def figures(shared, number, dice):
    for one in (crops([crop(n, dice) for n in range(12)], "task_04"), all_heads(dice)):
        shared.registry.add_evaluation(number, one["test_key"], one)


class Dialog(Part):
    """The dialog about version 2, open."""

    def __init__(self, shared):
        def page():
            import streamlit as st

            from app.views.promotion import confirm_promotion

            confirm_promotion(st.session_state["shared"], 2)

        super().__init__(page, shared=shared)

    def press(self, reason=None):
        if reason is not None:
            self.at.text_input[0].input(reason)
        next(b for b in self.at.button if b.label == "Put version 2 into service").click()
        self.run()

    @property
    def states(self):
        """The column *State* of the gate's lines, by check."""
        table = self.at.table[0].value
        return dict(zip(table["Check"], table["State"], strict=True))


def test_a_version_that_passes_needs_a_click(shared):
    figures(shared, 2, 0.81)
    dialog = Dialog(shared)
    assert "lets it pass against version 1" in dialog.at.success[0].value
    assert len(dialog.at.text_input) == 0
    assert dialog.states["Dice anterior\\, task\\_04"] == ":material/check_circle: passed"
    dialog.press()
    assert shared.registry.serving().number == 2
    assert shared.registry.history()[0].note.by == "not signed in"


def test_a_version_that_is_stopped_needs_a_reason(shared):
    figures(shared, 2, 0.7)
    dialog = Dialog(shared)
    assert "The gate stops it" in dialog.at.error[0].value
    assert dialog.states["Dice anterior\\, task\\_04"] == ":material/cancel: **failed**"
    for short in ("", "because"):
        dialog.press(short)
        assert "at least 10 characters" in dialog.at.warning[-1].value
    assert shared.registry.serving().number == 1
    dialog.press("the old one fails on our scanner")
    assert shared.registry.serving().number == 2
    assert shared.registry.history()[0].note.reason == "the old one fails on our scanner"


def test_another_version_that_went_into_service_meanwhile_is_named(shared):
    figures(shared, 2, 0.81)
    third = add(shared.registry, "third").number
    figures(shared, third, 0.9)
    dialog = Dialog(shared)
    shared.registry.promote(third)
    dialog.press()
    assert "These are the new ones" in dialog.at.warning[0].value
    assert f"stops it against version {third}, in service" in dialog.at.error[0].value
    assert shared.registry.serving().number == third


def test_figures_that_changed_are_shown_before_anything_happens(shared):
    figures(shared, 2, 0.81)
    dialog = Dialog(shared)
    figures(shared, 2, 0.7)
    dialog.press()
    assert "These are the new ones" in dialog.at.warning[0].value
    assert "The gate stops it" in dialog.at.error[0].value
    assert shared.registry.serving().number == 1
    dialog.press("the old one fails on our scanner")
    assert shared.registry.serving().number == 2


def test_a_dialog_that_outlives_its_sign_in_promotes_nothing(shared, admitted):
    figures(shared, 2, 0.81)
    admitted[:] = [True, False, True]
    Dialog(shared).press()
    assert admitted == [True]
    assert shared.registry.serving().number == 1
