"""The look of a server at the rules: when it looks, and what it does before it asks."""

from types import SimpleNamespace

import pytest

from app import rules as module
from app.rules import RulesWatch, save, state
from core import limits
from core.errors import InputError, TrainingError
from core.training.data.preparation import Report, TooFewCasesError
from core.training.rules import RuleSettings
from tests.core.training.test_rules import later, placed
from tests.house import Seconds
from tests.parts import Part


class House:
    """The parts of a server that the rules need, on cases of a few bytes."""

    def __init__(self, folder, monkeypatch):
        self.place = placed(folder)
        self.shared = SimpleNamespace(
            rules=self.place.rules, cases=self.place.cases, storage=None, jobs=self.place.jobs,
            predictors=SimpleNamespace(serving=None),
        )  # fmt: skip
        self.clock = Seconds()
        self.drift, self.looks, self.followed = "quiet", [], []
        monkeypatch.setattr(module, "drift_of_cases", self._drift_of_cases)
        monkeypatch.setattr(module, "follow_before", self._follow_before)
        self.watch = RulesWatch(self.shared, self.clock)

    def _drift_of_cases(self, shared, last):
        self.looks.append(last)
        return SimpleNamespace(state=self.drift)

    def _follow_before(self, name, cases, storage):
        self.followed.append(name)

    def look(self):
        self.clock.now += limits.RULES_EVERY_S
        self.watch.tick()

    @property
    def reasons(self):
        return [job.reason for job in self.place.jobs.find()]


@pytest.fixture
def house(tmp_path, monkeypatch):
    return House(tmp_path, monkeypatch)


def test_switched_off_nothing_is_looked_at(house):
    house.look()
    assert house.looks == house.followed == house.reasons == []


def test_the_reviews_are_taken_in_before_a_training_is_queued(house):
    save(house.shared, RuleSettings(after_cases=10))
    house.watch.tick()  # changed settings are looked at in the next second
    assert house.followed == ["reviewed"]
    assert house.reasons == ["10 newly reviewed cases"]
    assert house.looks == []  # nobody asked for drift
    house.look()
    assert len(house.reasons) == 1


def test_a_drift_alarm_queues_one_training_and_is_seen_every_few_minutes(house):
    save(house.shared, RuleSettings(on_drift=True))
    house.watch.tick()
    house.watch.tick()
    assert house.looks == [limits.RULE_DRIFT_CASES]
    house.drift = "act"
    house.watch.tick()
    assert house.reasons == []  # not yet due
    for _ in range(3):
        house.look()
    (reason,) = house.reasons
    assert reason.startswith("a drift alarm since 2")
    assert state(house.shared)["alarm_since"]


@pytest.mark.parametrize(
    "error",
    [
        TooFewCasesError(4, Report()),
        InputError("Only 4 cases can be used", "They are of 2 patients.", code="too_few_patients"),
    ],
)
def test_what_cannot_be_used_is_said_once_and_tried_again_after_a_review(error, house, monkeypatch):
    def too_few(name, cases, storage):
        house.followed.append(name)
        raise error

    monkeypatch.setattr(module, "follow_before", too_few)
    save(house.shared, RuleSettings(after_cases=10))
    for _ in range(3):
        house.look()
    assert house.followed == ["reviewed"]
    assert state(house.shared)["trouble"].startswith(
        "No training could be queued: Only 4 cases can be used"
    )
    house.place.review(1)
    house.look()
    assert house.followed == ["reviewed"] * 2
    assert house.reasons == []


def test_what_cannot_be_asked_for_is_not_kept(house):
    with pytest.raises(InputError):
        save(house.shared, RuleSettings(after_cases=-1))
    with pytest.raises(TrainingError, match="needs an NVIDIA GPU"):
        save(house.shared, RuleSettings(after_cases=5, preset="full"))
    assert house.place.rules.settings() == RuleSettings()


class Section(Part):
    """The page's section."""

    def __init__(self, house):
        def page():
            import streamlit as st

            from app.views.rules import rules_section

            rules_section(st.session_state["shared"])

        super().__init__(page, shared=house.shared)


def test_the_page_switches_rules_on_and_says_what_they_wait_for(house, monkeypatch):
    from app.views import rules as view

    monkeypatch.setattr(view, "is_admitted", lambda: True)
    section = Section(house)
    assert section.at.expander[0].label == "Rules: off"
    section.at.number_input[0].set_value(20)
    section.at.checkbox[0].check()
    section.at.button[0].click()
    section.run()
    assert house.place.rules.settings() == RuleSettings(20, on_drift=True)
    assert section.at.expander[0].label == "Rules: on"
    words = " ".join(m.value for m in section.at.markdown)
    assert "10 of 20 newly reviewed cases, no drift alarm." in words


def test_the_list_of_trainings_says_which_rule_asked(house):
    from app.views.trainings import title

    house.place.rules.set(RuleSettings(after_cases=10))
    asked = house.place.rules.ask(later())
    assert title(asked).endswith("UTC, asked by a rule: 10 newly reviewed cases")
    assert title(house.place.jobs.submit({})).endswith("UTC")
